"""Wheels from builds that nobody can trust: what is taken, and what is refused under which reference."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.tags import Tag
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.artifacts.archive_limits import ArchiveLimits
from devpi_forkbuilder.pipeline.artifacts.wheel import agree, artefact_of, read_wheel
from devpi_forkbuilder.pipeline.artifacts.zip_reader import chunks
from tests.archives import METADATA, WHEEL, members_of, write_wheel, write_zip

COMMIT = "1a2b3c4d5e6f" + "0" * 28
NAME = "sample_fork-1.0.2-py3-none-any.whl"
INFO = "sample_fork-1.0.2.dist-info"


def pin(egg: str = "sample-fork==1.0.2") -> Pin:
    return Pin.parse(f"git+https://git.example.org/a.git@{COMMIT}#egg={egg}")


def refused(path: Path, **values) -> ForkbuilderError:
    with pytest.raises(ForkbuilderError) as caught:
        read_wheel(path, **values)
    return caught.value


def test_read_wheel__good(tmp_path):
    wheel = read_wheel(write_wheel(tmp_path))
    assert (wheel.name, wheel.project, wheel.version) == ("sample-fork", "sample_fork", Version("1.0.2"))
    assert wheel.tags == {Tag("py3", "none", "any")}
    assert wheel.pure
    assert wheel.root_is_purelib
    assert wheel.dist_info == INFO
    assert [member.name for member in wheel.members] == list(members_of())
    assert wheel.size == (tmp_path / NAME).stat().st_size


def test_read_wheel__metadata_as_the_index_stores_it(tmp_path):
    fields = read_wheel(write_wheel(tmp_path)).metadata
    assert fields["requires_dist"] == ["requests>=2", 'rich; extra == "cli"']
    assert fields["classifiers"] == ["Programming Language :: Python :: 3", "Topic :: Education"]
    assert fields["project_urls"] == ["Source, https://git.example.org/name"]
    assert fields["provides_extras"] == ["cli"]
    assert fields["license_file"] == ["LICENSE"]
    assert fields["license_expression"] == "MIT"
    assert fields["keywords"] == "one,two"
    assert fields["description"] == "Version: 0.0 is what the text says.\n"
    json.dumps(dict(fields))


def test_read_wheel__metadata_names_are_those_of_devpi(tmp_path):
    model = pytest.importorskip("devpi_server.model")
    fields = read_wheel(write_wheel(tmp_path)).metadata
    assert set(fields) <= set(model.PrivateStage.metadata_keys)
    lists = {name for name, value in fields.items() if isinstance(value, list)}
    assert lists == set(fields) & set(model.PrivateStage.metadata_list_fields)


def test_read_wheel__platform_tags(tmp_path):
    tags = "Tag: cp311-cp311-manylinux_2_17_x86_64\nTag: cp311-cp311-manylinux2014_x86_64\n"
    members = members_of(wheel=WHEEL.replace("true", "false").replace("Tag: py3-none-any\n", tags))
    platforms = "manylinux_2_17_x86_64.manylinux2014_x86_64"
    wheel = read_wheel(write_zip(tmp_path / f"sample_fork-1.0.2-3x-cp311-cp311-{platforms}.whl", members))
    assert not wheel.pure
    assert not wheel.root_is_purelib
    assert wheel.build == (3, "x")


def with_info(name: str, data: bytes = b"", **values) -> list[tuple[zipfile.ZipInfo | str, bytes]]:
    """A good wheel with one more member that RECORD lists, whose entry has the given attributes."""
    info = zipfile.ZipInfo(name)
    for key, value in values.items():
        setattr(info, key, value)
    members = members_of(extra={name: data})
    return [(info if member == name else member, content) for member, content in members.items()]


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "a//b", "./a", "a\\b", "C:/x", "c:x", "a\nb", "a\x1b[0m", "a\u202eb", "x" * 1001],
)
def test_read_wheel__name_that_leaves_or_hides(tmp_path, name):
    error = refused(write_wheel(tmp_path, extra={name: b"x"}))
    assert error.reference == "archive-name"
    assert error.what.isascii()
    assert error.what.isprintable()


def test_read_wheel__name_with_nul(tmp_path):
    path = write_wheel(tmp_path, extra={"a-b": b"x"})
    path.write_bytes(path.read_bytes().replace(b"a-b", b"a\0b"))
    assert refused(path).reference == "archive-name"


def test_read_wheel__name_neither_ascii_nor_utf8(tmp_path):
    path = write_wheel(tmp_path, extra={"a-b": b"x"})
    path.write_bytes(path.read_bytes().replace(b"a-b", b"a\xffb"))
    assert refused(path).reference == "archive-name"


def test_read_wheel__utf8_name(tmp_path):
    assert "sample_fork/\u00e9.py" in read_wheel(write_wheel(tmp_path, extra={"sample_fork/\u00e9.py": b"x"})).record


def test_read_wheel__file_and_folder(tmp_path):
    assert refused(write_wheel(tmp_path, extra={"a": b"x", "a/b": b"x"})).reference == "archive-name"


def test_read_wheel__duplicate(tmp_path):
    pairs = [*members_of().items(), ("sample_fork/__init__.py", b"VALUE = 2\n")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the writer warns of what this test is about
        path = write_zip(tmp_path / NAME, pairs)
    assert refused(path).reference == "archive-duplicate"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.py", "A.py"),
        ("pkg/a.py", "Pkg/A.py"),
        ("stra\u00dfe.py", "STRASSE.py"),
        ("\u00e9.py", "e\u0301.py"),
        ("file.py", "\ufb01le.py"),
        ("A", "a/b.py"),
    ],
)
def test_read_wheel__names_that_are_one_on_other_machines(tmp_path, one, other):
    assert refused(write_wheel(tmp_path, extra={one: b"x", other: b"y"})).reference == "archive-duplicate"


def test_read_wheel__folders_that_differ_in_case_share_no_file(tmp_path):
    assert read_wheel(write_wheel(tmp_path, extra={"Pkg/a.py": b"x", "pkg/b.py": b"y"}))


@pytest.mark.parametrize("name", ["../evil", "/usr/bin/evil", "..\\evil", "a/b", "c:evil", "..", "a\x1bb", ""])
@pytest.mark.parametrize("section", ["console_scripts", " gui_scripts "])
def test_read_wheel__scripts_that_leave_their_folder(tmp_path, name, section):
    """Installers join such a name to the path of the environment's scripts."""
    text = f"[other]\na/b = c\n[{section}]\n# x\ngood = a:b\n{name} = a:b\n"
    fault = refused(write_wheel(tmp_path, extra={f"{INFO}/entry_points.txt": text.encode()}))
    assert fault.reference == "script-name"


