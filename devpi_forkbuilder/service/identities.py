"""Names of projects that only their build back ends know, computed in the sandbox beside the builds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError, LogSink
from devpi_forkbuilder.service.failures import explained, report_exception
from devpi_forkbuilder.service.run import SilentProgress

AT_ONCE = 2
"""Projects that are asked at the same time, beside the builds."""
MOST = 200
"""Projects that wait or whose answer is kept; the oldest answers are dropped first."""
Identify = Callable[[Order, BuildProgress], Identity]


class IdentityProgress:
    """The progress of a computation that nobody follows; `stopping` ends it."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    @property
    def log(self) -> LogSink:
        """A log that keeps nothing."""
        return SilentProgress()

    def enter(self, state: State) -> None:
        """Nothing is recorded."""

    def commit_time(self, seconds: int) -> None:
        """Nothing is recorded."""

    def cancelled(self) -> bool:
        """Whether the server is stopping."""
        return self._stopping()

    def needs(self, requirements: tuple[str, ...], python: str) -> None:
        """Pinned build requirements are not waited for: a missing one fails the computation."""

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:  # noqa: ARG002  (BuildProgress)
        """Nothing is known."""
        return IndexHealth()


class Identities:
    """Computes names and versions in threads of its own; an answer is asked for until it is there. Thread-safe."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._running: OrderedDict[Order, Future[Identity]] = OrderedDict()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="forkbuilder-identity")

    def ask(self, order: Order) -> Identity | None:
        """Return the identity of the project behind `order`, None while it is being computed. Never waits.

        Raises ForkbuilderError when it could not be computed, once: the next call tries again; and InfrastructureError
        (`queue-full`, `stopping`).
        """
        with self._lock:
            future = self._running.get(order)
            if future is None:
                self._begin(order)
                return None
            if not future.done():
                return None
            if future.exception() is None:
                return future.result()
            del self._running[order]
        raise _reported(future.exception(), order)

    def stop(self) -> None:
        """End what runs; nothing is begun any more."""
        self._stopping.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, order: Order) -> None:
        if len(self._running) >= MOST:
            done = next((one for one, future in self._running.items() if future.done()), None)
            if done is None:
                what = "This server computes as many project names as it takes."
                raise InfrastructureError("queue-full", what, next_step="Ask again in a minute.")
            del self._running[done]
        if self._stopping.is_set():
            raise _stopping()
        self._running[order] = self._threads.submit(self._identify, order, IdentityProgress(self._stopping.is_set))


def _reported(error: BaseException | None, order: Order) -> ForkbuilderError:
    if error is None or isinstance(error, CancelledError):
        return _stopping()
    known = explained(error)
    if known is not error:
        report_exception(error, f"computing the name of {order.pin.url}")
    return known


def _stopping() -> InfrastructureError:
    return InfrastructureError("stopping", "The server is stopping.", next_step="Ask again in a moment.")
