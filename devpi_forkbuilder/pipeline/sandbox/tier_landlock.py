"""The tier `landlock`: files, TCP, signals and other programs' memory are fenced off by the kernel, without any right.

For servers in containers that allow no namespaces. The build runs as the server's user. What Landlock does not see is
kept from it by the system call filter and `broker`: calls on other processes, and modes, owners and times of files
outside of the work folder. Beside the tier `uid` it lacks: a limit of processes of its own, /dev/shm, and before Linux
6.12 a guard that the build cannot evade and a defence against its signals. It can ask whether a path exists, and for
size and times of what it cannot open (stat(2)).
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.errors import LimitsError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import landlock_rules, launcher_plan, ownership, reaper, seccomp
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits

MINIMUM = 3
"""Before version 3 (Linux 6.2) Landlock cannot keep a build from cutting off the server's files: truncate(2)."""
PATIENCE = 10.0
"""Seconds the guard gets to do its work after the command has ended: it takes milliseconds, and more under load."""


SCOPES_SINCE = 6
"""Since version 6 (Linux 6.12) a build cannot send signals to others. What runs as root in no container needs that."""
INITIAL_NAMESPACE = 0xEFFFFFFC
"""PROC_PID_INIT_INO of the kernel: the number of the process namespace that the machine starts with."""


@dataclass(frozen=True, slots=True)
class ProcessCount:
    """The bound of a command (`command.Bound`) whose user no limit of processes holds for: root (getrlimit(2)).

    Counting comes after the fact. What is there by then is ended by the guard at one stroke.
    """

    mark: str
    most: int

    def judge(self, status: int | None) -> None:  # noqa: ARG002  (a command that has ended is not judged otherwise)
        """See `Bound.judge`."""
        found = reaper.threads(reaper.carries(self.mark))
        if found > self.most:
            what = f"The build had {found} processes and threads, and was stopped; {self.most} are allowed."
            raise LimitsError("processes", what, next_step="The server's --forkbuilder-limit-processes is the bound.")


def in_container() -> bool:
    """Whether this process is in a process namespace other than the machine's own (pid_namespaces(7))."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino != INITIAL_NAMESPACE
    except OSError:
        return False


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
        watched = self.sandbox.powerless
        minimum = MINIMUM if not watched or in_container() else SCOPES_SINCE
        plan = {
            "parent": os.getpid(),
            "limits": self.sandbox.limits.resources(),
            "shared_user": True,
            "powerless": watched,
            "guard": True,
            "landlock": landlock_rules.landlock((self.work,), self.readable, minimum=minimum, network=network),
            "seccomp": launcher_plan.call_filter(seccomp.INTERNET if network else seccomp.LOCAL, seccomp.Sharing.FILES),
        }
        wrapped = self.sandbox.launcher.wrap_shared(command, plan, self.mark, (self.work,))
        bound = ProcessCount(self.mark, self.sandbox.limits.processes)
        return dataclasses.replace(wrapped, bound=bound) if watched else wrapped

    def end(self) -> None:
        """See `Box.end`."""
        reaper.until_gone(reaper.carries(self.mark), patience=PATIENCE)
        ownership.reclaim(self.work, os.geteuid(), os.getegid())


@dataclass(frozen=True, slots=True)
class LandlockSandbox:
    """The tier `landlock`; `powerless`: the server runs as root, so builds give up all capabilities first."""

    limits: ResourceLimits
    launcher: launcher_plan.Launcher = field(default_factory=launcher_plan.Launcher)
    powerless: bool = False

    @property
    def name(self) -> str:
        """The tier."""
        return "landlock"

    def reaches(self, path: Path) -> bool:  # noqa: ARG002  (all that the server reaches)
        """See `Sandbox.reaches`."""
        return True

    @property
    def scratch(self) -> Path | None:
        """See `Sandbox.scratch`."""
        return None

    @property
    def origin(self) -> str:
        """No program: the kernel alone."""
        return ""

    @classmethod
    def find(cls, limits: ResourceLimits) -> LandlockSandbox:
        """For a server that runs as root, too: where it may not change its user, this is what the kernel offers."""
        return cls(limits, powerless=os.geteuid() == 0)

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> LandlockBox:
        """A box."""
        return LandlockBox(self, work, readable)