def test_read_wheel__scripts_as_forks_have_them(tmp_path):
    text = (
        "[console_scripts]\r\nmy-tool = a:b\r\nmy.tool3 = a.b:c [x]\r\nwith space=a:b\r\n\r\n[pytest11]\r\na/b = c\r\n"
    )
    assert read_wheel(write_wheel(tmp_path, extra={f"{INFO}/entry_points.txt": text.encode()}))


@pytest.mark.parametrize("value", ["three", ">=3.8, <", ">=3.8" + "," * 1024 + "<4", "==3\u00b2", ">= 3.8; x"])
def test_read_wheel__requires_python_that_is_none(tmp_path, value):
    metadata = METADATA.replace("Requires-Python: >=3.8\n", f"Requires-Python: {value}\n", 1)
    fault = refused(write_wheel(tmp_path, metadata=metadata))
    assert fault.reference == "metadata-invalid"
    assert "Requires-Python" in fault.what


def test_read_wheel__requires_python_twice(tmp_path):
    metadata = METADATA.replace("Requires-Python: >=3.8\n", "Requires-Python: >=3\nRequires-Python: <3\n", 1)
    assert refused(write_wheel(tmp_path, metadata=metadata)).reference == "metadata-invalid"


@pytest.mark.parametrize("value", [">=3.8", ">=2.7, !=3.0.*, !=3.1.*, <4", ">=3.5.*", "", "~=3.9", ">=3.8,<3.13"])
def test_read_wheel__requires_python_as_forks_have_it(tmp_path, value):
    metadata = METADATA.replace("Requires-Python: >=3.8\n", f"Requires-Python: {value}\n", 1)
    assert read_wheel(write_wheel(tmp_path, metadata=metadata))


def test_read_wheel__symlink(tmp_path):
    path = write_zip(tmp_path / NAME, with_info("link", b"/etc/passwd", external_attr=0o120777 << 16))
    assert refused(path).reference == "zip-member"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_read_wheel__method(tmp_path, method):
    path = write_zip(tmp_path / NAME, with_info("packed", b"x" * 100, compress_type=method))
    assert refused(path).reference == "zip-member"


