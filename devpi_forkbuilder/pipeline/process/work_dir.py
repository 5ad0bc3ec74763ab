"""A build's folder on disk: made for one build, named after the process that made it, and gone when it ends.

What a build leaves in it belongs to the build: nothing in it is followed, only removed.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.deep_tree import remove

PREFIX = "build-"
BEGUN = "begun"
"""A file in a work folder whose time says when the build began."""
log = logging.getLogger(__name__)


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
        (root / BEGUN).touch()
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


def sweep_leftovers(parent: Path, *, owner: Callable[[int], str] = owner_of, prefix: str = PREFIX) -> tuple[Path, ...]:
    """Remove the folders `PREFIXowner-...` of processes that are gone; returns what was removed. Never raises."""
    found = (path for path in sorted(parent.glob(f"{prefix}*")) if is_abandoned(path, owner=owner, prefix=prefix))
    return tuple(path for path in found if discard(path))


def oldest_build(*parents: Path) -> float:
    """When the oldest build that still runs in one of the folders began, in seconds since the epoch; else infinity."""
    folders = (path for parent in parents for path in parent.glob(f"{PREFIX}*") if not is_abandoned(path))
    return min(map(_begun, folders), default=float("inf"))


def _begun(path: Path) -> float:
    try:
        return (path / BEGUN).stat().st_mtime
    except OSError:  # made a moment ago, or by an earlier version: then it may use anything
        return 0.0


def is_abandoned(path: Path, *, owner: Callable[[int], str] = owner_of, prefix: str = PREFIX) -> bool:
    """Whether the process that made the folder `PREFIXowner-...` is gone."""
    return not _lives(path.name.removeprefix(prefix).partition("-")[0], owner)


def discard(path: Path) -> bool:
    """Remove `path`, a link, file or folder, whatever a build has made of it; False when something stays.

    Never raises: what stays is named in the server's log, and the next start tries again.
    """
    try:
        gone = remove(path)
    except Exception:
        log.exception("%s could not be removed", path)
        return False
    if not gone:
        log.warning("%s could not be removed: look at its file system", path)
    return gone


def _lives(name: str, owner: Callable[[int], str]) -> bool:
    pid = name.partition(".")[0]
    if not pid.isdecimal():
        return False
    try:
        return owner(int(pid)) == name
    except ProcessLookupError:
        return False
