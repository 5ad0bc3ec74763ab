"""Processes that tests start: each in a session of its own (setsid(2)), each remembered, so that one look at /proc says
whether any of them, or of their children, was left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from tests.preloaded import Forked, Preloaded

STARTED: set[int] = set()
"""The ids of the sessions that tests opened."""


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the process table. `session` and `parent` are process ids; `command` is for people."""

    pid: int
    parent: int
    session: int
    state: str
    command: str


@dataclass(frozen=True, slots=True)
class Result:
    """How a process ended: its exit status, what it wrote, how long it took (wall clock, seconds)."""

    command: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def output(self) -> str:
        return self.stdout + self.stderr

    def check(self) -> Result:
        """Itself, if the exit status is 0; else the test fails with the output."""
        assert self.returncode == 0, f"{' '.join(self.command)}\nexit status {self.returncode}\n{self.output}"
        return self


class Running:
    """A process at work. Those that nobody waited for or killed are in `ALIVE`."""

    ALIVE: ClassVar[set[Running]] = set()

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        output: IO[bytes] | None,
        preloaded: Preloaded | None = None,
    ) -> None:
        """Output goes to the open file `output`, or is collected for `wait`. Forked from `preloaded` if it can be."""
        self.command = tuple(command)
        self._start = time.monotonic()
        self.popen: Forked | subprocess.Popen[bytes]
        if preloaded is not None and preloaded.can(command, environment):
            self.popen = preloaded.fork(command, environment, cwd, output)
        else:
            self.popen = subprocess.Popen(
                self.command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output if output is not None else subprocess.PIPE,
                stderr=subprocess.STDOUT if output is not None else subprocess.PIPE,
                start_new_session=True,
            )
        STARTED.add(self.popen.pid)
        self.ALIVE.add(self)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait(self, timeout: float) -> Result:
        """Wait for the end, at most `timeout` seconds; then the whole session is killed and `TimeoutExpired` raised."""
        try:
            stdout, stderr = self.popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.ALIVE.discard(self)
        seconds = time.monotonic() - self._start
        return Result(self.command, self.popen.returncode, _text(stdout), _text(stderr), seconds)

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to every process of the session."""
        kill_session(self.pid)
        self.popen.communicate()
        self.ALIVE.discard(self)


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def table() -> Iterator[Process]:
    """Every process of the machine that /proc shows (proc(5), `/proc/[pid]/stat`)."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                head, _, tail = (entry / "stat").read_text().rpartition(")")
                state, parent, _, session, *_ = tail.split()
                words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                yield Process(int(entry.name), int(parent), int(session), state, words or head.partition("(")[2])


def descendants(pid: int) -> tuple[Process, ...]:
    """The children of a process, theirs, and so on."""
    everybody = tuple(table())
    found: list[Process] = []
    parents = {pid}
    while parents:
        children = [process for process in everybody if process.parent in parents]
        found.extend(children)
        parents = {process.pid for process in children}
    return tuple(found)


def remember_descendants(pid: int) -> None:
    """So that `left_over` knows the sessions that a server's own children opened."""
    STARTED.update(process.session for process in descendants(pid))


def left_over() -> tuple[Process, ...]:
    """Processes of remembered sessions that still run; a zombie has ended and only waits for its parent."""
    ours = os.getsid(0)
    return tuple(process for process in table() if process.session in STARTED - {ours} and process.state not in "ZX")


def kill_session(session: int) -> None:
    """SIGKILL to every process of one remembered session."""
    assert session in STARTED, f"session {session} was not started by these tests"
    for process in table():
        if process.session == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
