"""A build's folder on disk: made for one build, named after the process that made it, and gone when it ends.

What a build leaves in it belongs to the build: nothing in it is followed, only removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devpi_forkbuilder.errors import InfrastructureError

PREFIX = "build-"
FLOOR = 512 * 1024 * 1024
"""Bytes that must be free on the disk before a build takes more of it."""


@dataclass(frozen=True, slots=True)
class WorkFolder:
    """`root` holds `box`, which is all that the build sees and may write, and what it cannot reach."""

    root: Path

    @property
    def box(self) -> Path:
        """What the build's processes see and may write."""
        return self.root / "box"

    @property
    def source(self) -> Path:
        """The checkout."""
        return self.box / "src"

    @property
    def environment(self) -> Path:
        """The virtual environment that the build runs in."""
        return self.box / "env"

    @property
    def home(self) -> Path:
        """HOME and TMPDIR of commands in the box."""
        return self.box / "home"

    def fresh(self, path: Path) -> Path:
        """`path` as an empty folder of ours, whatever the build may have put there before."""
        discard(path)
        path.mkdir()
        return path


@contextlib.contextmanager
def work_folder(parent: Path, owner: str) -> Iterator[WorkFolder]:
    """A new work folder in `parent` that is removed at the end; `owner` as `owner_of` gives it.

    Raises InfrastructureError (`disk-failed`) when it cannot be made.
    """
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{owner}-", dir=parent))
    except OSError as error:
        what = f"No folder could be made for the build: {error.strerror}."
        raise InfrastructureError("disk-failed", what, next_step="Look at the disk of --forkbuilder-dir.") from None
    try:
        folder = WorkFolder(root)
        folder.fresh(folder.box)
        yield folder
    finally:
        discard(root)


def owner_of(pid: int) -> str:
    """A process as a name that no later process gets: its number and its start (proc_pid_stat(5), field 22).

    Raises ProcessLookupError when there is no such process.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        raise ProcessLookupError(pid) from None
    return f"{pid}.{fields[19].decode()}"


def sweep_leftovers(parent: Path, *, owner: Callable[[int], str] = owner_of) -> tuple[Path, ...]:
    """Remove the work folders of processes that are gone; returns what was removed."""
    removed = []
    for path in sorted(parent.glob(f"{PREFIX}*")):
        name = path.name.removeprefix(PREFIX).partition("-")[0]
        if not _lives(name, owner):
            discard(path)
            removed.append(path)
    return tuple(removed)


def check_space(path: Path, floor: int = FLOOR) -> None:
    """Raise InfrastructureError (`disk-full`) when fewer than `floor` bytes are free where `path` is."""
    free = shutil.disk_usage(path).free
    if free < floor:
        what = f"The server's disk for builds has {free >> 20} MiB free; builds need {floor >> 20} MiB."
        raise InfrastructureError("disk-full", what, next_step="Make room, or move --forkbuilder-dir.")


def discard(path: Path) -> None:
    """Remove `path`, a link, file or folder, even when what is in it is write-protected. Never raises OSError."""
    if path.is_symlink() or not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():  # folders without permissions stop rmtree: open them, and once more
        _open_up(path)
        shutil.rmtree(path, ignore_errors=True)


def _open_up(path: Path) -> None:
    for folder, names, _ in os.walk(path, onerror=_ignore):
        for name in (".", *names):
            inner = Path(folder, name)
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)


def _ignore(error: Any) -> None:
    """What cannot be listed is left; the next sweep tries again."""


def _lives(name: str, owner: Callable[[int], str]) -> bool:
    pid = name.partition(".")[0]
    if not pid.isdecimal():
        return False
    try:
        return owner(int(pid)) == name
    except ProcessLookupError:
        return False
