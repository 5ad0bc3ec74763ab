"""A control group for each command of a build: its memory and its processes are bounded, and ended, all together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.process.command import Bound, Command
from devpi_forkbuilder.pipeline.protocols import Box, Sandbox
from devpi_forkbuilder.pipeline.sandbox import cgroup_survey, reaper
from devpi_forkbuilder.pipeline.sandbox.cgroup_survey import MEMORY, PROCESSES, CgroupPlace
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits

PREFIX = "forkbuilder-build-"
BOUNDS = {
    (MEMORY, 1): ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
    (MEMORY, 2): ("memory.max",),
    (PROCESSES, 1): ("pids.max",),
    (PROCESSES, 2): ("pids.max",),
}
"""Files that take a limit; the last of several may be missing (accounting of swap can be off)."""
SWITCHES = (("memory.swap.max", "0"), ("memory.oom.group", "1"))
"""No swap beside the memory; when it is used up, the group ends as one. Of version 2, not in every kernel."""
COUNTS = {MEMORY: (("memory.events", "memory.oom_control"), "oom_kill"), PROCESSES: (("pids.events",), "max")}
ENTER = """
for group; do
    shift
    [ "$group" != -- ] || break
    [ -e "$group/cgroup.procs" ] && echo 0 > "$group/cgroup.procs" || exit 125
