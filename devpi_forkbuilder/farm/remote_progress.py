"""What the pipeline on a worker sees of its driver: the primary, which hears of all of it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import TracebackType

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.farm.primary_client import PrimaryClient
from devpi_forkbuilder.farm.tickets import WorkRefusedError
from devpi_forkbuilder.pipeline.protocols import CancelledError

EVERY = 1.0
"""Seconds between two parts of the log."""
SIGN_OF_LIFE = 5.0
MOST = 2**20
"""Bytes of log that wait to be sent; of more only the end is kept."""
OVER = 409
TOO_MUCH = 413


class RemoteLog:
    """A LogSink that sends what it is given every second; a thread of its own does. A sign of life even without."""

    def __init__(self, client: PrimaryClient, over: threading.Event) -> None:
        self._client, self._over = client, over
        self._lock = threading.Lock()
        self._held = bytearray()
        self._lost = 0
        self._full = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._send, name="forkbuilder-log", daemon=True)

    def __enter__(self) -> RemoteLog:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()

    def write(self, data: bytes) -> None:
        """See `LogSink.write`."""
        with self._lock:
            self._held += data
            if (over := len(self._held) - MOST) > 0:
                del self._held[:over]
                self._lost += over

    def say(self, line: str) -> None:
        """See `LogSink.say`."""
        self.write(f"[worker] {' '.join(line.splitlines())}\n".encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Send what there is. Raises what the client raises."""
        with self._lock:
            data, lost = bytes(self._held), self._lost
            self._held.clear()
            self._lost = 0
        if lost:
            data = f"\n[worker] ... {lost} bytes left out ...\n".encode() + data
        self._client.log(b"" if self._full else data)

    def _send(self) -> None:
        sent = time.monotonic()
        while not self._closed.wait(EVERY):
            if self._held or time.monotonic() - sent > SIGN_OF_LIFE:
                self._try()
                sent = time.monotonic()
        if self._held:
            self._try()

    def _try(self) -> None:
        try:
            self.flush()
        except WorkRefusedError as refused:
            if refused.status == TOO_MUCH:
                self._full = True
            else:
                self._over.set()
        except ForkbuilderError:
            self._over.set()  # the primary is gone for longer than it waits for us


class RemoteProgress:
    """A BuildProgress whose driver is the primary. `stopping` says that this worker stops."""

    def __init__(self, client: PrimaryClient, log: RemoteLog, over: threading.Event, stopping: threading.Event) -> None:
        self._client, self._log, self._over, self._stopping = client, log, over, stopping

    @property
    def log(self) -> RemoteLog:
        """See `BuildProgress.log`."""
        return self._log

    def enter(self, state: State) -> None:
        """Say when it builds; the other states are the primary's own."""
        if state is State.BUILDING:
            self._spoken(lambda: self._client.state(state.value))

    def commit_time(self, seconds: int) -> None:
        """The primary knows it."""

    def cancelled(self) -> bool:
        """Whether this worker stops, or has the order no more."""
        return self._stopping.is_set() or self._over.is_set()

    def needs(self, requirements: tuple[str, ...], python: str) -> None:  # noqa: ARG002  (BuildProgress)
        """Have the primary look for pins among them; when there are, it ends this attempt."""
        self._spoken(lambda: self._client.needs(requirements))

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:  # noqa: ARG002  (BuildProgress)
        """Have the primary ask its indexes."""
        with contextlib.suppress(WorkRefusedError, ForkbuilderError, ValueError):
            found = self._client.health(requirements, constraints)
            return IndexHealth(str(found.get("fault", "")), tuple(map(str, found.get("unmet", ()))))
        return IndexHealth()

    def _spoken(self, say: Callable[[], None]) -> None:
        try:
            say()
        except WorkRefusedError:
            self._over.set()
            raise CancelledError from None
