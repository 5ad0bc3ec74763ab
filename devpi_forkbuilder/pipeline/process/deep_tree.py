"""Walk and remove folders that a hostile program has made.

Such a tree has paths past PATH_MAX, thousands of levels, folders without permissions and links to anywhere. So it is
walked by descriptors (openat(2)), not by paths; without recursion; with one open folder at a time, whatever its depth;
and never through a symbolic link.
"""

from __future__ import annotations

import contextlib
import enum
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENTERED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PASSED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
ROUNDS = 8
"""How often removal begins anew while it gets on: a file system may leave entries out while others are removed."""
DETOUR = 100_000
"""Folders that one walk may open a second time, when a living program moves them meanwhile."""


class Moment(enum.Enum):
    """When an entry is reported."""

    FOUND = "found"
    CLOSED = "closed"
    """A folder that cannot be listed, after it was found."""
    LEFT = "left"
    """A folder, after everything in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry `name` of the folder open as `parent`; `status` is None when the moment is not FOUND.

    `parent` may be an O_PATH descriptor, and is good until the next entry is asked for.
    """

    moment: Moment
    parent: int
    name: str
    status: os.stat_result | None = None


@dataclass(slots=True)
class _Level:
    name: str
    identity: tuple[int, int]
    folders: list[str]


def walk(path: Path, *, unlock: bool = False) -> Iterator[Entry]:
    """Every entry at and below `path`, each folder before what is in it and once more after it.

    `unlock` makes folders readable and writable on the way; only when no process of the program lives.
    A living program may move things meanwhile: what vanishes is left out, what cannot be listed is reported as CLOSED.
    """
    try:
        current = os.open(path.parent, PASSED & ~os.O_NOFOLLOW)
    except OSError:
        return
    with contextlib.ExitStack() as stack:
        top = os.dup(current)
        stack.callback(os.close, top)
        steps = _Walk(top, current, unlock=unlock)
        stack.callback(steps.close)
        yield from steps.all(path.name)


class _Walk:
    """The folder a walk is in, and the way to it."""

    def __init__(self, top: int, current: int, *, unlock: bool) -> None:
        self.top, self.current, self.unlock = top, current, unlock
        self.levels = [_Level("", _identity(top), [])]
        self.detour = DETOUR

    def close(self) -> None:
        """Let go of the folder that is open."""
        os.close(self.current)

    def all(self, name: str) -> Iterator[Entry]:
        """What `walk` says."""
        try:
            status = os.stat(name, dir_fd=self.current, follow_symlinks=False)
        except OSError:
            return
        yield Entry(Moment.FOUND, self.current, name, status)
        if not stat.S_ISDIR(status.st_mode):
            return
        self.levels[0].folders.append(name)
        while len(self.levels) > 1 or self.levels[0].folders:
            level = self.levels[-1]
            if level.folders:
                yield from self._descend(level.folders.pop())
            else:
                self.levels.pop()
                yield self._ascend(level)

    def _descend(self, name: str) -> Iterator[Entry]:
        try:
            opened = _opened(self.current, name, unlock=self.unlock)
        except (FileNotFoundError, NotADirectoryError):  # moved away meanwhile
            return
        except OSError:
            yield Entry(Moment.CLOSED, self.current, name)
            return
        os.close(self.current)
        self.current = opened
        level = _Level(name, _identity(opened), [])
        self.levels.append(level)
        try:
            with os.scandir(opened) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            level.folders.append(entry.name)
                        yield Entry(Moment.FOUND, opened, entry.name, status)
        except OSError:
            yield Entry(Moment.CLOSED, opened, ".")

    def _ascend(self, below: _Level) -> Entry:
        """Go to the folder above, which is the last of the levels; CLOSED when there is no way back to it."""
        try:
            above = os.open("..", PASSED, dir_fd=self.current)
        except OSError:
            return self._return(below)
        if _identity(above) != self.levels[-1].identity:
            os.close(above)
            return self._return(below)
        os.close(self.current)
        self.current = above
        return Entry(Moment.LEFT, above, below.name)

    def _return(self, below: _Level) -> Entry:
        """Come back from the top, as far down as the folders are still where they were."""
        os.close(self.current)
        self.current = os.dup(self.top)
        for depth, level in enumerate(self.levels[1:], start=1):
            self.detour -= 1
            try:
                inner = os.open(level.name, PASSED, dir_fd=self.current) if self.detour > 0 else None
            except OSError:
                inner = None
            if inner is None or _identity(inner) != level.identity:
                if inner is not None:
                    os.close(inner)
                del self.levels[depth:]
                return Entry(Moment.CLOSED, self.current, level.name)
            os.close(self.current)
            self.current = inner
        return Entry(Moment.LEFT, self.current, below.name)


def remove(path: Path) -> bool:
    """Remove `path`, whatever it is; True when it is gone. Only when no process of the program lives.

    Never raises OSError: what cannot be removed stays.
    """
    for _ in range(ROUNDS):
        removed = sum(_removed(entry) for entry in walk(path, unlock=True))
        if not os.path.lexists(path):
            return True
        if not removed:
            break
    return False


def _removed(entry: Entry) -> bool:
    if entry.moment is Moment.CLOSED:
        return False
    with contextlib.suppress(OSError):
        if entry.status is None:
            os.rmdir(entry.name, dir_fd=entry.parent)
            return True
        if not stat.S_ISDIR(entry.status.st_mode):
            os.unlink(entry.name, dir_fd=entry.parent)
            return True
    return False


def _opened(parent: int, name: str, *, unlock: bool) -> int:
    """The folder `name`, open for listing."""
    if not unlock:
        return os.open(name, ENTERED, dir_fd=parent)
    handle = os.open(name, PASSED, dir_fd=parent)
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            with contextlib.suppress(OSError):
                # the one way to chmod(2) what a descriptor of this kind stands for, without following anything
                Path(f"/proc/self/fd/{handle}").chmod(mode | stat.S_IRWXU)
        return os.open(".", ENTERED, dir_fd=handle)
    finally:
        os.close(handle)


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