done
exec "$@"
"""
"""In sh: become a member of the groups before `--`. The program after it starts in them, with all that it starts."""
PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Groups:
    """The places that groups are made in, ready for that."""

    places: tuple[CgroupPlace, ...]

    @property
    def bounded(self) -> tuple[str, ...]:
        """Those of `memory` and `pids` that are bounded for whole builds."""
        return tuple(
            name for name in cgroup_survey.CONTROLLERS if any(name in place.controllers for place in self.places)
        )

    def new(self, limits: ResourceLimits) -> Group:
        """A group with `limits`; raises InfrastructureError (`no-cgroup`)."""
        name = f"{PREFIX}{reaper.new_mark()}"
        group = Group(tuple(place.folder / name for place in self.places), limits)
        try:
            for place, folder in zip(self.places, group.folders, strict=True):
                folder.mkdir()
                _bound(folder, place, limits)
        except OSError as error:
            group.end()
            what = f"No control group could be made for a build: {error.strerror}."
            step = "Look at /sys/fs/cgroup and the server's own group."
            raise InfrastructureError("no-cgroup", what, next_step=step) from None
        return group

    def sweep(self) -> None:
        """Remove the empty groups of servers that were killed."""
        for folder in (found for place in self.places for found in place.folder.glob(f"{PREFIX}*")):
            if reaper.is_stale(folder.name.removeprefix(PREFIX)):
                with contextlib.suppress(OSError):
                    folder.rmdir()


class Group:
    """One group, a folder in each hierarchy. The bound of a command (`command.Bound`)."""

    def __init__(self, folders: tuple[Path, ...], limits: ResourceLimits) -> None:
        self.folders = folders
        self.limits = limits
        self.other: Bound | None = None

    def wrap(self, command: Command) -> Command:
        """`command`, started in the group."""
        argv = ("/bin/sh", "-c", ENTER, "sh", *map(str, self.folders), "--", *command.argv)
        self.other = command.bound
        return replace(command, argv=argv, bound=self)

    def judge(self, status: int | None) -> None:
        """See `Bound.judge`. Who was refused a process may have done without: that counts only when it then failed."""
        if self.other is not None:
            self.other.judge(status)
        if self._count(MEMORY):
            what = f"The build used more than {self.limits.total_memory >> 20} MiB of memory in all and was stopped."
            raise LimitsError("memory", what, next_step="The server's --forkbuilder-limit-total-memory is the bound.")
        if status and self._count(PROCESSES):
            what = f"The build failed, and had been refused more than {self.limits.processes} processes and threads."
            raise LimitsError("processes", what, next_step="The server's --forkbuilder-limit-processes is the bound.")

    def end(self) -> None:
        """Kill all members; when this returns there is none. Raises InfrastructureError (`processes-remain`)."""
        for folder in self.folders:
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
        reaper.until_gone(self._has)
        until = time.monotonic() + PATIENCE
        for folder in self.folders:
            _remove(folder, until)

    def _has(self, pid: int) -> bool:
        return any(str(pid) in _read(folder / "cgroup.procs").split() for folder in self.folders)

    def _count(self, controller: str) -> int:
        names, word = COUNTS[controller]
        texts = (_read(folder / name) for folder in self.folders for name in names)
        pairs = (line.split() for text in texts for line in text.splitlines())
        return sum(int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == word)


class GroupedBox:
    """A box whose commands are in groups besides."""

    def __init__(self, sandbox: GroupedSandbox, box: Box) -> None:
        self.sandbox = sandbox
        self.box = box
        self.group: Group | None = None

    def path(self, inside: Path) -> str:
        """See `Box.path`."""
        return self.box.path(inside)

    def wrap(self, command: Command, *, network: bool) -> Command:
        """See `Box.wrap`. Each command has a group of its own, so that what it used too much of is its own, too."""
        self._end_group()
        wrapped = self.box.wrap(command, network=network)
        self.group = self.sandbox.groups.new(self.sandbox.limits)
        return self.group.wrap(wrapped)

    def end(self) -> None:
        """See `Box.end`."""
        self._end_group()
        self.box.end()

    def _end_group(self) -> None:
        group, self.group = self.group, None
        if group is not None:
            group.end()


@dataclass(frozen=True, slots=True)
class GroupedSandbox:
    """A tier, with `limits` for whole builds besides."""

    sandbox: Sandbox
    groups: Groups
    limits: ResourceLimits

    @property
    def name(self) -> str:
        """The tier."""
        return self.sandbox.name

    @property
    def origin(self) -> str:
        """See `Sandbox.origin`."""
        return self.sandbox.origin

    @property
    def scratch(self) -> Path | None:
        """See `Sandbox.scratch`."""
        return self.sandbox.scratch

    def reaches(self, path: Path) -> bool:
        """See `Sandbox.reaches`."""
        return self.sandbox.reaches(path)

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> GroupedBox:
        """See `Sandbox.box`."""
        return GroupedBox(self, self.sandbox.box(work, readable=readable))


def grouped(
    find: Callable[[ResourceLimits], Sandbox], limits: ResourceLimits, places: Iterable[CgroupPlace]
) -> GroupedSandbox | None:
    """The sandbox that `find` makes, with groups in those of `places` that can be used; None when there are none.

    A user's limit of processes counts the dead whom nobody has waited for, those of earlier builds too. Where groups
    bound processes it is twice as high, so that what ends a build is that build's own.
    """
    groups = Groups(tuple(place for place in map(cgroup_survey.prepare, places) if place is not None))
    groups.sweep()
    if not groups.bounded:
        return None
    double = replace(limits, processes=2 * limits.processes) if PROCESSES in groups.bounded else limits
    return GroupedSandbox(find(double), groups, limits)


def bounded(sandbox: Sandbox) -> tuple[str, ...]:
    """What `sandbox` bounds for whole builds, not for each of their processes alone: `memory`, `pids`, or nothing."""
    return sandbox.groups.bounded if isinstance(sandbox, GroupedSandbox) else ()


def _bound(folder: Path, place: CgroupPlace, limits: ResourceLimits) -> None:
    values = {MEMORY: limits.total_memory, PROCESSES: limits.processes}
    for controller in place.controllers:
        first, *more = BOUNDS[controller, place.version]
        (folder / first).write_text(str(values[controller]))
        for name in more:
            with contextlib.suppress(OSError):
                (folder / name).write_text(str(values[controller]))
    for name, value in SWITCHES:
        with contextlib.suppress(OSError):
            if (folder / name).exists():
                (folder / name).write_text(value)


def _remove(folder: Path, until: float) -> None:
    """The last member leaves a moment after it has ended. What stays is removed at the server's next start."""
    while folder.exists():
        with contextlib.suppress(OSError):
            folder.rmdir()
        if time.monotonic() > until:
            return
        time.sleep(0.002)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
