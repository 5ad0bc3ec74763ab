"""The tier `uid`: each build runs as a user of its own, behind Landlock where the kernel has it; needs root.

Beside bubblewrap it lacks: a private /tmp (TMPDIR has to be in the work folder), a process namespace (a guard kills by
user instead), and, on kernels without Landlock, the files that everybody may read are readable. Socket files are
reached through `broker`, which knows those in the work folder only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import landlock_rules, launcher_plan, ownership, reaper, seccomp, uid_pool
from devpi_forkbuilder.pipeline.sandbox.open_place import closed_part, passable
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  (what a build leaves there is removed)
PATIENCE = 10.0
"""Seconds the guard gets to do its work after the command has ended: it takes milliseconds, and more under load."""


class UidBox:
    """A box whose walls are a user id's."""

    def __init__(self, sandbox: UidSandbox, work: Path, readable: tuple[Path, ...], slot: uid_pool.Slot) -> None:
        self.sandbox = sandbox
        self.work = work
        self.readable = readable
        self.slot: uid_pool.Slot | None = slot
        self.mark = reaper.new_mark()

    def path(self, inside: Path) -> str:
        """The path itself."""
        return str(inside)

    def wrap(self, command: Command, *, network: bool) -> Command:
        """`command` as the box's user, to whom the work folder is given."""
        slot = self._held()
        self._end_processes(slot)
        _admit(self.work.parent, slot.uid)
        ownership.give(self.work, slot.uid, slot.uid)
        plan = {
            "parent": os.getpid(),
            "limits": self.sandbox.limits.resources(),
            "uid": slot.uid,
            "guard": True,
            "landlock": landlock_rules.landlock((self.work, SHARED_MEMORY), self.readable, minimum=0, network=network),
            "seccomp": launcher_plan.call_filter(
                seccomp.INTERNET if network else seccomp.LOCAL, seccomp.Sharing.PROCESSES
            ),
        }
        if network:
            return self.sandbox.launcher.wrap(command, plan, self.mark)
        return self.sandbox.launcher.wrap_shared(command, plan, self.mark, (self.work,))

    def end(self) -> None:
        """See `Box.end`."""
        if self.slot is None:
            return
        self._end_processes(self.slot)
        slot, self.slot = self.slot, None
        try:
            ownership.reclaim(self.work, os.geteuid(), os.getegid())
            _admit(self.work.parent, os.getegid())
        finally:
            slot.give_back()

    def _held(self) -> uid_pool.Slot:
        if self.slot is None:
            raise InfrastructureError("box-ended", "A command was started in a box that has ended.", retryable=False)
        return self.slot

    def _end_processes(self, slot: uid_pool.Slot) -> None:
        reaper.until_gone(reaper.carries(self.mark), patience=PATIENCE)
        reaper.until_gone(reaper.belongs_here(slot.uid))


def _admit(path: Path, group: int) -> None:
    """Let one group pass through the folder that a build's folder is in: other builds must not."""
    os.chown(path, -1, group)
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IXGRP)


@dataclass(frozen=True, slots=True)
class UidSandbox:
    """The tier `uid`; work folders are below `scratch`, users of builds begin with `first_uid`."""

    limits: ResourceLimits
    scratch: Path
    launcher: launcher_plan.Launcher = field(default_factory=launcher_plan.Launcher)
    first_uid: int = uid_pool.FIRST

    @property
    def name(self) -> str:
        """The tier."""
        return "uid"

    @property
    def origin(self) -> str:
        """No program: the kernel alone."""
        return ""

    @classmethod
    def find(cls, limits: ResourceLimits, scratch: Path, first_uid: int = uid_pool.FIRST) -> UidSandbox:
        """Raises InfrastructureError (`not-root`) when the server may not change its user."""
        if os.geteuid() != 0:
            next_step = "Start the server as root, or choose another tier."
            what = "Running builds as users of their own needs a server that runs as root."
            raise InfrastructureError("not-root", what, next_step=next_step, retryable=False)
        return cls(limits, passable(scratch), first_uid=first_uid)

    def reaches(self, path: Path) -> bool:
        """See `Sandbox.reaches`."""
        return closed_part(path) is None

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> UidBox:
        """A box; raises InfrastructureError (`folder-closed`) when other users cannot get to its folders."""
        self._open_ours(work)
        for path in (work.parent.parent, *readable):
            _check_open(path)
        return UidBox(self, work, readable, uid_pool.take(self.first_uid))

    def _open_ours(self, work: Path) -> None:
        """Let others pass through, not look into, those folders above `work` that are this program's own."""
        for path in work.parents[1:]:
            if path.is_relative_to(self.scratch):
                path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IXOTH)


def _check_open(path: Path) -> None:
    closed = closed_part(path)
    if closed is not None:
        what = f"The user of a build cannot pass through {closed}."
        next_step = f"Let others pass (chmod o+x {closed}), or keep builds and interpreters in another place."
        raise InfrastructureError("folder-closed", what, next_step=next_step, retryable=False)
