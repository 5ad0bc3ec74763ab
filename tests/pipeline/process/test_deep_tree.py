"""Trees that no path can name, walked and removed; each with more levels than Python's recursion limit."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.process import deep_tree
from devpi_forkbuilder.pipeline.process.deep_tree import Moment, remove, walk
from devpi_forkbuilder.pipeline.process.work_dir import discard, sweep_leftovers
from tests.hostile_trees import nest
from tests.pipeline.rooms import PYTHON, ROOT, UNPRIVILEGED

LEVELS = sys.getrecursionlimit() + 200


@pytest.mark.parametrize("name", ["a", "n" * 255])
def test_remove__more_levels_than_calls_can_nest(tmp_path: Path, name: str) -> None:
    os.close(nest(tmp_path, name, LEVELS))
    assert remove(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_remove__needs_few_descriptors(tmp_path: Path) -> None:
    os.close(nest(tmp_path, "a", LEVELS))
    before = open_files()
    numbers = iter(range(1_000_000))
    most = max(open_files() for _ in walk(tmp_path) if next(numbers) % 100 == 0)
    assert most <= before + 6
    assert open_files() == before
    assert remove(tmp_path / "a")


def test_remove__folders_without_permissions() -> None:
    """As a user whom permissions hold, which root is not."""
    source = Path(deep_tree.__file__).read_text()
    script = f"{source}\nimport sys\nsys.exit(not remove(Path(sys.argv[1])))"
    folder = Path(tempfile.mkdtemp(prefix="forkbuilder-deep-", dir="/var/tmp"))
    try:
        nested = [folder.joinpath(*["a"] * depth) for depth in range(1, 5)]
        nested[-1].mkdir(parents=True)
        for path, mode in zip(reversed(nested), (0o000, 0o300, 0o400, 0o100), strict=True):
            (path / "file").touch()
            path.chmod(mode)
        user = UNPRIVILEGED if ROOT else os.getuid()
        for path in (folder, *folder.rglob("*")) if ROOT else ():
            os.chown(path, user, user)
        done = subprocess.run([str(PYTHON), "-I", "-", folder / "a"], input=script, text=True, user=user, check=False)
        assert done.returncode == 0
        assert list(folder.iterdir()) == []
    finally:
        remove(folder)


def test_remove__links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o500)
    (tmp_path / "tree" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "b" / "out").symlink_to(kept)
    (tmp_path / "tree" / "loop").symlink_to(tmp_path)
    assert remove(tmp_path / "tree")
    (tmp_path / "link").symlink_to(kept)
    assert remove(tmp_path / "link")
    assert kept.stat().st_mode & 0o777 == 0o500


def test_remove__names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\n")).mkdir()
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff\n/\xfe", os.O_CREAT | os.O_WRONLY))
    assert remove(tmp_path / os.fsdecode(b"\xff\n"))


def test_remove__nothing_there(tmp_path: Path) -> None:
    assert remove(tmp_path / "gone")
    assert remove(tmp_path / "gone" / "deeper")


def test_walk__a_folder_that_is_moved_meanwhile_ends_it_without_harm(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    (tmp_path / "z").mkdir()
    (tmp_path / "elsewhere").mkdir()
    moments = []
    for entry in walk(tmp_path):
        moments.append((entry.moment, entry.name))
        if entry.name == "d" and entry.moment is Moment.FOUND and (tmp_path / "a" / "b").exists():
            (tmp_path / "a" / "b").rename(tmp_path / "elsewhere" / "b")
    assert (Moment.FOUND, "z") in moments
    assert moments[-1] == (Moment.LEFT, tmp_path.name)


def test_discard__says_what_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.setattr(os, "rmdir", lambda *_, **__: (_ for _ in ()).throw(OSError(16, "busy")))
    assert not discard(tmp_path / "a")
    assert f"{tmp_path}/a could not be removed" in caplog.text


def test_discard__any_error_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()

    def broken(_path: object) -> bool:
        raise RecursionError

    monkeypatch.setattr("devpi_forkbuilder.pipeline.process.work_dir.remove", broken)
    assert not discard(tmp_path / "a")
    assert sweep_leftovers(tmp_path) == ()


def test_sweep__leftovers_of_any_depth(tmp_path: Path) -> None:
    leftover = tmp_path / "build-1.1-x"
    leftover.mkdir()
    os.close(nest(leftover, "a", LEVELS))
    assert sweep_leftovers(tmp_path) == (leftover,)
    assert list(tmp_path.iterdir()) == []
