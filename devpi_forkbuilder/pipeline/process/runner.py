"""The one door to subprocesses.

A command gets a complete environment and a session of its own, is followed on monotonic time, and never leaves its
process group behind. Processes that made a session of their own escape `killpg`; the sandbox's process namespace
is what ends those (pid_namespaces(7)).
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.process.command import Command, Finished
from devpi_forkbuilder.pipeline.protocols import CancelledError, LogSink

TICK = 0.2
"""Seconds between two looks at the limits and at `cancelled`."""
GRACE = 3.0
"""Seconds between the request to end and the end by force."""
HELD = 0.5
"""Seconds that output may still come after the command itself has ended."""
CHUNK = 64 * 1024
TAIL = 16 * 1024

# A parent-death signal (prctl(2), bwrap --die-with-parent) is sent when the *thread* that spawned the child ends, so
# all children are spawned by one thread that lives as long as the interpreter.
SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forkbuilder-spawner")


def run(command: Command, *, log: LogSink, cancelled: Callable[[], bool]) -> Finished:
    """Run `command` to its end; whatever its exit status is, it is the caller's to judge.

    Raises LimitsError (`timeout`, `silence`, `output-too-large`, what `bound` raises), InfrastructureError
    (`program-missing`, `folder-missing`, `spawn-failed`) and CancelledError; the command's process group is gone in
    every case.
    """
    if cancelled():
        raise CancelledError(command.label)
    child = _Child(command, log)
    try:
        child.follow(cancelled)
    finally:
        child.end()
    child.judge_output()
    finished = child.finished()
    _judge_use(command, finished.returncode)
    return finished


def run_as_user(command: Command, *, cancelled: Callable[[], bool]) -> Finished:
    """Run a command of the person at the keyboard, on any POSIX system; `tail` is the end of its standard error.

    What it leaves running when it ends by itself (a credential cache, a shared ssh connection) is that person's, and is
    left alone. `silence`, `capture` and `stdin` have no meaning here. Raises as `run` does; then the group is gone.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.monotonic()
        process = _popen_as_user(command, output, errors)
        try:
            while not _has_ended(process):
                if cancelled():
                    raise CancelledError(command.label)
                _judge_as_user(command, time.monotonic() - started, max(_size(output), _size(errors)))
        finally:
            _end_group(process)
        _judge_as_user(command, 0.0, _size(output))
        seconds = time.monotonic() - started
        output.seek(0)
        errors.seek(max(0, _size(errors) - TAIL))
        return Finished(process.returncode, seconds, output.read(), errors.read())


