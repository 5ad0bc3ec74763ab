"""No confinement: only when asked for. The build sees what the server's user sees; limits are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import launcher_plan, ownership, reaper
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits


class OpenBox:
    """A box without walls."""

    def __init__(self, sandbox: NoSandbox, work: Path) -> None:
        self.sandbox = sandbox
        self.work = work
        self.mark = reaper.new_mark()

    def path(self, inside: Path) -> str:
        """The path itself."""
        return str(inside)

    def wrap(self, command: Command, *, network: bool) -> Command:  # noqa: ARG002  (no walls, no network rule)
        """The command with limits and a mark."""
        limits = self.sandbox.limits.resources()
        plan = {"parent": os.getpid(), "limits": limits, "shared_user": True}
        return self.sandbox.launcher.wrap(command, plan, self.mark)

    def end(self) -> None:
        """See `Box.end`; a process that has dropped its mark is not found."""
        reaper.until_gone(reaper.carries(self.mark))
        ownership.reclaim(self.work, os.geteuid(), os.getegid())


@dataclass(frozen=True, slots=True)
class NoSandbox:
    """The tier `none`."""

    limits: ResourceLimits = field(default_factory=ResourceLimits)
    launcher: launcher_plan.Launcher = field(default_factory=launcher_plan.Launcher)

    @property
    def name(self) -> str:
        """The tier."""
        return "none"

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

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> OpenBox:  # noqa: ARG002  (everything is readable)
        """A box without walls."""
        return OpenBox(self, work)
