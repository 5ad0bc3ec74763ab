"""Real checkouts: what `up CHECKOUT` pins, and that the server can fetch it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.pipeline.checkout.local_checkout import LocalCheckout, read_checkout
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.process.programs import SilentWatch
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from tests.surroundings import clean_environment

ROOT = os.geteuid() == 0
SILENCE = SilentWatch()
WATCH = TransferWatch(SILENCE, SILENCE.cancelled)


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    env = clean_environment(folder.parent)
    done = subprocess.run(("git", *who, *arguments), cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with two commits, on a branch."""
    folder = tmp_path / "a check out"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "pyproject.toml").write_text('[project]\nname = "my-fork"\n')
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    return folder


def read(folder: Path, tmp_path: Path) -> LocalCheckout:
    return read_checkout(folder, Git(tmp_path / "home", os.environ), WATCH)


def fetched(found: LocalCheckout, tmp_path: Path, *, history: bool = False) -> Path:
    """Fetch it as the server does, with the rule that a branch or tag (or HEAD) leads to the commit."""
    mirrors = Mirrors(tmp_path / "mirrors", Git(tmp_path / "server-home", os.environ))
    return mirrors.fetch(found.pin, SILENCE, SILENCE.cancelled, history)


def test_read_checkout__head_and_name(checkout: Path, tmp_path: Path) -> None:
    found = read(checkout, tmp_path)
    head = git(checkout, "rev-parse", "HEAD")
    assert str(found.pin) == f"git+file://{tmp_path}/a%20check%20out@{head}#egg=my-fork"
    assert not found.changed
    fetched(found, tmp_path)


def test_read_checkout__uncommitted_changes_are_seen_and_left_out(checkout: Path, tmp_path: Path) -> None:
    (checkout / "new").touch()
    assert not read(checkout, tmp_path).changed  # git does not know it
    (checkout / "pyproject.toml").write_text('[project]\nname = "not-committed"\n')
    found = read(checkout, tmp_path)
    assert (found.changed, found.pin.project) == (True, "my-fork")


def test_read_checkout__a_folder_in_a_checkout_is_a_subdirectory(checkout: Path, tmp_path: Path) -> None:
    inner = checkout / "packages" / "inner"
    inner.mkdir(parents=True)
    (inner / "setup.cfg").write_text("[metadata]\nname = inner-fork\n")
    git(checkout, "add", ".")
    git(checkout, "commit", "-q", "-m", "three")
    found = read(inner, tmp_path)
    assert (found.pin.project, found.pin.subdirectory) == ("inner-fork", "packages/inner")
    assert found.pin.url.endswith("/a%20check%20out")


@pytest.mark.parametrize("history", [False, True])
def test_checkout__on_no_branch_can_be_fetched(checkout: Path, tmp_path: Path, history: bool) -> None:
    git(checkout, "checkout", "-q", "--detach")
    git(checkout, "commit", "-q", "--allow-empty", "-m", "of nobody's branch")
    fetched(read(checkout, tmp_path), tmp_path, history=history)


@pytest.mark.parametrize("history", [False, True])
def test_checkout__shallow_can_be_fetched(checkout: Path, tmp_path: Path, history: bool) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{checkout}", str(shallow))
    git(shallow, "checkout", "-q", "--detach")
    fetched(read(shallow, tmp_path), tmp_path, history=history)


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.skipif(not ROOT, reason="needs root to give files away")
def test_checkout__of_another_user_can_be_read_and_fetched(checkout: Path, tmp_path: Path, history: bool) -> None:
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 41001, 41001)
    fetched(read(checkout, tmp_path), tmp_path, history=history)


def test_checkout__linked_worktree(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "-q", str(tmp_path / "linked"), "-b", "other")
    found = read(tmp_path / "linked", tmp_path)
    assert found.pin.url == f"file://{tmp_path}/linked"
    fetched(found, tmp_path)


def test_read_checkout__faults_name_the_fix(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"is not in a git checkout.*-r"):
        read(tmp_path, tmp_path)
    with pytest.raises(RefusedError, match="is not a folder"):
        read(checkout / "pyproject.toml", tmp_path)
    git(checkout, "rm", "-q", "pyproject.toml")
    git(checkout, "commit", "-q", "-m", "nothing left")
    with pytest.raises(RefusedError, match=r"#egg=NAME") as caught:
        read(checkout, tmp_path)
    assert caught.value.reference == "checkout-unnamed"
    empty = tmp_path / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    with pytest.raises(RefusedError, match="no commit yet"):
        read(empty, tmp_path)
