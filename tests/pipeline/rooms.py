"""Tiers to run hostile programs in: each on its own, and those for servers without rights as a user without rights."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.command import Command, Finished
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.protocols import Box, Sandbox
from devpi_forkbuilder.pipeline.sandbox.launcher_plan import Launcher
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.tier_bwrap import BwrapSandbox
from devpi_forkbuilder.pipeline.sandbox.tier_landlock import LandlockSandbox
from devpi_forkbuilder.pipeline.sandbox.tier_uid import UidSandbox
from devpi_forkbuilder.pipeline.sandbox.uid_pool import FIRST
from tests.pipeline.watching import Lines, never

PYTHON = shutil.which("python3", path="/usr/bin:/usr/local/bin")
UNPRIVILEGED = 41001
PIDFD_GETFD = 438  # on every architecture
ROOT = os.geteuid() == 0
PTRACE = 19
"""CAP_SYS_PTRACE's bit: who has it reads the environments of other users' processes (capabilities(7))."""


def reads_others() -> bool:
    """Whether this process has CAP_SYS_PTRACE; root in a container often has not."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:"))
    return bool(int(line.split()[1], 16) >> PTRACE & 1)


READY = b"ready\n"
ROOMS = ("bwrap", "bwrap-as-user", "uid", "landlock")


class Doorbell(Lines):
    """A log that calls `answer` once when the command says that it is ready."""

    def __init__(self, answer: Callable[[], None] | None) -> None:
        super().__init__()
        self.answer = answer

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.answer and READY in self.written:
            answer, self.answer = self.answer, None
            answer()


@dataclass
class Room:
    """A tier, and a folder that its work folders and what they must not reach are in."""

    name: str
    folder: Path
    demoted: bool
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    first_uid: int = FIRST

    @property
    def server_uid(self) -> int:
        return UNPRIVILEGED if self.demoted else os.geteuid()

    @property
    def sandbox(self) -> Sandbox:
        # An interpreter in root's home is out of reach for the user without rights.
        launcher = Launcher(Path(str(PYTHON)).resolve(), Path("/usr")) if self.demoted else Launcher()
        if self.name.startswith("bwrap"):
            program = str(shutil.which("bwrap"))
            own = ROOT and self.name == "bwrap"
            return BwrapSandbox(program, self.limits, own_user=own, launcher=launcher, first_uid=self.first_uid)
        if self.name == "uid":
            return UidSandbox(self.limits, self.folder, launcher, self.first_uid)
        return LandlockSandbox(self.limits, launcher)

    def file(self, name: str, content: str, mode: int = 0o644) -> Path:
        """A file of the server's, outside of every box."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(mode)
        self._own(path, *(above for above in path.parents if above.is_relative_to(self.folder)))
        return path

    def work(self, name: str = "1") -> Path:
        path = self.folder / f"build-{name}" / "box"
        path.mkdir(parents=True)
        self._own(path.parent, path)
        return path

    @contextmanager
    def box(self, name: str = "1", readable: tuple[Path, ...] = ()) -> Iterator[OpenRoom]:
        work = self.work(name)
        box = self.sandbox.box(work, readable=readable)
        try:
            yield OpenRoom(self, box, work)
        finally:
            box.end()

    def _own(self, *paths: Path) -> None:
        if self.demoted:
            for path in paths:
                os.chown(path, UNPRIVILEGED, UNPRIVILEGED)


@dataclass
class OpenRoom:
    """A box with what it takes to run something in it."""

    room: Room
    box: Box
    work: Path

    def command(self, *argv: str, env: dict[str, str] | None = None, timeout: float = 60) -> Command:
        return Command(argv, {"PATH": "/usr/bin:/bin"} if env is None else env, self.work, timeout, "hostile")

    def run(
        self, command: Command, *, network: bool = False, when_ready: Callable[[], None] | None = None
    ) -> tuple[Finished, str]:
        wrapped = self.box.wrap(command, network=network)
        if self.room.demoted:
            wrapped = dataclasses.replace(wrapped, argv=(*unprivileged(), *wrapped.argv))
        log = Doorbell(when_ready)
        finished = run(wrapped, log=log, cancelled=never)
        return finished, log.written.decode(errors="replace")

    def shell(self, script: str, *, network: bool = False, env: dict[str, str] | None = None) -> tuple[int, str]:
        finished, text = self.run(self.command("/bin/sh", "-c", script, env=env), network=network)
        return finished.returncode, text

    def python(
        self,
        script: str,
        *arguments: str,
        network: bool = False,
        timeout: float = 60,
        when_ready: Callable[[], None] | None = None,
    ) -> tuple[int, str]:
        command = self.command(str(PYTHON), "-I", "-c", script, *arguments, timeout=timeout)
        finished, text = self.run(command, network=network, when_ready=when_ready)
        return finished.returncode, text


def missing(name: str) -> str:
    """Why there cannot be a room here; empty when it can."""
    if PYTHON is None:
        return "needs a python3 of the system"
    if name == "uid" and not ROOT:
        return "needs root"
    return without_namespaces(name) if name.startswith("bwrap") else ""


def unprivileged() -> tuple[str, ...]:
    """The words with which root runs a command as the user without rights."""
    return (
        str(shutil.which("setpriv")),
        f"--reuid={UNPRIVILEGED}",
        f"--regid={UNPRIVILEGED}",
        "--clear-groups",
        "--",
    )


@cache
def without_namespaces(name: str) -> str:
    """Why bubblewrap cannot work on this machine. The kernel is asked by another program than the tested one."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    new = ("unshare", "--mount", "--pid", "--fork", "--mount-proc")
    command = (*new, "true") if ROOT and name == "bwrap" else (*new, "--user", "--map-root-user", "true")
    asked = subprocess.run((*(unprivileged() if demoted(name) else ()), *command), capture_output=True, check=False)
    return f"bubblewrap needs namespaces: {asked.stderr.decode().strip()}" if asked.returncode else ""


@cache
def without_sockets_of_others() -> str:
    """Why a server cannot connect the sockets of the builds that share its files; empty when it can.

    Docker's default filter allows pidfd_getfd(2) with CAP_SYS_PTRACE only.
    """
    process = os.pidfd_open(os.getpid())
    try:
        taken = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, process, 0, 0)
        reason = os.strerror(ctypes.get_errno())
    finally:
        os.close(process)
    if taken < 0:
        return f"this container refuses pidfd_getfd: {reason}"
    os.close(taken)
    return ""


def demoted(name: str) -> bool:
    return ROOT and name in ("bwrap-as-user", "landlock")


needs_namespaces = pytest.mark.skipif(bool(without_namespaces("bwrap")), reason=without_namespaces("bwrap"))


@pytest.fixture(params=ROOMS)
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    if reason := missing(request.param):
        pytest.skip(reason)
    # Not tmp_path: its parents are closed to other users, which is one of the tiers' conditions.
    folder = Path(tempfile.mkdtemp(prefix="forkbuilder-room-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        room = Room(request.param, folder, demoted(request.param))
        if room.demoted:
            os.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
        if request.param == "landlock":
            skip_without_landlock(room)
        yield room
    finally:
        assert remove(folder)


def skip_without_landlock(room: Room) -> None:
    try:
        with room.box("trial") as box:
            status, text = box.shell("exit 0")
    except InfrastructureError as error:
        pytest.skip(error.message)
    if status:
        pytest.skip(text)
