"""One order that is out: its attempts, and what workers send for them.

Every change is made by the thread of the builder that waits for the order: requests hand it calls, and it runs one
after the other, looking at the ticket's attempt first. So what a replaced worker sends changes nothing, at any moment.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from devpi_forkbuilder.farm.tickets import Ticket, WorkRefusedError
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

Answer = TypeVar("Answer")
PATIENCE = 120.0
"""Seconds that a request waits for the builder's thread."""
LOG_LIMIT = 100 * 2**20
"""Bytes of log that are taken from one attempt; the log itself keeps head and end of that."""
MOST_FILES = 2
MOST_FILE = 1024 * MEBIBYTE
"""Bytes that one file may have, as for a build on the server itself."""
MOST_CALLS = 100
"""Calls that are run one after the other before the server looks whether it should stop."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Attempt:
    """A worker at work. `since` and `seen` are on the primary's monotonic clock; `files` are names to hashes."""

    number: int
    worker: str
    folder: Path
    since: float
    seen: float
    secret: str = ""
    log: int = 0
    files: dict[str, str] = field(default_factory=dict)
    masked: bytes = b""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a worker says that it has made: files by name, and facts for the provenance."""

    worker: str
    folder: Path
    files: tuple[str, ...]
    facts: dict[str, str]


class Parcel:
    """An order that is out. `document` is what a worker is given, `archive` its source, `queue` where it is offered."""

    def __init__(self, number: str, document: dict[str, Any], archive: Path, staging: Path, queue_name: str) -> None:
        self.number = number
        self.document = document
        self.archive = archive
        self.staging = staging
        self.queue_name = queue_name
        self.attempts = 0
        self.current: Attempt | None = None
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over = threading.Event()

    @property
    def python(self) -> str:
        """The interpreter that builds it."""
        return str(self.document["python"])

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._over.is_set()

    def attempt_of(self, ticket: Ticket) -> Attempt:
        """The attempt that `ticket` is for. Raises WorkRefusedError (409) when it is not the current one."""
        current = self.current
        if self.over or current is None or (current.number, current.worker) != (ticket.attempt, ticket.worker):
            raise WorkRefusedError(409, "This attempt is over: its order was given to another worker, or has ended.")
        return current

    def call(self, function: Callable[[], Answer]) -> Answer:
        """Run `function` in the builder's thread. Raises what it raises, and WorkRefusedError (409) when that ended."""
        answer: Future[Answer] = Future()

        def run() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:
                answer.set_exception(error if isinstance(error, WorkRefusedError) else _ended())
                if not isinstance(error, WorkRefusedError):
                    raise

        if self._over.is_set():
            raise _ended()
        self._calls.put(run)
        if self._over.is_set():  # it ended meanwhile, and nobody would run the call
            self.close()
        try:
            return answer.result(PATIENCE)
        except FutureTimeoutError:
            raise _ended() from None

    def run_calls(self, wait: float) -> None:
        """In the builder's thread: run the calls that are there, or the next if one comes within `wait` seconds.

        Raises what must end the build.
        """
        with contextlib.suppress(queue.Empty):
            self._calls.get(timeout=wait)()
            for _ in range(MOST_CALLS):
                self._calls.get_nowait()()

    def close(self) -> None:
        """Nobody waits for it any more: calls are refused from now on, those that wait too."""
        self._over.set()
        self.current = None
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                return
            try:
                call()
            except Exception:  # noqa: BLE001, S112 - the caller has it; nobody is left here to tell
                continue

    def masked(self, attempt: Attempt, data: bytes) -> bytes:
        """`data` of a log without the attempt's own secrets; an end that may be the beginning of one is held back."""
        secrets = [attempt.secret.encode()] if attempt.secret else []
        data = attempt.masked + data
        for secret in secrets:
            data = data.replace(secret, b"***")
        held = max((n for s in secrets for n in range(1, len(s)) if data.endswith(s[:n])), default=0)
        attempt.masked = data[len(data) - held :]
        return data[: len(data) - held]


def _ended() -> WorkRefusedError:
    return WorkRefusedError(409, "The order of this ticket has ended.")
