"""The tier `landlock`: files, TCP, signals and other programs' memory are fenced off by the kernel, without any right.

For servers in containers that allow no namespaces. The build runs as the server's user. What Landlock does not see is
kept from it by the system call filter and `broker`: calls on other processes, and modes, owners and times of files
outside of the work folder. Beside the tier `uid` it lacks: a limit of processes of its own, /dev/shm, and before Linux
6.12 a guard that the build cannot evade and a defence against its signals. It can ask whether a path exists, and for
size and times of what it cannot open (stat(2)).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import landlock_rules, launcher_plan, ownership, reaper, seccomp
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits

MINIMUM = 3
"""Before version 3 (Linux 6.2) Landlock cannot keep a build from cutting off the server's files: truncate(2)."""
PATIENCE = 10.0
"""Seconds the guard gets to do its work after the command has ended: it takes milliseconds, and more under load."""


class LandlockBox:
    """A box whose walls are Landlock's."""

    def __init__(self, sandbox: LandlockSandbox, work: Path, readable: tuple[Path, ...]) -> None:
        self.sandbox = sandbox
        self.work = work
        self.readable = readable
        self.mark = reaper.new_mark()

    def path(self, inside: Path) -> str:
        """The path itself."""
        return str(inside)

    def wrap(self, command: Command, *, network: bool) -> Command:
        """`command` behind Landlock."""
        plan = {
            "parent": os.getpid(),
            "limits": self.sandbox.limits.resources(),
            "shared_user": True,
            "guard": True,
            "landlock": landlock_rules.landlock((self.work,), self.readable, minimum=MINIMUM, network=network),
            "seccomp": launcher_plan.call_filter(seccomp.INTERNET if network else seccomp.LOCAL, seccomp.Sharing.FILES),
        }
        return self.sandbox.launcher.wrap_shared(command, plan, self.mark, (self.work,))

    def end(self) -> None:
        """See `Box.end`."""
        reaper.until_gone(reaper.carries(self.mark), patience=PATIENCE)
        ownership.reclaim(self.work, os.geteuid(), os.getegid())


@dataclass(frozen=True, slots=True)
class LandlockSandbox:
    """The tier `landlock`."""

    limits: ResourceLimits
    launcher: launcher_plan.Launcher = field(default_factory=launcher_plan.Launcher)

    @property
    def name(self) -> str:
        """The tier."""
        return "landlock"

    @property
    def origin(self) -> str:
        """No program: the kernel alone."""
        return ""

    @classmethod
    def find(cls, limits: ResourceLimits) -> LandlockSandbox:
        """Raises InfrastructureError (`is-root`) for a server that runs as root."""
        if os.geteuid() == 0:
            what = "Landlock alone does not hold a build that runs as root: the limit of processes is not kept."
            next_step = "Start the server as another user."
            raise InfrastructureError("is-root", what, next_step=next_step, retryable=False)
        return cls(limits)

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> LandlockBox:
        """A box."""
        return LandlockBox(self, work, readable)