def test_read_wheel__encrypted(tmp_path):
    assert "encrypted" in refused(patched(tmp_path, 6, 8, 0x01)).what


def test_read_wheel__data_descriptor(tmp_path):
    assert "after its data" in refused(patched(tmp_path, 6, 8, 0x08)).what


def patched(folder: Path, local: int, central: int, value: int) -> Path:
    """A wheel whose first member has `value` at an offset of both of its headers."""
    path = write_wheel(folder)
    data = bytearray(path.read_bytes())
    data[local] = data[data.index(b"PK\x01\x02") + central] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("offset", [14, 18, 22, 30, 8])
def test_read_wheel__header_and_directory_differ(tmp_path, offset):
    path = write_wheel(tmp_path)
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)
    assert refused(path).reference == "zip-header"


@pytest.mark.parametrize(
    ("before", "after", "reference"),
    [(b"#!/bin/sh\n", b"", "zip-end"), (b"", b"x", "zip-end"), (b"", b"PK\x05\x06" + b"\0" * 18, "zip-end")],
)
def test_read_wheel__data_around_the_archive(tmp_path, before, after, reference):
    path = write_wheel(tmp_path)
    path.write_bytes(before + path.read_bytes() + after)
    assert refused(path).reference == reference


def test_read_wheel__member_not_in_the_directory(tmp_path):
    # what a reader of local headers sees, and a reader of the directory does not
    hidden = b"evil = 1\n"
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 0, 0, 33, zlib.crc32(hidden), 9, 9, 4, 0) + b"e.py" + hidden
    path = write_wheel(tmp_path)
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    end = bytearray(data[start:])
    end[-6:-2] = struct.pack("<L", start + len(local))
    path.write_bytes(data[:start] + local + end)
    assert refused(path).reference == "zip-gap"


def test_read_wheel__second_name(tmp_path):
    field = struct.pack("<2HBL", 0x7075, 9, 1, zlib.crc32(b"a.py")) + b"b.py"
    path = write_zip(tmp_path / NAME, with_info("a.py", b"x", extra=field))
    assert "second name" in refused(path).what


def test_read_wheel__sizes_in_64_bits(tmp_path):
    # zipfile writes such a header when it is not told how much will come; it is legal and unambiguous
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members_of().items():
            with archive.open(name, "w", force_zip64=True) as target:
                target.write(data)
    assert read_wheel(path)


def test_read_wheel__comment(tmp_path):
    path = write_wheel(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"hello"
    assert refused(path).reference == "zip-end"


def test_read_wheel__comment_that_is_not_there(tmp_path):
    path = write_wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:-2] + b"\5\0")
    assert refused(path).reference == "zip-end"


def test_read_wheel__directory_points_elsewhere(tmp_path):
    path = write_wheel(tmp_path)
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[second + 42] ^= 1  # where its local header begins
    path.write_bytes(data)
    assert refused(path).reference == "zip-gap"


def test_read_wheel__damaged_data(tmp_path):
    pairs = with_info("sample_fork/stored.txt", b"stored as it is", compress_type=zipfile.ZIP_STORED)
    path = write_zip(tmp_path / NAME, pairs)
    path.write_bytes(path.read_bytes().replace(b"stored as", b"Stored as"))
    assert refused(path).reference == "zip-damaged"


def test_read_wheel__bomb(tmp_path):
    members = {**members_of(), "zeros": b"\0" * (70 * 1024 * 1024)}
    error = refused(write_zip(tmp_path / NAME, members))
    assert isinstance(error, LimitsError)
    assert error.reference == "archive-bomb"


def test_read_wheel__member_larger_than_it_says(tmp_path):
    # a small size in both headers, for data that unpacks to much more
    path = write_zip(tmp_path / NAME, members_of(extra={"zeros": b"\0" * 1_000_000}))
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 1_000)))
    assert refused(path).reference == "zip-damaged"


def test_chunks__never_more_than_the_size(tmp_path):
    path = write_zip(tmp_path / NAME, members_of(extra={"zeros": b"\0" * 10_000_000}))
    wheel = read_wheel(path)
    (member,) = (member for member in wheel.members if member.name == "zeros")
    with path.open("rb") as file:
        assert max(map(len, chunks(file, member))) <= 256 * 1024


