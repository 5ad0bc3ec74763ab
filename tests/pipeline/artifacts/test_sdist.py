"""Source distributions from builds that nobody can trust, and their repacking."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.artifacts.archive_limits import ArchiveLimits
from devpi_forkbuilder.pipeline.artifacts.sdist import artefact_of_sdist, read_sdist, repack_sdist
from tests.archives import METADATA, sdist_members, tar_member, write_sdist

EPOCH = 1795173753
TOP = "sample_fork-1.0.2"
COMMIT = "1a2b3c4d5e6f" + "0" * 28


def refused(path: Path, **values) -> ForkbuilderError:
    with pytest.raises(ForkbuilderError) as caught:
        read_sdist(path, **values)
    assert not [other for other in path.parent.iterdir() if other != path]
    return caught.value


def with_member(folder: Path, name: str, data: bytes = b"", **values) -> Path:
    return write_sdist(folder, [*sdist_members(), tar_member(name, data, **values)])


def test_read_sdist__good(tmp_path):
    sdist = read_sdist(write_sdist(tmp_path))
    assert (sdist.name, sdist.project, sdist.version) == ("sample-fork", "sample_fork", Version("1.0.2"))
    assert f"{TOP}/setup.py" in sdist.members
    assert sdist.metadata["requires_dist"] == ["requests>=2", 'rich; extra == "cli"']
    assert sdist.size == sdist.path.stat().st_size


@pytest.mark.parametrize(
    ("name", "values", "reference"),
    [
        ("../x", {}, "archive-name"),
        (f"{TOP}/../../x", {}, "archive-name"),
        ("/etc/x", {}, "archive-name"),
        (f"{TOP}/a\\b", {}, "archive-name"),
        (f"{TOP}/a\nb", {}, "archive-name"),
        (f"{TOP}/setup.py", {}, "archive-duplicate"),
        (f"{TOP}/setup.py/x", {}, "archive-name"),
        ("other/x", {}, "sdist-top"),
        (f"{TOP}/x", {"type": tarfile.FIFOTYPE}, "tar-member"),
        (f"{TOP}/x", {"type": tarfile.CHRTYPE}, "tar-member"),
        (f"{TOP}/x", {"type": tarfile.BLKTYPE}, "tar-member"),
        (f"{TOP}/x", {"type": tarfile.CONTTYPE}, "tar-member"),
        (f"{TOP}/x", {"type": tarfile.GNUTYPE_SPARSE}, "tar-member"),
        (f"{TOP}/x", {"type": b"Z"}, "tar-member"),
        (f"{TOP}/x", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "tar-link"),
        (f"{TOP}/x", {"type": tarfile.SYMTYPE, "linkname": "../../x"}, "tar-link"),
        (f"{TOP}/x", {"type": tarfile.SYMTYPE, "linkname": ".."}, "tar-link"),
        (f"{TOP}/x", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "tar-link"),
        (f"{TOP}/x", {"type": tarfile.LNKTYPE, "linkname": f"{TOP}/none"}, "tar-link"),
        (f"{TOP}/x", {"type": tarfile.LNKTYPE, "linkname": TOP}, "tar-link"),
    ],
)
def test_read_sdist__member(tmp_path, name, values, reference):
    assert refused(with_member(tmp_path, name, **values)).reference == reference


def test_read_sdist__links_that_stay(tmp_path):
    members = [
        *sdist_members(),
        tar_member(f"{TOP}/docs/a", type=tarfile.SYMTYPE, linkname="../setup.py"),
        tar_member(f"{TOP}/docs/b", type=tarfile.SYMTYPE, linkname="a"),
        tar_member(f"{TOP}/c", type=tarfile.LNKTYPE, linkname=f"{TOP}/setup.py"),
    ]
    assert len(read_sdist(write_sdist(tmp_path, members)).members) == 7


def test_read_sdist__link_that_leaves_through_another(tmp_path):
    members = [
        *sdist_members(),
        tar_member(f"{TOP}/a/b/up", type=tarfile.SYMTYPE, linkname="../.."),
        tar_member(f"{TOP}/x", type=tarfile.SYMTYPE, linkname="a/b/up/../../y"),
    ]
    assert refused(write_sdist(tmp_path, members)).reference == "tar-link"


def test_read_sdist__member_below_a_link(tmp_path):
    members = [*sdist_members(), tar_member(f"{TOP}/d", type=tarfile.SYMTYPE, linkname="docs")]
    members.append(tar_member(f"{TOP}/d/x", b"x"))
    assert refused(write_sdist(tmp_path, members)).reference == "archive-name"


@pytest.mark.parametrize("filename", ["other-1.0.2.tar.gz", "sample_fork-1.0.3.tar.gz"])
def test_read_sdist__other_top_folder(tmp_path, filename):
    assert refused(write_sdist(tmp_path, filename=filename)).reference == "sdist-top"


@pytest.mark.parametrize("filename", ["sample_fork-1.0.2.zip", "sample_fork.tar.gz", "sample_fork-x.tar.gz"])
def test_read_sdist__filename(tmp_path, filename):
    assert refused(write_sdist(tmp_path, filename=filename)).reference == "filename-invalid"


def test_read_sdist__no_info(tmp_path):
    members = [(info, data) for info, data in sdist_members() if not info.name.endswith("PKG-INFO")]
    assert refused(write_sdist(tmp_path, members)).reference == "sdist-info"


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_read_sdist__content_where_none_can_be(tmp_path, kind):
    # some readers skip it, others take it for the next header
    error = refused(with_member(tmp_path, f"{TOP}/x", b"x" * 512, type=kind, linkname="setup.py"))
    assert error.reference == "tar-member"


def test_read_sdist__info_too_large(tmp_path):
    members = [member for member in sdist_members() if not member[0].name.endswith("PKG-INFO")]
    text = METADATA.format(name="sample_fork", version="1.0.2") + "x" * (4 * 1024 * 1024)
    members.append(tar_member(f"{TOP}/PKG-INFO", text.encode()))
    assert isinstance(refused(write_sdist(tmp_path, members)), LimitsError)


@pytest.mark.parametrize(("name", "version"), [("other", "1.0.2"), ("sample-fork", "1.0.3")])
def test_read_sdist__info_of_another(tmp_path, name, version):
    members = [member for member in sdist_members() if not member[0].name.endswith("PKG-INFO")]
    members.append(tar_member(f"{TOP}/PKG-INFO", METADATA.format(name=name, version=version).encode()))
    assert refused(write_sdist(tmp_path, members)).reference == "name-disagrees"


def test_read_sdist__bomb(tmp_path):
    error = refused(with_member(tmp_path, f"{TOP}/zeros", b"\0" * (70 * 1024 * 1024)))
    assert isinstance(error, LimitsError)
    assert error.reference == "archive-bomb"


@pytest.mark.parametrize("limits", [ArchiveLimits(members=2), ArchiveLimits(unpacked=1000)])
def test_read_sdist__limits(tmp_path, limits):
    assert isinstance(refused(write_sdist(tmp_path), limits=limits), LimitsError)


def test_read_sdist__many_empty_members(tmp_path):
    members = [tar_member(f"{TOP}/{number}") for number in range(40)]
    error = refused(write_sdist(tmp_path, [*sdist_members(), *members]), limits=ArchiveLimits(members=5))
    assert "too many members" in error.what


@pytest.mark.parametrize(
    "records",
    [{"size": "3"}, {"GNU.sparse.major": "1"}, {"GNU.sparse.map": "0,1"}, {"hdrcharset": "BINARY"}],
)
def test_read_sdist__ambiguous_extended_header(tmp_path, records):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in [*sdist_members(), tar_member(f"{TOP}/x", b"abc", pax_headers=records)]:
            archive.addfile(info, io.BytesIO(data))
    path = tmp_path / f"{TOP}.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue()))
    error = refused(path)
    assert error.reference == "tar-member"
    assert next(iter(records)) in error.what


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (tarfile.XHDTYPE, b"9999999999999 path=x\n"),
        (tarfile.XHDTYPE, b"no length"),
        (tarfile.XHDTYPE, b"9 path=x\n9 path=y\n"[:9] * 2),
        (tarfile.XHDTYPE, b"0 path=x\n"),
        (tarfile.XGLTYPE, b"9 path=x\n"),
        (tarfile.XHDTYPE, b"x" * 20_000),
        (tarfile.GNUTYPE_LONGNAME, b"x" * 20_000),
    ],
)
def test_read_sdist__extended_header(tmp_path, kind, data):
    members = [*sdist_members(), tar_member("header", data, type=kind), tar_member(f"{TOP}/x", b"abc")]
    buffer = io.BytesIO()
    for info, content in members:
        buffer.write(info.tobuf(tarfile.GNU_FORMAT) + content + b"\0" * (-len(content) % 512))
    path = tmp_path / f"{TOP}.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue() + b"\0" * 1024))
    assert refused(path).reference == "tar-member"


def test_read_sdist__global_comment(tmp_path):
    # 'git archive' writes the commit so
    buffer = io.BytesIO()
    comment = {"comment": COMMIT}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers=comment) as archive:
        for info, data in sdist_members():
            archive.addfile(info, io.BytesIO(data))
    path = tmp_path / f"{TOP}.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue()))
    assert read_sdist(path)


def test_read_sdist__something_after_the_end(tmp_path):
    hidden, data = tar_member("x", b"abc")
    after = hidden.tobuf() + data + b"\0" * 509
    assert refused(write_sdist(tmp_path, after=after)).reference == "tar-end"


def test_read_sdist__truncated(tmp_path):
    path = write_sdist(tmp_path)
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content.rstrip(b"\0")))
    assert refused(path).reference == "tar-end"


def test_read_sdist__two_compressed_streams(tmp_path):
    path = write_sdist(tmp_path)
    path.write_bytes(path.read_bytes() + gzip.compress(b"more"))
    assert refused(path).reference == "gzip-end"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x1f\x8b\x08", gzip.compress(b"x" * 5000, mtime=0)[:-4]])
def test_read_sdist__no_gzip(tmp_path, content):
    path = tmp_path / f"{TOP}.tar.gz"
    path.write_bytes(content)
    assert refused(path).reference == "gzip-damaged"


@pytest.mark.parametrize("content", [b"x" * 600, b"x" * 100])
def test_read_sdist__no_tar(tmp_path, content):
    path = tmp_path / f"{TOP}.tar.gz"
    path.write_bytes(gzip.compress(content))
    assert refused(path).reference == "tar-invalid"


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_sdist__any_mutation_is_read_or_refused(tmp_path, data):
    path = write_sdist(tmp_path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    for _ in range(data.draw(st.integers(1, 3))):
        # headers are where it matters: the first bytes of a block
        at = data.draw(st.integers(0, len(content) // 512 - 1)) * 512 + data.draw(st.integers(0, 350))
        match data.draw(st.sampled_from(["set", "cut", "copy"])):
            case "set":
                content[at : at + 1] = data.draw(st.binary(min_size=1, max_size=12))
            case "cut":
                del content[at : at + data.draw(st.sampled_from([1, 512]))]
            case "copy":
                content[at:at] = content[at : at + 512]
        _resum(content, at)
    path.write_bytes(gzip.compress(bytes(content)))
    try:
        sdist = read_sdist(path)
    except ForkbuilderError:
        return
    with tarfile.open(path) as archive:
        assert tuple(archive.getnames()) == sdist.members


def _resum(content: bytearray, at: int) -> None:
    """Give the header around `at` the right checksum, so that the mutation is not found by that alone."""
    start = at // 512 * 512
    if start + 512 <= len(content):
        content[start + 148 : start + 156] = b" " * 8
        content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + 512])


@pytest.fixture
def into(tmp_path) -> Path:
    folder = tmp_path / "repacked"
    folder.mkdir()
    return folder


def test_repack_sdist__same_content_same_bytes(tmp_path, into):
    one = repack_sdist(write_sdist(tmp_path), into, EPOCH).read_bytes()
    changed = []
    for info, data in reversed(sdist_members()):
        info.mtime, info.uid, info.gname, info.mode = 99, 12, "staff", info.mode & 0o700
        changed.append((info, data))
    path = write_sdist(tmp_path, changed)
    assert repack_sdist(path, into, EPOCH).read_bytes() == one
    assert one != path.read_bytes()


def test_repack_sdist__members(tmp_path, into):
    repacked = repack_sdist(write_sdist(tmp_path), into, EPOCH)
    assert read_sdist(repacked).name == "sample-fork"
    assert list(into.iterdir()) == [repacked]
    with tarfile.open(repacked) as archive:
        modes = {member.name.removeprefix(TOP): oct(member.mode) for member in archive}
        assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in archive} == {
            (EPOCH, 0, 0, "", "")
        }
        assert archive.getnames() == sorted(archive.getnames())
        assert archive.extractfile(f"{TOP}/setup.py").read() == b"import setuptools\n"
    assert modes == {"": "0o755", "/setup.py": "0o644", "/PKG-INFO": "0o644", "/build.sh": "0o755"}


def test_repack_sdist__hard_link_becomes_a_file(tmp_path, into):
    members = [*sdist_members(), tar_member(f"{TOP}/a.py", type=tarfile.LNKTYPE, linkname=f"{TOP}/setup.py")]
    members.append(tar_member(f"{TOP}/z.py", type=tarfile.SYMTYPE, linkname="setup.py"))
    with tarfile.open(repack_sdist(write_sdist(tmp_path, members), into, EPOCH)) as archive:
        assert archive.getmember(f"{TOP}/a.py").isreg()
        assert archive.extractfile(f"{TOP}/a.py").read() == b"import setuptools\n"
        assert archive.getmember(f"{TOP}/z.py").linkname == "setup.py"


def test_repack_sdist__long_names(tmp_path, into):
    name = f"{TOP}/" + "folder/" * 40 + "\u00e9.py"
    members = [*sdist_members(), tar_member(name, b"x")]
    assert name in read_sdist(repack_sdist(write_sdist(tmp_path, members), into, EPOCH)).members


@pytest.mark.parametrize("epoch", [-5, 0, 2**40])
def test_repack_sdist__odd_dates(tmp_path, into, epoch):
    assert read_sdist(repack_sdist(write_sdist(tmp_path), into, epoch))


def test_repack_sdist__bad_one_leaves_nothing(tmp_path, into):
    with pytest.raises(MismatchError):
        repack_sdist(with_member(tmp_path, "../x"), into, EPOCH)
    assert not list(into.iterdir())


@pytest.mark.parametrize(("egg", "reference"), [("sample-fork==1.0.2", None), ("other", "name-differs")])
def test_artefact_of_sdist__pin(tmp_path, egg, reference):
    pin = Pin.parse(f"git+https://git.example.org/a.git@{COMMIT}#egg={egg}")
    path = write_sdist(tmp_path)
    if reference is None:
        artefact = artefact_of_sdist(path, pin)
        assert (artefact.filename, artefact.version, artefact.pure) == (path.name, "1.0.2", True)
        assert artefact.size == path.stat().st_size
    else:
        with pytest.raises(MismatchError) as caught:
            artefact_of_sdist(path, pin)
        assert caught.value.reference == reference
