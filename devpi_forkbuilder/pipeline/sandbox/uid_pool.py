"""User ids for builds: two builds at once never have the same one, on the whole machine."""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import socket
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.sandbox import ownership, reaper

FIRST = 61000
"""In a range that systemd's list of user ids calls unused (60578 to 61183), and below 65536: containers have these.

Whether another holds one is seen by a lock of the network namespace and by processes. Containers of one host that share
neither, and have no user namespace of their own, need ranges of their own (--forkbuilder-first-uid).
"""
COUNT = 128
SHARED_FOLDERS = (Path("/dev/shm"), Path("/tmp"), Path("/var/tmp"))  # noqa: S108  (what a build left there is removed)
SET_ASIDE: list[Slot] = []

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Slot:
    """A user id that is ours until it is released; nothing else on the machine runs under it."""

    uid: int
    lock: socket.socket = field(repr=False, compare=False)

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
        reaper.until_gone(reaper.belongs_to(uid))
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


def _lock(uid: int) -> socket.socket | None:
    """An abstract socket name (unix(7)): one holder in a network namespace, and free when its server dies."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0devpi-forkbuilder-uid-{uid}")
    except OSError:
        lock.close()
        return None
    return lock
