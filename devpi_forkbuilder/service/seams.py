"""What the service needs from outside: a publisher, a clock, a place for logs; the builder is a seam of `pipeline`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.pipeline.protocols import LogSink


class Publisher(Protocol):
    """The index as builds see it. All members are called in worker threads only."""

    def publish(self, order: Order, built: Built) -> None:
        """All files of `built` become visible at once, or none. Raises ForkbuilderError.

        Once it has returned, `covers(order)` is true; a build whose files do not serve its order has failed.
        """

    def covers(self, order: Order) -> bool:
        """Whether the index has a usable file for `order`: another target's build may have served it."""

    def needs(self, order: Order, requirements: tuple[str, ...], python: str) -> tuple[Order, ...]:
        """The orders that have to be built before `requirements` (PEP 508 lines) can be installed for `python`."""

    def index_health(
        self, order: Order, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str
    ) -> IndexHealth:
        """What the indexes behind `order` say of `requirements` when they are asked directly."""


class Clock(Protocol):
    """Two clocks: one for people, one for durations."""

    def now(self) -> float:
        """Seconds since the epoch; may jump."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""


class RunLog(LogSink, Protocol):
    """The log of one run, open."""

    def close(self) -> None:
        """Nothing more comes. Never raises."""


OpenLog = Callable[[Path], RunLog]
"""Starts a new log file; the folder is there. May raise OSError."""


Claim = Callable[[OrderKey, Callable[[], bool]], AbstractContextManager[None]]
"""Has the work on a key's group for this process while the context lasts, where several processes share one store.

Waits for another that has it, until the second argument says that the server stops. Raises InfrastructureError and
CancelledError.
"""


def unclaimed(key: OrderKey, cancelled: Callable[[], bool]) -> AbstractContextManager[None]:  # noqa: ARG001  (Claim)
    """The claim of a process that has the store for itself."""
    return nullcontext()