def test_chunks__stops_at_the_size(tmp_path):
    path = write_zip(tmp_path / NAME, members_of(extra={"zeros": b"\0" * 10_000_000}))
    (member,) = (member for member in read_wheel(path).members if member.name == "zeros")
    got = 0
    with path.open("rb") as file, pytest.raises(MismatchError):  # noqa: PT012  (what came before the error counts)
        for block in chunks(file, dataclasses.replace(member, size=1_000_000)):
            got += len(block)
    assert 0 < got <= 1_000_000


def test_read_wheel__limits(tmp_path):
    error = refused(write_wheel(tmp_path), limits=ArchiveLimits(members=3, unpacked=100))
    assert isinstance(error, LimitsError)
    assert "7 members, 3 are allowed" in error.what
    assert "100 are allowed" in error.what


@pytest.mark.parametrize("name", ["RECORD", "METADATA", "WHEEL"])
def test_read_wheel__no_file_of_its_own(tmp_path, name):
    members = members_of()
    del members[f"{INFO}/{name}"]
    error = refused(write_zip(tmp_path / NAME, members))
    assert error.reference == "dist-info"
    assert f"no {name}" in error.what


@pytest.mark.parametrize(
    "folder", ["other-1.0.dist-info", "sample_fork-1.0.2.DIST-INFO", "sample-fork-1.0.2.dist-info"]
)
def test_read_wheel__two_dist_info_folders(tmp_path, folder):
    assert refused(write_wheel(tmp_path, extra={f"{folder}/OTHER": b""})).reference == "dist-info"


@pytest.mark.parametrize("folder", ["other-1.0.data", "sample_fork-1.0.2.DATA", "sample_fork.data"])
def test_read_wheel__other_data_folder(tmp_path, folder):
    assert refused(write_wheel(tmp_path, extra={f"{folder}/scripts/ls": b""})).reference == "data-folder"


@pytest.mark.parametrize(
    "filename",
    [
        "other-1.0.2-py3-none-any.whl",
        "sample_fork-1.0.3-py3-none-any.whl",
        "sample_fork-1.0.2+local-py3-none-any.whl",
        "sample_fork-1.0.2-py2-none-any.whl",
        "sample_fork-1.0.2-py2.py3-none-any.whl",
        "sample_fork-1.0.2-none-any.whl",
        "sample_fork-x-py3-none-any.whl",
        "sample_fork-1.0.2.whl",
        "sample_fork-1.0.2-py3-none-any.zip",
        "sample_fork-1.0.2-" + ".".join(["py3"] * 30) + "-none-" + ".".join(["any"] * 18) + ".whl",
    ],
)
def test_read_wheel__filename_differs(tmp_path, filename):
    error = refused(write_wheel(tmp_path).rename(tmp_path / filename))
    assert error.reference in ("dist-info", "filename-invalid", "tags-differ")


@pytest.mark.parametrize("name", ["Sample.Fork", "SAMPLE_FORK", "sample-fork"])
def test_read_wheel__other_spelling_of_the_name(tmp_path, name):
    metadata = METADATA.replace("{name}", name)
    assert read_wheel(write_wheel(tmp_path, metadata=metadata)).project == name


@pytest.mark.parametrize(
    ("old", "new", "reference"),
    [
        ("Name: {name}", "Name: other", "name-disagrees"),
        ("Version: {version}", "Version: 1.0.3", "version-disagrees"),
        ("Version: {version}", "Version: {version}+x", "version-disagrees"),
        ("Name: {name}\n", "", "metadata-invalid"),
        ("Version: {version}\n", "", "metadata-invalid"),
        ("Metadata-Version: 2.4\n", "", "metadata-invalid"),
        ("Name: {name}", "Name: {name}\nName: {name}", "metadata-invalid"),
        ("Version: {version}", "Version: {version}\nversion: 9", "metadata-invalid"),
        ("Version: {version}", "Version: {version}\n folded", "metadata-invalid"),
        ("Version: {version}", "Version: {version}\n  ", "metadata-invalid"),
        ("Version: {version}", "Version: one", "metadata-invalid"),
        ("Name: {name}", "Name: a b", "metadata-invalid"),
        ("Summary:", "Content-Type: multipart/mixed; boundary=x\nSummary:", "metadata-invalid"),
        ("Summary:", "\nSummary:\n", None),
        ("Summary: A", "Summary: \u00e9", None),
    ],
)
def test_read_wheel__metadata(tmp_path, old, new, reference):
    path = write_wheel(tmp_path, metadata=METADATA.replace(old, new))
    if reference is None:
        assert read_wheel(path)
    else:
        assert refused(path).reference == reference


