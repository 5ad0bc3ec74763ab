"""The tier `bwrap`: bubblewrap with a file system, processes and network of the build's own (bwrap(1))."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.sandbox import launcher_plan, ownership, reaper, seccomp, system_paths, uid_pool
from devpi_forkbuilder.pipeline.sandbox.bwrap_program import find_bwrap
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits

INSIDE = Path("/build")
"""What the work folder is called in the box: always the same, since paths end up in what is built."""
HOST_NAME = "forkbuilder"
INSIDE_UID = "1000"
PATIENCE = 5.0
"""Seconds the kernel gets to empty a process namespace whose first process was killed."""

ETC = Path(__file__).parent / "etc"
SCRIPT = Path("/run/launcher.py")


class BwrapBox:
    """A box made anew, from the same parts, for each command."""

    def __init__(
        self, sandbox: BwrapSandbox, work: Path, readable: tuple[Path, ...], slot: uid_pool.Slot | None
    ) -> None:
        self.sandbox = sandbox
        self.limits = sandbox.limits
        self.launcher = sandbox.launcher
        self.work = work
        self.readable = readable
        self.slot = slot
        self.mark = reaper.new_mark()

    def path(self, inside: Path) -> str:
        """The same path below /build. Raises ValueError when `inside` is not in the work folder."""
        return str(INSIDE / inside.relative_to(self.work))

    def wrap(self, command: Command, *, network: bool) -> Command:
        """`command` in namespaces of its own; a server that runs as root gives the work folder to the box's user."""
        if self.slot:
            self._end_processes(self.slot)
            ownership.give(self.work, self.slot.uid, self.slot.uid)
        argv = (
            *(self.sandbox.program, "--die-with-parent", "--new-session", "--hostname", HOST_NAME),
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
            *(() if network else ("--unshare-net",)),
            *self._user(),
            *self._system(network=network),
            *self._own(),
            *dataclasses.replace(self.launcher, script=SCRIPT).argv(command, self._plan(command.cwd)),
        )
        return dataclasses.replace(command, argv=argv, env=launcher_plan.hidden(command.env, self.mark))

    def end(self) -> None:
        """See `Box.end`."""
        self._end_processes(self.slot)
        slot, self.slot = self.slot, None
        try:
            ownership.reclaim(self.work, os.geteuid(), os.getegid())
        finally:
            if slot:
                slot.release()

    def _end_processes(self, slot: uid_pool.Slot | None) -> None:
        marked, closing = reaper.carries(self.mark), reaper.closes("bwrap")
        reaper.until_gone(lambda pid: marked(pid) or closing(pid), patience=PATIENCE)
        if slot:
            reaper.until_gone(reaper.belongs_here(slot.uid))

    def _plan(self, cwd: Path) -> dict[str, Any]:
        inside = self.path(cwd) if cwd.is_relative_to(self.work) else str(INSIDE)
        plan: dict[str, Any] = {"limits": self.limits.resources(), "cwd": inside}
        if self.slot:
            plan["uid"] = self.slot.uid
        if self.slot or seccomp.knows(os.uname().machine):
            plan["seccomp"] = launcher_plan.call_filter(seccomp.INTERNET)
        return plan

    def _user(self) -> tuple[str, ...]:
        if self.slot is None:
            return ("--unshare-user", "--disable-userns", "--uid", INSIDE_UID, "--gid", INSIDE_UID, "--cap-drop", "ALL")
        # RLIMIT_NPROC never binds root, whatever a user namespace calls it (getrlimit(2)): the launcher leaves root
        # for good, and its filter refuses user namespaces.
        kept = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
        return ("--cap-drop", "ALL", *(word for name in kept for word in ("--cap-add", name)))

    def _system(self, *, network: bool) -> list[str]:
        arguments = _folders("/run/launcher", "/etc/passwd")
        for name in system_paths.there(
            system_paths.SYSTEM + system_paths.SETTINGS + (system_paths.NAMING if network else ())
        ):
            link = os.readlink(name) if Path(name).is_symlink() else None  # noqa: PTH115  (the text, as it is)
            top = Path(name).parent == Path("/")
            arguments += ["--symlink", link, name] if link and top else [*_folders(name), "--ro-bind", name, name]
        for name in ("passwd", "group", *(() if network else ("nsswitch.conf", "hosts"))):
            arguments += ["--ro-bind", str(ETC / name), f"/etc/{name}"]
        return [*arguments, "--proc", "/proc", "--dev", "/dev"]

    def _own(self) -> list[str]:
        arguments = []
        for name, size in (("/dev/shm", self.limits.shared_memory), ("/tmp", self.limits.tmp)):  # noqa: S108  (private)
            arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", name]
        for path in (self.launcher.home, *self.readable):
            known = path.is_relative_to("/usr")
            arguments += [] if known else [*_folders(str(path)), "--ro-bind", str(path), str(path)]
        arguments += ["--ro-bind", str(self.launcher.script), str(SCRIPT), "--bind", str(self.work), str(INSIDE)]
        # Both are in memory and have no size: nothing may be written beside the mounts.
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/"]
        return [*arguments, "--chdir", "/", "--"]


def _folders(*paths: str) -> list[str]:
    """The folders above each path, open to all: bwrap's own are closed to a user that is not the one it runs as."""
    above = [str(folder) for path in paths for folder in reversed(Path(path).parents[:-1])]
    return [word for name in above for word in ("--perms", "0755", "--dir", name)]


@dataclass(frozen=True, slots=True)
class BwrapSandbox:
    """The tier `bwrap`; `program` is the path of bwrap; with `own_user`, each box gets a user id (that needs root), of
    those that begin with `first_uid`. `origin` says which bubblewrap it is.
    """

    program: str
    limits: ResourceLimits
    own_user: bool
    launcher: launcher_plan.Launcher = field(default_factory=launcher_plan.Launcher)
    first_uid: int = uid_pool.FIRST
    origin: str = ""

    @property
    def name(self) -> str:
        """The tier."""
        return "bwrap"

    def reaches(self, path: Path) -> bool:  # noqa: ARG002  (all that the server reaches)
        """See `Sandbox.reaches`."""
        return True

    @property
    def scratch(self) -> Path | None:
        """See `Sandbox.scratch`."""
        return None

    @classmethod
    def find(cls, limits: ResourceLimits, search_path: str, first_uid: int = uid_pool.FIRST) -> BwrapSandbox:
        """With the program that `find_bwrap` finds, on `search_path` first; raises as that does."""
        found = find_bwrap(search_path)
        return cls(found.path, limits, own_user=os.geteuid() == 0, first_uid=first_uid, origin=str(found))

    def box(self, work: Path, *, readable: tuple[Path, ...] = ()) -> BwrapBox:
        """A box; the user id that it takes, if any, is handed back by its `end`."""
        return BwrapBox(self, work, readable, uid_pool.take(self.first_uid) if self.own_user else None)
