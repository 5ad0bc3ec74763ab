"""Shelves below --forkbuilder-dir: logs, work folders, git mirrors, archived sources.

Builds may run meanwhile, in this process or another one: git mirrors and archives have locks, and whatever was used
since the oldest running build began is left alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from devpi_forkbuilder.domain.tidy import DAY, Stored, TidyKind
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.git.mirror import COMMITS, LOCK
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.disk_quota import folder_size
from devpi_forkbuilder.pipeline.process.work_dir import PREFIX, discard, is_abandoned, oldest_build
from devpi_forkbuilder.service.logs import SUFFIX
from devpi_forkbuilder.service.records import logs_in_use
from devpi_forkbuilder.service.tidy.engine import IN_USE

REMOVED = ".removed"
"""Ends the name of what is being removed: a crash leaves something that nobody takes for whole."""
RUNNING, PINNED = "used by a build", "pinned"
ANY_SIZE = 2**62
RECENT = 3600.0
"""Seconds for which a log that was written to is left alone, whatever the records say."""


class LogShelf:
    """Build logs. Those of running builds stay."""

    kind = TidyKind.LOGS

    def __init__(self, folder: Path, records: Path, now: Callable[[], float] = time.time) -> None:
        self.place = folder
        self._records = records
        self._now = now

    def stored(self) -> Iterator[Stored]:
        """All log files."""
        used = logs_in_use(self._records)
        for path in self.place.rglob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):
                found = path.stat()
                name = path.relative_to(self.place).as_posix()
                written = self._now() - found.st_mtime < (DAY if used is None else RECENT)
                needed = RUNNING if written or (used is not None and name in used) else ""
                yield Stored(name, found.st_size, found.st_mtime, needed)

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        (self.place / stored.name).unlink(missing_ok=True)
        return ""


class WorkShelf:
    """Work folders of builds. Those of living processes stay."""

    kind = TidyKind.WORK

    def __init__(self, folder: Path) -> None:
        self.place = folder

    def stored(self) -> Iterator[Stored]:
        """All work folders."""
        for path in self.place.glob(f"{PREFIX}*"):
            dead = is_abandoned(path)
            # a running build's files are its own: they are not walked through
            size = folder_size(path, ANY_SIZE) if dead else 0
            yield Stored(path.name, min(size, ANY_SIZE), _time_of(path), "" if dead else RUNNING, dead)

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        path = self.place / stored.name
        return "" if is_abandoned(path) and discard(path) else IN_USE


class MirrorShelf:
    """Git mirrors: each URL's repository, and the one with its commits alone."""

    kind = TidyKind.MIRRORS

    def __init__(self, folder: Path, works: tuple[Path, ...]) -> None:
        self.place = folder
        self._works = works

    def stored(self) -> Iterator[Stored]:
        """All mirrors, and what an interrupted removal left."""
        begun = oldest_build(*self._works)
        for path in sorted(self.place.glob("*")):
            if not path.is_dir() or path.name.endswith(COMMITS):
                continue
            if path.name.endswith(REMOVED):
                yield Stored(path.name, folder_size(path, ANY_SIZE), dead=True)
                continue
            used = self._used(path.name)
            size = folder_size(path, ANY_SIZE) + folder_size(self._commits(path), ANY_SIZE)
            yield Stored(path.name, size, used, RUNNING if used >= begun else "")

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        path = self.place / stored.name
        if stored.dead:
            remove(path)
            return ""
        with _locked_now(path.with_suffix(LOCK)) as locked:
            if not locked or self._used(stored.name) >= oldest_build(*self._works):
                return IN_USE
            gone = [_renamed(one) for one in (path, self._commits(path)) if one.exists()]
        left = [one for one in gone if not remove(one)]
        return IN_USE if left else ""

    def _used(self, name: str) -> float:
        """Whoever opens a mirror leaves the time on its lock."""
        return max(_time_of((self.place / name).with_suffix(LOCK)), _time_of(self.place / name))

    @staticmethod
    def _commits(path: Path) -> Path:
        return path.with_name(f"{path.name}{COMMITS}")


class SourceShelf:
    """Archived sources, each with what is noted of the commits in it. What is pinned anywhere stays.

    `pinned` returns the ids of all pinned commits.
    """

    kind = TidyKind.SOURCES

    def __init__(self, folder: Path, works: tuple[Path, ...], pinned: Callable[[], frozenset[str]]) -> None:
        self.place = folder
        self._works = works
        self._pinned = pinned

    def stored(self) -> Iterator[Stored]:
        """All archives of trees."""
        notes, begun, pinned = self._notes(), oldest_build(*self._works), self._pinned()
        for path in sorted((self.place / "trees").glob("*.tar.gz")):
            its = notes.get(path.name, [])
            used = max(map(_time_of, (path, *its)))
            needed = PINNED if pinned & {note.stem for note in its} else RUNNING if used >= begun else ""
            yield Stored(path.name, path.stat().st_size, used, needed)

    def remove(self, stored: Stored) -> str:
        """See `Shelf.remove`."""
        path = self.place / "trees" / stored.name
        with _locked_now(self.place / "locks" / f"{stored.name.removesuffix('.tar.gz')}.lock") as locked:
            if not locked:
                return IN_USE
            notes = self._notes().get(stored.name, [])
            if self._pinned() & {note.stem for note in notes}:
                return PINNED
            for note in notes:
                note.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return ""

    def _notes(self) -> dict[str, list[Path]]:
        """The files of commits by the archive that they are in. Raises InfrastructureError when one cannot be read."""
        found: dict[str, list[Path]] = {}
        for note in (self.place / "commits").glob("*/*.json"):
            try:
                archive = str(json.loads(note.read_text())["archive"])
            except (OSError, ValueError, KeyError, TypeError) as error:
                what = f"{note} cannot be read, so no archived source is removed."
                raise InfrastructureError("source-note-damaged", what, next_step="Remove that file.") from error
            found.setdefault(f"{archive}.tar.gz", []).append(note)
        return found


@contextmanager
def _locked_now(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` (flock(2)) if nobody else does; whether it is held. A full disk has one already."""
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _renamed(path: Path) -> Path:
    gone = path.with_name(f"{path.name}{REMOVED}")
    if gone.exists():
        remove(gone)
    return path.rename(gone)


def _time_of(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def size_of(path: Path) -> int:
    """Return the bytes at and below `path`; 0 where nothing is."""
    return folder_size(path, ANY_SIZE) if path.exists() else 0