def test_read_wheel__metadata_not_utf8(tmp_path):
    data = METADATA.format(name="sample_fork", version="1.0.2").encode() + b"\xff"
    assert refused(write_wheel(tmp_path, extra={f"{INFO}/METADATA": data})).reference == "metadata-invalid"


@pytest.mark.parametrize("lines", [["X-{}: a"], ["Classifier: a"]], ids=["names", "headers"])
def test_read_wheel__endless_headers(tmp_path, lines):
    more = "".join(lines[0].format(number) + "\n" for number in range(30_000))
    metadata = METADATA.format(name="sample_fork", version="1.0.2")
    data = (more + metadata).encode()
    error = refused(write_wheel(tmp_path, extra={f"{INFO}/METADATA": data}))
    assert "too many headers" in error.what


def test_read_wheel__metadata_too_large(tmp_path):
    path = write_wheel(tmp_path, metadata=METADATA + "x" * (4 * 1024 * 1024))
    assert isinstance(refused(path), LimitsError)


@pytest.mark.parametrize(
    ("wheel", "reference"),
    [
        (WHEEL.replace("1.0", "2.0"), "wheel-invalid"),
        (WHEEL.replace("Wheel-Version", "Version"), "wheel-invalid"),
        (WHEEL.replace("true", "yes"), "wheel-invalid"),
        (WHEEL.replace("py3-none-any", "py3-none-linux_x86_64"), "tags-differ"),
        (WHEEL.replace("Tag: py3-none-any\n", ""), "tags-differ"),
        (WHEEL + "Tag: py2-none-any\n", "tags-differ"),
        (WHEEL + "Tag: nonsense\n", None),
        (WHEEL + "Build: 1\n", "tags-differ"),
        (WHEEL + f"Tag: {'.'.join(['a'] * 9000)}-{'.'.join(['b'] * 9000)}-any\n", None),
    ],
)
def test_read_wheel__wheel_file(tmp_path, wheel, reference):
    path = write_wheel(tmp_path, wheel=wheel)
    if reference is None:
        assert read_wheel(path).pure
    else:
        assert refused(path).reference == reference


def recorded(folder: Path, change) -> Path:
    """A wheel whose RECORD went through `change`."""
    members = members_of()
    members[f"{INFO}/RECORD"] = change(members[f"{INFO}/RECORD"].decode()).encode("utf-8", "surrogateescape")
    return write_zip(folder / NAME, members)


@pytest.mark.parametrize(
    ("change", "reference"),
    [
        (lambda text: text[:0], "record-unlisted"),
        (lambda text: text.replace("\n", "\r\n"), None),
        (lambda text: "\n".join(text.splitlines()[1:]) + "\n", "record-unlisted"),
        (lambda text: text + "missing.py,sha256=abc,1\n", "record-missing"),
        (lambda text: text + text.splitlines()[0] + "\n", "record-duplicate"),
        (lambda text: text.replace("sha256", "md5"), "record-invalid"),
        (lambda text: text.replace("sha256", "shake_128"), "record-invalid"),
        (lambda text: text.replace("sha256=", "", 1), "record-invalid"),
        (lambda text: text.replace("sha256=", "sha256=A", 1), "record-differs"),
        (lambda text: text.replace(",10\n", ",11\n"), "record-differs"),
        (lambda text: text.replace(",10\n", ",\n"), None),
        (lambda text: text.replace("RECORD,,", "RECORD,sha256=abc,3"), "record-invalid"),
        (lambda text: text.replace(",10\n", "\n"), "record-invalid"),
        (lambda text: text + '"open', "record-invalid"),
        (lambda text: text + "\udcff", "record-invalid"),
        (lambda text: text + f"{INFO}/RECORD.jws,sha256=abc,1\n", "record-missing"),
    ],
)
def test_read_wheel__record(tmp_path, change, reference):
    path = recorded(tmp_path, change)
    if reference is None:
        assert read_wheel(path)
    else:
        assert refused(path).reference == reference


def test_read_wheel__signature_is_not_recorded(tmp_path):
    assert read_wheel(write_zip(tmp_path / NAME, {**members_of(), f"{INFO}/RECORD.jws": b"{}"}))


