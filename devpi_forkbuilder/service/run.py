"""A run: one flight on its way through the states, with times."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import SECONDS, State, may_follow
from devpi_forkbuilder.pipeline.protocols import LogSink, NeedsPinsError
from devpi_forkbuilder.service.build_events import log_state
from devpi_forkbuilder.service.failures import report_exception
from devpi_forkbuilder.service.records import Failure, Record
from devpi_forkbuilder.service.seams import Clock, Publisher
from devpi_forkbuilder.service.single_flight.flight import Flight
from devpi_forkbuilder.service.single_flight.registry import FlightRegistry


class SilentProgress:
    """The log of a run that has none yet."""

    def write(self, data: bytes) -> None:
        """Nothing is kept."""

    def say(self, line: str) -> None:
        """Nothing is kept."""


class Run:
    """What a builder sees as its `Progress`, and what the worker ends. For one thread, but `cancelled`."""

    def __init__(
        self,
        order: Order,
        flight: Flight,
        board: FlightRegistry,
        clock: Clock,
        stopping: threading.Event,
        index: Publisher,
    ) -> None:
        self.order = order
        self.flight = flight
        self._index = index
        self._board = board
        self._clock = clock
        self._stopping = stopping
        self._since = clock.monotonic()
        self._log: LogSink = SilentProgress()

    @property
    def log(self) -> LogSink:
        """The build's log; silent before `opened`."""
        return self._log

    @property
    def record(self) -> Record:
        """The latest snapshot."""
        return self.flight.record

    def begin(self) -> None:
        """A worker is at it."""
        record = self.record
        self._board.advance(self.flight, replace(record, started_at=self._clock.now(), attempts=record.attempts + 1))

    def logging_to(self, name: str) -> None:
        """The log will be the file `name`."""
        self._board.advance(self.flight, replace(self.record, log=name))

    def opened(self, log: LogSink) -> None:
        """The log is open."""
        self._log = log

    def enter(self, state: State) -> None:
        """Go to `state`. Raises ValueError when it may not follow; CancelledError when the run was ended from outside;
        InfrastructureError.
        """
        self._board.advance(self.flight, self._moved(state))
        self._since = self._clock.monotonic()
        log_state(self.record)

    def commit_time(self, seconds: int) -> None:
        """The commit's time is known. Raises CancelledError when the run was ended, InfrastructureError."""
        if self.record.commit_time != seconds:
            self._board.advance(self.flight, replace(self.record, commit_time=seconds))

    def cancelled(self) -> bool:
        """Whether the build should end now."""
        return self._stopping.is_set()

    def needs(self, requirements: tuple[str, ...], python: str) -> None:
        """The build will install `requirements` for `python`. Raises NeedsPinsError."""
        orders = self._index.needs(self.order, requirements, python)
        if orders:
            raise NeedsPinsError(orders, python)

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:
        """Ask the indexes themselves about `requirements`; nothing is known when that fails as well."""
        try:
            return self._index.index_health(self.order, requirements, constraints, python)
        except Exception as error:  # noqa: BLE001 - a failed question must not hide the failure that it is about
            report_exception(error, f"asking the indexes of {self.order.index}")
            return IndexHealth()

    def parked(self) -> None:
        """Others have to be built first; this was no attempt. Raises CancelledError when the run was ended."""
        record = replace(self._moved(State.QUEUED), attempts=max(self.record.attempts - 1, 0))
        self._board.advance(self.flight, record)

    def built(self) -> bool:
        """The end: the index has the files. False when it had ended before."""
        return self._ended(replace(self._moved(State.BUILT), error=None, retry_at=None))

    def failed(self, failure: Failure, retry_at: float | None) -> bool:
        """The end: it failed. False when it had ended before."""
        return self._ended(replace(self._moved(State.FAILED), error=failure, retry_at=retry_at))

    def _ended(self, record: Record) -> bool:
        ended = self._board.conclude(self.flight, replace(record, finished_at=self._clock.now()))
        if ended:
            log_state(self.record)
        return ended

    def _moved(self, state: State) -> Record:
        record = self.record
        if not may_follow(record.state, state):
            raise ValueError(f"{state.value} may not follow {record.state.value}")
        return replace(record, state=state, seconds=self._spent(record))

    def spent(self) -> Mapping[str, float]:
        """The time spent until now, by `states.SECONDS`."""
        return self._spent(self.record)

    def _spent(self, record: Record) -> Mapping[str, float]:
        name = SECONDS.get(record.state)
        if name is None:
            return record.seconds
        return {**record.seconds, name: record.seconds.get(name, 0.0) + self._clock.monotonic() - self._since}