class _Child:
    """A running command: its pipes, its clock and its end."""

    def __init__(self, command: Command, log: LogSink) -> None:
        self.command = command
        self.log = log
        self.started = self.heard = self.looked = time.monotonic()
        self.captured = bytearray()
        self.overflow = False
        self.tail = bytearray()
        self.pending = memoryview(command.stdin)
        self.process = _spawn(command)
        self.selector = selectors.DefaultSelector()
        self.outputs = 0
        try:
            self._register(os.pidfd_open(self.process.pid))
        except BaseException:  # out of descriptors: nobody else knows of the process yet
            self._signal(signal.SIGKILL)
            self.process.wait()
            raise

    def _register(self, exit_descriptor: int) -> None:
        self.exit_descriptor = exit_descriptor
        self.selector.register(self.exit_descriptor, selectors.EVENT_READ, self._note_exit)
        self.gone = False
        if self.process.stdin is not None:
            os.set_blocking(self.process.stdin.fileno(), False)
            self.selector.register(self.process.stdin, selectors.EVENT_WRITE, self._feed)
        for stream, take in ((self.process.stdout, self._take_stdout), (self.process.stderr, self._take_log)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self.selector.register(stream, selectors.EVENT_READ, take)
                self.outputs += 1

    def follow(self, cancelled: Callable[[], bool]) -> None:
        """Until the command itself ends; raises when it must not go on."""
        while not self.gone:
            self._pump(TICK)
            now = time.monotonic()
            self.judge_output()
            self._judge_time(now)
            if now - self.looked >= TICK:
                self.looked = now
                _judge_use(self.command, None)
                if cancelled():
                    raise CancelledError(self.command.label)
        self._drain(HELD)

    def end(self) -> None:
        """Ask, wait, force; then whatever of the group is left is killed, before its number can be used again."""
        try:
            if not self.gone:
                self._signal(signal.SIGTERM)
                self._await_exit(GRACE)
            self._signal(signal.SIGKILL)
            self._drain(HELD)
            self._reap()
            self._await_group(HELD)
        finally:
            self._close()

    def finished(self) -> Finished:
        """What became of the command, once it has ended."""
        seconds = time.monotonic() - self.started
        return Finished(self.process.returncode, seconds, bytes(self.captured), bytes(self.tail))

    def judge_output(self) -> None:
        """Raises LimitsError when there was more output to keep than allowed."""
        if self.overflow:
            limit = self.command.capture_limit
            raise LimitsError("output-too-large", f"{self.command.label} gave more than {limit} bytes of output.")

    def _judge_time(self, now: float) -> None:
        command = self.command
        if now - self.started > command.timeout:
            # what is left of a whole build's time is not a round number
            seconds = round(command.timeout) if command.timeout >= 10 else round(command.timeout, 1)
            what = f"{command.label} took longer than {seconds:g} seconds and was stopped."
            raise LimitsError("timeout", what, next_step="The end of the log shows how far it came.")
        if command.silence is not None and now - self.heard > command.silence:
            what = f"{command.label} gave no output for {command.silence:g} seconds and was stopped."
            raise LimitsError("silence", what, next_step="The end of the log shows how far it came.")

    def _pump(self, seconds: float) -> None:
        for key, _ in self.selector.select(max(seconds, 0)):
            key.data()

    def _drain(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.outputs and (left := until - time.monotonic()) > 0:
            self._pump(left)

    def _await_exit(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.gone and (left := until - time.monotonic()) > 0:
            self._pump(left)

    def _note_exit(self) -> None:
        self.gone = True
        self.selector.unregister(self.exit_descriptor)

    def _feed(self) -> None:
        stream = self.process.stdin
        assert stream is not None  # noqa: S101  (registered only when it is there)
        try:
            sent = os.write(stream.fileno(), self.pending[:CHUNK])
        except BlockingIOError:
            return
        except OSError:  # the command reads no more; its exit status says whether that was right
            sent = len(self.pending)
        self.pending = self.pending[sent:]
        if not self.pending:
            self.selector.unregister(stream)
            stream.close()

    def _take_stdout(self) -> None:
        data = self._read(self.process.stdout)
        if not self.command.capture:
            self._note(data)
        elif len(self.captured) + len(data) > self.command.capture_limit:
            self.overflow = True
        else:
            self.captured += data

    def _take_log(self) -> None:
        self._note(self._read(self.process.stderr))

    def _read(self, stream: object) -> bytes:
        descriptor = stream.fileno()  # type: ignore[attr-defined]  # one of the two pipes that were registered
        try:
            data = os.read(descriptor, CHUNK)
        except BlockingIOError:
            return b""
        if data:
            self.heard = time.monotonic()
        else:
            self.selector.unregister(descriptor)
            self.outputs -= 1
        return data

    def _note(self, data: bytes) -> None:
        if data:
            self.log.write(data)
            self.tail += data
            del self.tail[:-TAIL]

    def _signal(self, number: signal.Signals) -> None:
        # The leader is not reaped yet, so its group's number cannot belong to anybody else.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _reap(self) -> None:
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:  # uninterruptible sleep: the kernel ends it when it can
            self.log.say(f"{self.command.label} (process {self.process.pid}) cannot be ended")
            raise InfrastructureError("process-stuck", f"{self.command.label} could not be stopped.") from None

    def _await_group(self, seconds: float) -> None:
        """Until what was killed has ended. Bounded: where nobody reaps orphans, their number stays taken."""
        until = time.monotonic() + seconds
        with contextlib.suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < until:
                os.killpg(self.process.pid, 0)
                time.sleep(0.002)

    def _close(self) -> None:
        self.selector.close()
        os.close(self.exit_descriptor)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def _judge_use(command: Command, status: int | None) -> None:
    if command.bound is not None:
        command.bound.judge(status)


def _spawn(command: Command) -> subprocess.Popen[bytes]:
    try:
        return SPAWNER.submit(_popen, command).result()
    except FileNotFoundError as error:
        raise _missing(command, error) from None
    except OSError as error:
        what = f"{command.label} could not be started: {error.strerror}."
        raise InfrastructureError("spawn-failed", what, next_step="Check the server's memory and limits.") from None
    except RuntimeError:  # the interpreter is shutting down
        raise CancelledError(command.label) from None


def _popen(command: Command) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command.argv,
        bufsize=0,
        stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if command.capture else subprocess.STDOUT,
        cwd=command.cwd,
        env=dict(command.env),
        close_fds=True,
        start_new_session=True,
        umask=0o022,  # file modes end up in wheels: they must not depend on who started the server
    )


def _missing(command: Command, error: FileNotFoundError) -> InfrastructureError:
    if not command.cwd.is_dir():
        what = f"The folder for {command.label} is not there any more."
        return InfrastructureError("folder-missing", what, next_step="Check the server's disk and clean-up jobs.")
    program = error.filename or command.argv[0]
    what = f"{command.label} needs {program!s}, which is not installed."
    return InfrastructureError("program-missing", what, next_step=f"Install {program!s} on the server.")


def _popen_as_user(command: Command, output: IO[bytes], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            cwd=command.cwd,
            env=dict(command.env),
            start_new_session=True,
        )
    except FileNotFoundError:
        what = f"{command.label} needs {command.argv[0]}, which is not installed here."
        raise InfrastructureError("program-missing", what, next_step=f"Install {command.argv[0]}.") from None
    except OSError as error:
        raise InfrastructureError("spawn-failed", f"{command.label} could not be started: {error.strerror}.") from None


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(TICK)
    return process.returncode is not None


def _judge_as_user(command: Command, seconds: float, size: int) -> None:
    if seconds > command.timeout:
        raise LimitsError("timeout", f"{command.label} took longer than {command.timeout:g} seconds and was stopped.")
    if size > command.capture_limit:
        what = f"{command.label} gave more than {command.capture_limit} bytes of output."
        raise LimitsError("output-too-large", what)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a group whose leader still runs; it is not reaped before, so the number is its own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size