def test_read_wheel__stronger_hash(tmp_path):
    members = members_of()
    own = f"{INFO}/RECORD"
    del members[own]

    def line(name: str, data: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha512(data).digest()).decode().rstrip("=")
        return f"{name},sha512={digest},{len(data)}\n"

    text = "".join(line(name, data) for name, data in members.items()) + f"{own},,\n"
    assert read_wheel(write_zip(tmp_path / NAME, {**members, own: text.encode()}))


def test_read_wheel__folders(tmp_path):
    members = members_of()
    assert read_wheel(write_zip(tmp_path / NAME, {"sample_fork/": b"", **members}))


def test_read_wheel__all_faults_at_once(tmp_path):
    path = write_wheel(tmp_path, metadata=METADATA.replace("{name}", "other"), wheel=WHEEL.replace("true", "yes"))
    error = refused(path)
    assert isinstance(error, MismatchError)
    assert "Name other" in error.what
    assert "Root-Is-Purelib" in error.what


@pytest.mark.parametrize("data", [b"", b"PK", b"\x1f\x8b" + b"\0" * 100, b"PK\x05\x06" + b"\0" * 18])
def test_read_wheel__no_wheel_at_all(tmp_path, data):
    path = tmp_path / NAME
    path.write_bytes(data)
    assert refused(path).reference in ("zip-end", "dist-info")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_wheel__any_mutation_is_read_or_refused(tmp_path, data):
    path = write_wheel(tmp_path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["set", "cut", "insert", "copy"])):
            case "set":
                content[at] = data.draw(st.integers(0, 255))
            case "cut":
                del content[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                content[at:at] = data.draw(st.binary(max_size=20))
            case "copy":
                content[at:at] = content[at : at + 46]
        if not content:
            break
    path.write_bytes(content)
    try:
        wheel = read_wheel(path)
    except ForkbuilderError:
        return
    with zipfile.ZipFile(path) as archive:  # what is taken, the standard library sees in the same way
        assert archive.namelist() == [member.name for member in wheel.members]
        assert archive.testzip() is None


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_wheel__any_metadata_is_read_or_refused(tmp_path, text):
    head = METADATA.format(name="sample_fork", version="1.0.2").partition("\n\n")[0].encode()
    path = write_wheel(
        tmp_path, extra={f"{INFO}/METADATA": head + b"\n" + text, f"{INFO}/WHEEL": WHEEL.encode() + text}
    )
    try:
        read_wheel(path)
    except ForkbuilderError:
        return


def test_agree__same(tmp_path):
    wheel = read_wheel(write_wheel(tmp_path))
    agree(wheel, pin("Sample.Fork==1.0.2.0"))
    agree(wheel, pin("sample_fork"))


def test_agree__other_name(tmp_path):
    with pytest.raises(MismatchError) as caught:
        agree(read_wheel(write_wheel(tmp_path)), pin("wanted==1.0.2"))
    assert caught.value.reference == "name-differs"
    assert caught.value.what == "The fork's build made sample_fork, the pin says wanted."
    assert "#egg=sample_fork" in caught.value.next_step


@pytest.mark.parametrize(("built", "pinned"), [("1.0.2", "1.0.3"), ("1.0.2+edx.2", "1.0.2"), ("1.0.2", "1.0.2+edx.2")])
def test_agree__other_version(tmp_path, built, pinned):
    with pytest.raises(MismatchError) as caught:
        agree(read_wheel(write_wheel(tmp_path, version=built)), pin(f"sample-fork=={pinned}"))
    assert caught.value.reference == "version-differs"
    assert caught.value.next_step == f"Write =={built} in the pin, or drop =={pinned}."


@pytest.mark.parametrize("version", ["1.0.2", "1.0.2+20261120112233.g1a2b3c4d5e6f"])
def test_artefact_of__built_or_stamped(tmp_path, version):
    artefact = artefact_of(write_wheel(tmp_path, version=version), pin())
    assert artefact.version == version
    assert artefact.pure
    assert artefact.metadata["version"] == version
    assert len(artefact.sha256) == 64


@pytest.mark.parametrize(
    "version",
    [
        "1.0.2+20261120112233.g1a2b3c4d5e6f.more",
        "1.0.2+20261120112233.gffffffffffff",
        "1.0.3+20261120112233.g1a2b3c4d5e6f",
        "1.0.2+g1a2b3c4d5e6f",
        "1.0.2+edx",
    ],
)
def test_artefact_of__other_stamp(tmp_path, version):
    with pytest.raises(MismatchError):
        artefact_of(write_wheel(tmp_path, version=version), pin())
