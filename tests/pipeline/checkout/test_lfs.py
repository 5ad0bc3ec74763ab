"""Git LFS: real content when git-lfs is installed, a clear error when it is needed and missing."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import Kind, LimitsError, SourceError
from devpi_forkbuilder.pipeline.checkout.checkout import LIMITS, Checkout, checkout
from devpi_forkbuilder.pipeline.checkout.lfs import endpoint
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.git.tree import TreeLimits
from tests.pipeline.watching import Lines, never
from tests.repositories import Program, Repositories, Repository

CONTENT = b"\x00content of a large file\n" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize {len(CONTENT)}\n"
FILES = {
    ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
    "setup.py": "",
    "data/a.bin": POINTER,
    "run.bin": Program(POINTER),
}

needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


def make(repositories: Repositories, content: bytes | None = CONTENT, **more: str) -> Repository:
    """A fork whose repository keeps `content` as git-lfs keeps it: a `file://` remote is its own LFS server."""
    fork = repositories.empty("large")
    repositories.commit(fork, {**FILES, **more})
    if content is not None:
        place = fork.path / "lfs" / "objects" / DIGEST[:2] / DIGEST[2:4]
        place.mkdir(parents=True)
        (place / DIGEST).write_bytes(content)
    return fork


def take(
    folder: Path, fork: Repository, environ: dict[str, str] | None = None, limits: TreeLimits = LIMITS
) -> tuple[Checkout, Lines]:
    into, log = folder / "into", Lines()
    shutil.rmtree(into, ignore_errors=True)
    git = Git(folder / "home", dict(os.environ) if environ is None else environ)
    mirrors = Mirrors(folder / "mirrors", git, sources=Sources(folder / "sources"))
    return checkout(mirrors, Pin("large", fork.file_url, fork.commit), into, log, never, limits), log


def failure(folder: Path, fork: Repository, environ: dict[str, str] | None = None) -> SourceError:
    with pytest.raises(SourceError) as caught:
        take(folder, fork, environ)
    assert caught.value.kind is Kind.SOURCE
    return caught.value


@needs_lfs
def test_lfs__content_is_fetched(tmp_path: Path, repositories: Repositories) -> None:
    found, log = take(tmp_path, make(repositories))
    assert (found.root / "data" / "a.bin").read_bytes() == CONTENT
    assert (found.root / "run.bin").read_bytes() == CONTENT
    assert os.access(found.root / "run.bin", os.X_OK)
    assert "git lfs fetch" in log.text
    assert not (found.root / ".git" / "lfs").exists()


@needs_lfs
def test_lfs__content_outlives_its_server(tmp_path: Path, repositories: Repositories) -> None:
    fork = make(repositories)
    take(tmp_path, fork)
    shutil.rmtree(fork.path)
    found, log = take(tmp_path, fork)
    assert (found.root / "data" / "a.bin").read_bytes() == CONTENT
    assert "git lfs fetch" not in log.text


def test_lfs__that_is_not_installed(tmp_path: Path, repositories: Repositories) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "git").symlink_to(str(shutil.which("git")))
    fault = failure(tmp_path, make(repositories), {"PATH": str(programs)})
    assert fault.reference == "lfs-missing"
    assert "data/a.bin" in fault.what
    assert "Install git-lfs" in fault.next_step


@needs_lfs
@pytest.mark.parametrize("content", [None, b"other content"])
def test_lfs__content_that_is_not_there_or_is_another(
    tmp_path: Path, repositories: Repositories, content: bytes | None
) -> None:
    fault = failure(tmp_path, make(repositories, content))
    assert fault.reference == "lfs-failed"


@needs_lfs
def test_lfs__the_fork_names_no_other_server(tmp_path: Path, repositories: Repositories) -> None:
    config = '[lfs]\n\turl = http://127.0.0.1:9/elsewhere\n\tfetchexclude = *\n[remote "pin"]\n\tlfsurl = http://127.0.0.1:9/\n'
    found, _ = take(tmp_path, make(repositories, **{".lfsconfig": config}))
    assert (found.root / "data" / "a.bin").read_bytes() == CONTENT


def test_lfs__more_than_a_commit_may_have(tmp_path: Path, repositories: Repositories) -> None:
    with pytest.raises(LimitsError) as caught:
        take(tmp_path, make(repositories), limits=TreeLimits(total_bytes=len(CONTENT)))
    assert caught.value.reference == "tree-too-large"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://host/org/name", "https://host/org/name.git/info/lfs"),
        ("https://host/org/name.git", "https://host/org/name.git/info/lfs"),
        ("https://host/org/name/", "https://host/org/name.git/info/lfs"),
        ("ssh://git@host/org/name.git", "ssh://git@host/org/name.git"),
        ("file:///srv/git/name.git", "file:///srv/git/name.git"),
    ],
)
def test_endpoint__as_git_lfs_finds_it(url: str, server: str) -> None:
    assert endpoint(url) == server
