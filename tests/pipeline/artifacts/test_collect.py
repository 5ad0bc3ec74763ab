"""The output folder of a build is hostile ground; copies of it are not."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, LimitsError, MismatchError
from devpi_forkbuilder.pipeline.artifacts import collect as module
from devpi_forkbuilder.pipeline.artifacts.collect import collect, the_one

LIMIT = 1000
NAME = "a-1.0-py3-none-any.whl"


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def refused(out: Path, into: Path, **values) -> ForkbuilderError:
    with pytest.raises(ForkbuilderError) as caught:
        collect(out, into, **{"suffix": ".whl", "limit": LIMIT, **values})
    assert not list(into.iterdir())
    return caught.value


def test_collect__copies(out, into):
    (out / NAME).write_bytes(b"wheel")
    (out / "a-1.0.tar.gz").write_bytes(b"sdist")
    (out / ".gitignore").write_bytes(b"*")
    assert collect(out, into, suffix=".whl", limit=LIMIT) == (into / NAME,)
    assert collect(out, into, suffix=".tar.gz", limit=LIMIT) == (into / "a-1.0.tar.gz",)
    (out / NAME).write_bytes(b"changed later")
    assert (into / NAME).read_bytes() == b"wheel"


def test_collect__nothing(out, into):
    assert collect(out, into, suffix=".whl", limit=LIMIT) == ()


def test_collect__symbolic_link(out, into, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (out / NAME).symlink_to(tmp_path / "secret")
    assert refused(out, into).reference == "artefact-not-a-file"


def test_collect__hard_link(out, into, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (out / NAME).hardlink_to(tmp_path / "secret")
    assert refused(out, into).reference == "artefact-not-a-file"


@pytest.mark.timeout(10)  # a pipe that is opened for reading waits for a writer, for ever
def test_collect__pipe(out, into):
    os.mkfifo(out / NAME)
    assert refused(out, into).reference == "artefact-not-a-file"


def test_collect__socket(out, into, monkeypatch):
    monkeypatch.chdir(out)  # the path of a socket has to be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(NAME)
        assert refused(out, into).reference == "artefact-not-a-file"


def test_collect__folder(out, into):
    (out / NAME).mkdir()
    assert refused(out, into).reference == "artefact-not-a-file"


def test_collect__output_folder_is_a_link(out, into, tmp_path):
    (out / NAME).write_bytes(b"x")
    (tmp_path / "link").symlink_to(out)
    assert refused(tmp_path / "link", into).reference == "artefact-not-a-file"
    assert refused(tmp_path / "gone", into).reference == "artefact-not-a-file"


def test_collect__too_large(out, into):
    (out / NAME).write_bytes(b"x" * (LIMIT + 1))
    error = refused(out, into)
    assert isinstance(error, LimitsError)
    assert error.reference == "artefact-too-large"


def test_collect__as_large_as_allowed(out, into):
    (out / NAME).write_bytes(b"x" * LIMIT)
    assert collect(out, into, suffix=".whl", limit=LIMIT)[0].stat().st_size == LIMIT


def test_collect__sparse_and_huge(out, into):
    with (out / NAME).open("wb") as file:
        file.truncate(2**40)
    assert refused(out, into).reference == "artefact-too-large"


def test_collect__grows_while_it_is_copied(out, into, monkeypatch):
    (out / NAME).write_bytes(b"x" * 10)
    monkeypatch.setattr(module, "BLOCK", 10)
    read = os.read

    def read_and_grow(descriptor: int, size: int) -> bytes:
        with (out / NAME).open("ab") as file:
            file.write(b"x" * 10)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", read_and_grow)
    assert refused(out, into).reference == "artefact-too-large"


def test_collect__disk_full(out, into, monkeypatch):
    (out / NAME).write_bytes(b"x" * 10)

    def fail(*_: object) -> bytes:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "read", fail)
    error = refused(out, into)
    assert isinstance(error, InfrastructureError)
    assert error.retryable


def test_collect__too_many(out, into):
    for number in range(101):
        (out / str(number)).touch()
    error = refused(out, into)
    assert isinstance(error, LimitsError)
    assert error.reference == "too-many-artefacts"


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("a\nb.whl", "artefact-name"),
        ("\u00e9.whl", "artefact-name"),
        ("a b.whl", "artefact-name"),
        (".hidden.whl", "artefact-name"),
        ("-rf.whl", "artefact-name"),
        ("notes.txt", "artefact-unexpected"),
        (b"\xff.exe", "artefact-unexpected"),
    ],
)
def test_collect__names(out, into, name, reference):
    (out / os.fsdecode(name)).touch()
    error = refused(out, into)
    assert error.reference == reference
    assert error.what.isascii()
    assert error.what.isprintable()


def test_collect__one_bad_file_leaves_no_copy(out, into):
    (out / NAME).write_bytes(b"x")
    (out / "b-1.0-py3-none-any.whl").symlink_to(out / NAME)
    refused(out, into)


def test_the_one__one():
    assert the_one([Path(NAME)], suffix=".whl") == Path(NAME)


@pytest.mark.parametrize(
    ("files", "suffix", "reference"),
    [
        ([], ".whl", "no-wheel"),
        ([], ".tar.gz", "no-sdist"),
        ([Path("a.whl"), Path("b.whl")], ".whl", "several-wheels"),
        ([Path("a.tar.gz"), Path("b.tar.gz")], ".tar.gz", "several-sdists"),
    ],
)
def test_the_one__none_or_several(files, suffix, reference):
    with pytest.raises(MismatchError) as caught:
        the_one(files, suffix=suffix)
    assert caught.value.reference == reference
    assert caught.value.next_step
    assert all(file.name in caught.value.what for file in files)
