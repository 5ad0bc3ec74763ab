"""One conversation with the primary: ask, listen until it has ended there, wait until it is here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.protocols import CancelledError
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.service.replica.client import (
    AheadError,
    Primary,
    PrimaryAnswer,
    PrimaryBusyError,
    PrimaryUnreachableError,
    Store,
    UnwillingError,
)
from devpi_forkbuilder.service.seams import Clock

Advance = Callable[[Record], None]
"""Hears of each state on the way."""
Pause = Callable[[float], bool]
"""Waits that many seconds, or until the server stops: then True."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long this replica waits for what, in seconds.

    `first`: for a primary that does not answer when it is asked for the first time. `lost`: for one that stops
    answering later; a restart or a short cut of the network must not send clients away. `lag`: for a release
    to arrive here. `poll`: the longest silent time of a poll. `gap`: between two tries.
    """

    first: float = 3.0
    lost: float = 60.0
    lag: float = 60.0
    poll: float = 20.0
    gap: float = 0.5


class BuildOnPrimary:
    """How an order is handed to the primary. Used by many threads at once."""

    def __init__(
        self, primary: Primary, store: Store, clock: Clock, breaker: Breaker, pause: Pause, patience: Patience
    ) -> None:
        self._primary = primary
        self._store = store
        self._clock = clock
        self._breaker = breaker
        self._pause = pause
        self._patience = patience

    def hold(self, order: Order, advance: Advance) -> Record:
        """Take `order` to its end; the record of the end, `built` or `failed`.

        When it is `built`, its files and their bytes are here. Raises UnreachableError, UnwillingError, AheadError, and
        CancelledError when the server stops.
        """
        if self._store.covers(order):
            record = Record(order.key, State.BUILT)
        else:
            answer = self._until_ended(order, advance)
            record = answer.record
            if record.state is State.FAILED:
                return record
            self._receive(order, answer.serial)
        self._store.complete(order)
        return replace(record, state=State.BUILT)

    def _until_ended(self, order: Order, advance: Advance) -> PrimaryAnswer:
        answer = self._start(order, self._patience.first)
        while not answer.record.state.ended:
            advance(answer.record)
            before, began = answer.record.state, self._clock.monotonic()
            answer = self._patiently(lambda: self._primary.poll(order.key, self._patience.poll), self._patience.lost)
            if answer.record.state is State.WANTED:
                # The primary was restarted, or has just published: asking tells which.
                answer = self._start(order, self._patience.lost)
            elif answer.record.state is before and self._clock.monotonic() - began < self._patience.gap:
                # It has no seat for a long poll: then it answers at once, and asking all the time helps nobody.
                self._rest()
        return answer

    def _start(self, order: Order, patience: float) -> PrimaryAnswer:
        try:
            return self._patiently(lambda: self._miss(order, max(self._patience.first, 1.0)), patience)
        except PrimaryBusyError:
            # A POST waits for devpi's write lock, which storing a large public page holds for seconds. One request
            # waits there from now on: each that is given up leaves a thread behind.
            return self._patiently(lambda: self._miss(order, self._patience.lost), self._patience.lost)

    def _miss(self, order: Order, timeout: float) -> PrimaryAnswer:
        answer = self._primary.miss(order.key, timeout)
        if answer.record.state is State.WANTED:
            raise UnwillingError(self._primary.url, "it takes no builds now")
        return answer

    def _patiently(self, ask: Callable[[], PrimaryAnswer], patience: float) -> PrimaryAnswer:
        """The primary's answer; tried again until it comes, for `patience` seconds."""
        deadline = self._clock.monotonic() + patience
        while True:
            try:
                answer = ask()
            except (PrimaryUnreachableError, UnwillingError) as error:  # noqa: PERF203  (each try is a request)
                if isinstance(error, PrimaryBusyError):
                    raise
                if isinstance(error, UnwillingError):
                    self._breaker.succeeded()  # it has answered
                if self._clock.monotonic() >= deadline or not error.retryable:
                    if isinstance(error, PrimaryUnreachableError):
                        self._breaker.failed()
                    raise
                self._rest()
            else:
                self._breaker.succeeded()
                return answer

    def _receive(self, order: Order, serial: int) -> None:
        deadline = self._clock.monotonic() + self._patience.lag
        while not self._store.arrived(serial, self._patience.gap):
            if self._clock.monotonic() >= deadline:
                raise AheadError(self._primary.url)
            if self._pause(0):
                raise CancelledError
        if not self._store.covers(order):
            # everything the primary knew is here, and the release is not: the pin or its files went meanwhile
            raise AheadError(self._primary.url)

    def _rest(self) -> None:
        if self._pause(self._patience.gap):
            raise CancelledError
