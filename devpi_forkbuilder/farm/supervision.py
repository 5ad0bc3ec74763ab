"""The primary's own clock over one order that is out: no engine, no worker and no network can let it hang."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.farm.parcel import Attempt, Parcel
from devpi_forkbuilder.pipeline.protocols import BuildProgress

SILENCE = 30.0
"""Seconds without a word of the worker, which speaks every few seconds, after which its attempt is over."""
LOOK = 5.0
"""Seconds between two looks at the engine."""
UNTAKEN = 30.0
"""Seconds that the engine may say that a worker has an order which no worker has taken."""
MOST_ATTEMPTS = 5
"""Attempts at one order after which the order is suspected of ending its workers."""


@dataclass(frozen=True, slots=True)
class QueuedWork:
    """What the engine is given: the queue, keys for single flight (`key`) and for never two at once (`group`), what
    the worker gets, and how urgent it is (more is sooner).
    """

    queue: str
    key: str
    group: str
    arguments: Mapping[str, str]
    urgency: int = 0


class FarmQueue(Protocol):
    """The engine, as the primary uses it. Members raise InfrastructureError (`queue-unreachable`) unless they say
    otherwise.
    """

    def put(self, work: QueuedWork) -> int:
        """Queue `work`; its number. What is queued under the same key and was not begun is replaced."""

    def state(self, number: int) -> str:
        """`waiting`, `taken`, or empty: there is no such work, or it has ended."""

    def again(self, number: int) -> None:
        """Queue again what a worker has taken and does not build. Never raises."""

    def drop(self, number: int) -> None:
        """Nobody waits for it any more. Never raises."""


class Supervision:
    """Keeps one parcel offered, and ends attempts that are lost. For the builder's thread."""

    def __init__(
        self,
        queue: FarmQueue,
        work: QueuedWork,
        parcel: Parcel,
        progress: BuildProgress,
        revoke: Callable[[], None],
        limit: float,
        clock: Callable[[], float],
    ) -> None:
        self._queue, self._work, self._parcel, self._progress = queue, work, parcel, progress
        self._revoke = revoke
        self._limit, self._clock = limit, clock
        self._number: int | None = None
        self._looked = clock()
        self._taken_since: float | None = None

    def offer(self) -> None:
        """Put it into the queue. When the engine does not answer, the next look tries again."""
        self._number = None
        try:
            self._number = self._queue.put(self._work)
        except InfrastructureError as error:
            self._progress.log.say(f"{error.what} It is tried again.")

    def look(self) -> None:
        """Look after the attempt, and now and then after the engine. Raises InfrastructureError (`workers-lost`)."""
        attempt = self._parcel.current
        if attempt is not None:
            self._taken_since = None
            self._judge(attempt)
        if self._clock() - self._looked >= LOOK:
            self._looked = self._clock()
            if self._parcel.current is None:
                self._look_at_engine()

    def end(self) -> None:
        """Nobody waits for it any more."""
        if self._number is not None:
            self._queue.drop(self._number)

    def _judge(self, attempt: Attempt) -> None:
        now = self._clock()
        if now - attempt.seen > SILENCE:
            why = f"nothing was heard of it for {now - attempt.seen:.0f} seconds"
        elif now - attempt.since > self._limit:
            why = f"it was at it for {now - attempt.since:.0f} seconds"
        else:
            return
        self._progress.log.say(f"the worker {attempt.worker} has this order no more: {why}")
        self._revoke()
        if self._parcel.attempts >= MOST_ATTEMPTS:
            raise InfrastructureError(
                "workers-lost",
                f"{self._parcel.attempts} workers were lost while they built this.",
                next_step="Look at the workers' own logs and at the end of this one.",
                retryable=True,
            )
        self._progress.enter(State.QUEUED)
        self._requeue()

    def _look_at_engine(self) -> None:
        if self._number is None:
            self.offer()
            return
        try:
            state = self._queue.state(self._number)
        except InfrastructureError:
            return
        if not state:
            self._progress.log.say("the queue does not have this order any more: it is offered again")
            self.offer()
        elif state != "taken":
            self._taken_since = None
        elif self._taken_since is None:
            self._taken_since = self._clock()
        elif self._clock() - self._taken_since > UNTAKEN:
            self._requeue()

    def _requeue(self) -> None:
        self._taken_since = None
        with contextlib.suppress(InfrastructureError):  # the next look sees to it
            if self._number is not None and self._queue.state(self._number) == "taken":
                self._queue.again(self._number)
