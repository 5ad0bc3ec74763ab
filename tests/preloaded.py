"""Processes forked from one that has imported their modules already: importing is more than half of what a start of
devpi-server costs (0.8 of 1.4 seconds of CPU), and nearly all of what a command of devpi-client does.

Only what runs as `python -c` can be forked; its modules have to be those that a process of its own would import.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests import forking
from tests.surroundings import clean_environment

START = """\
import sys
_, control, file, setup = sys.argv
own = {}
with open(file) as source:
    exec(compile(source.read(), file, "exec"), own)
exec(setup, {})
exec(own["serve"](int(control)), {"__name__": "__main__"})
"""
"""What is forked ends as any program ends: with its threads, and what was registered with `atexit`."""
READ_WHILE_IMPORTING = ("PYTHON", "LD_", "LC_", "LANG", "TMPDIR")
"""How the variables begin that make a difference before a program is there."""


MADE: dict[str, Preloaded] = {}
MAKING = threading.Lock()


class Forked:
    """A process that another one has forked, as `subprocess.Popen` shows those of its own."""

    stdout = None

    def __init__(self, args: tuple[str, ...], channel: socket.socket, outputs: tuple[IO[bytes], ...]) -> None:
        """`outputs` are what it writes its output and its errors to, if the caller has no file for both."""
        self.args = args
        self.returncode: int | None = None
        self._channel = channel
        self._outputs = outputs
        self.pid = self._receive()

    def poll(self) -> int | None:
        """The exit status; None while it runs. As of Popen, a signal's number is negative."""
        if self.returncode is None and select.select([self._channel], [], [], 0)[0]:
            self.returncode = self._receive()
            self._channel.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._channel], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        status = self.poll()
        assert status is not None
        return status

    def communicate(self, timeout: float | None = None) -> tuple[bytes, ...]:
        """Wait; what it has written, unless that went to the caller's own file."""
        self.wait(timeout)
        outputs, self._outputs = self._outputs, ()
        return tuple(_content(file) for file in outputs) or (b"", b"")

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def _receive(self) -> int:
        received = self._channel.recv(forking.NUMBER.size)
        assert received, "the process that this one was forked from has ended"
        return int(forking.NUMBER.unpack(received)[0])


class Preloaded:
    """The process that has `setup` (Python statements) behind it."""

    def __init__(self, setup: str, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._network = _network()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START, str(theirs.fileno()), forking.__file__, setup],
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def can(self, command: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the command is a program for this Python, in an environment in which modules are imported alike, and
        in the network namespace that the process was started in."""
        alike = all(
            environment.get(name) == self._environment.get(name)
            for name in {*environment, *self._environment}
            if name.startswith(READ_WHILE_IMPORTING)
        )
        return alike and [*command[:2]] == [sys.executable, "-c"] and _network() == self._network

    def fork(
        self, command: Sequence[str], environment: Mapping[str, str], cwd: Path, output: IO[bytes] | None
    ) -> Forked:
        """Run `python -c PROGRAM ARGUMENT...`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outputs = () if output else (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115  (closed when they are read)
        files = (output, output) if output else outputs
        message = {"words": list(command[2:]), "environment": dict(environment), "cwd": str(cwd)}
        with theirs:
            descriptors = [*(file.fileno() for file in files), theirs.fileno()]
            socket.send_fds(self._control, [json.dumps(message).encode()], descriptors)
        return Forked(tuple(command), ours, outputs)

    def end(self) -> None:
        """End it; what it has forked runs on."""
        self._control.close()
        self._process.wait()


def preloaded(setup: str) -> Preloaded:
    """The process that has `setup` behind it, made when it is asked for the first time."""
    with MAKING:
        if setup not in MADE:
            MADE[setup] = Preloaded(setup, clean_environment(Path("/")))
        return MADE[setup]


def end_all() -> None:
    """End the processes that are forked from."""
    while MADE:
        MADE.popitem()[1].end()


def _network() -> int:
    """The network namespace of this thread, and of what it starts (network_namespaces(7))."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


def _content(file: IO[bytes]) -> bytes:
    with file:
        file.seek(0)
        return file.read()
