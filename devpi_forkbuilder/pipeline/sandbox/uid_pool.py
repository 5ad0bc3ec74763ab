"""User ids for builds: two builds at once never have the same one, on the whole machine."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pwd
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.sandbox import ownership, reaper

FIRST = 61000
"""In a range that systemd's list of user ids calls unused (60578 to 61183), and below 65536: containers have these.

Whether another holds one is seen by a lock of the network namespace, by one of the file system and by processes.
Containers of one host that share none of them, and have no user namespace of their own, should have ranges of their own
(--forkbuilder-first-uid): limits that count by user count both.
"""
LOCKS = Path("/run/lock/devpi-forkbuilder")
"""Where servers in network namespaces of their own see each other's locks."""
COUNT = 128
SHARED_FOLDERS = (Path("/dev/shm"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108  (what a build left there is removed)
SET_ASIDE: list[Slot] = []

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """A user id that is ours until it is released; nothing else on the machine runs under it."""

    uid: int
    lock: contextlib.ExitStack = field(repr=False, compare=False)

    def release(self) -> None:
        """Hand it back; once more does no harm."""
        self.lock.close()

    def give_back(self) -> None:
        """Release it when it is empty, else set it aside."""
        if emptied(self.uid):
            self.release()
        else:
            self.set_aside()

    def set_aside(self) -> None:
        """Keep it for as long as this server runs: something of a build stays under it that others must not see."""
        log.warning("user %d is set aside: what a build left under it could not be removed", self.uid)
        SET_ASIDE.append(self)


def take(first: int = FIRST, count: int = COUNT) -> Slot:
    """A free user id. Raises InfrastructureError (`no-free-uid`) when there is none."""
    for uid in range(first, first + count):
        if _named(uid) or (lock := _lock(uid)) is None:
            continue
        if _used_elsewhere(uid):
            lock.close()
            continue
        slot = Slot(uid, lock)
        if emptied(uid):
            return slot
        slot.set_aside()
    what = f"All user ids for builds ({first} to {first + count - 1}) are in use."
    raise InfrastructureError("no-free-uid", what, next_step="Lower --forkbuilder-workers.")


def emptied(uid: int) -> bool:
    """End the processes of `uid` and remove what it has left where everybody may write; False when something stays."""
    try:
        reaper.until_gone(reaper.belongs_here(uid))
    except InfrastructureError as error:
        log.warning("%s", error)
        return False
    return [shared for shared in SHARED_FOLDERS if not ownership.clear(shared, uid)] == []


def _used_elsewhere(uid: int) -> bool:
    """Whether a server that runs builds under `uid`: the lock is of a network namespace, and it may be in another."""
    belongs = reaper.belongs_to(uid)
    return reaper.is_there(lambda pid: belongs(pid) and reaper.of_living_server(pid))


def _named(uid: int) -> bool:
    if uid == os.geteuid():
        return True
    with contextlib.suppress(KeyError):
        pwd.getpwuid(uid)
        return True
    return False


def _lock(uid: int) -> contextlib.ExitStack | None:
    """Both locks, free when their server dies; None when another holds one.

    An abstract socket name (unix(7)) has one holder in a network namespace; a file (flock(2)) has one among those who
    see the folder. Where there can be no such folder (a read-only file system) the name alone has to do.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(f"\0devpi-forkbuilder-uid-{uid}")
            if (file := _lock_file(uid)) is not None:
                stack.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        return stack.pop_all()


def _lock_file(uid: int) -> int | None:
    try:
        LOCKS.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = LOCKS.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
            return None  # another user's, in a folder that everybody may write to
        return os.open(LOCKS / str(uid), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
