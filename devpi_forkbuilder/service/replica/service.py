"""The service of a replica: whoever asks gets a flight, and the work is the primary's. Nothing is built here."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.protocols import CancelledError
from devpi_forkbuilder.pipeline.tracing import traced
from devpi_forkbuilder.service.build_events import log_state
from devpi_forkbuilder.service.changes import Changes
from devpi_forkbuilder.service.counters import BuildFigures
from devpi_forkbuilder.service.failures import explained, failure_of, report_exception
from devpi_forkbuilder.service.outlook import NOTHING, Outlook
from devpi_forkbuilder.service.overview import Overview
from devpi_forkbuilder.service.queue import Backlog
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.service.replica.client import Primary, PrimaryUnreachableError, Store
from devpi_forkbuilder.service.replica.conversation import BuildOnPrimary, Patience
from devpi_forkbuilder.service.seams import Clock
from devpi_forkbuilder.service.single_flight.flight import Flight

REMEMBERED = 10_000
QUEUE = 1_000
QueuedBuild = tuple[Order, Flight, bool]
"""The last: whether it is the one that an open breaker lets through, to try."""


class RemoteService:
    """What `ForkService` is on a primary, with conversations in place of builds.

    Everybody who asks for the same order shares one conversation; at most `conversations` are held at once, the others
    wait their turn. Nothing is kept when the server ends: built files are in the index, the primary has the rest.
    """

    def __init__(
        self,
        *,
        primary: Primary,
        store: Store,
        clock: Clock,
        breaker: Breaker,
        patience: Patience | None = None,
        conversations: int = 64,
    ) -> None:
        self.changes = Changes()
        self._primary = primary
        self._store = store
        self._clock = clock
        self._breaker = breaker
        self._stopping = threading.Event()
        self._build_on_primary = BuildOnPrimary(
            primary, store, clock, breaker, self._stopping.wait, patience if patience is not None else Patience()
        )
        self._backlog: Backlog[QueuedBuild] = Backlog(QUEUE)
        self._lock = threading.Lock()
        self._live: dict[OrderKey, Flight] = {}
        self._records: OrderedDict[OrderKey, Record] = OrderedDict()
        self._asked = self._failed = 0
        self._workers = [
            threading.Thread(target=self._work, name=f"forkbuilder-conversation-{number}", daemon=True)
            for number in range(1, conversations + 1)
        ]

    @property
    def room_ahead(self) -> int:
        """None: what is built ahead is the primary's to decide."""
        return 0

    def ask(self, order: Order, *, force: bool = False, ahead: bool = False) -> Flight:  # noqa: ARG002  (the primary's)
        """Join the conversation about `order` or start one. Never waits, never raises.

        The flight is done at once when the primary has not answered for a while, and when the server stops.
        """
        with self._lock:
            flight = self._live.get(order.key)
            if flight is None:
                flight = self._admitted(order)
                if not flight.done:
                    self._live[order.key] = flight
        self.changes.announce(order.key.index, order.key.project)
        return flight

    def record(self, key: OrderKey) -> Record | None:
        """What the primary answered last."""
        with self._lock:
            flight = self._live.get(key)
            return flight.record if flight is not None else self._records.get(key)

    def records_of(self, index: str, project: str | None = None) -> tuple[Record, ...]:
        """What the primary answered last about an index, or of one project (normalized name) on it."""
        with self._lock:
            known = {**self._records, **{key: flight.record for key, flight in self._live.items()}}
        return tuple(one for key, one in known.items() if key.index == index and project in {None, key.project})

    def outlook(self, record: Record) -> Outlook:  # noqa: ARG002  (the web layer's protocol)
        """Nothing: the queue is the primary's."""
        return NOTHING

    def recent_failures(self, limit: int) -> tuple[Record, ...]:
        """The latest failures that this replica knows of."""
        with self._lock:
            failed = [record for record in self._records.values() if record.state is State.FAILED]
        return tuple(sorted(failed, key=lambda record: -(record.finished_at or 0))[:limit])

    def overview(self) -> Overview:
        """Nothing: builds are the primary's."""
        return Overview()

    def log_path(self, key: OrderKey) -> Path | None:  # noqa: ARG002  (the web layer's protocol)
        """None: logs are on the primary."""
        return None

    def tail(self, key: OrderKey, n_bytes: int) -> bytes:  # noqa: ARG002  (as above)
        """Nothing: logs are on the primary."""
        return b""

    def start(self) -> tuple[OrderKey, ...]:
        """Start the workers, once. There is nothing to take up again."""
        for worker in self._workers:
            worker.start()
        return ()

    def stop(self) -> None:
        """End it: waiting requests are released. A thread that listens to the primary is left to itself."""
        self._stopping.set()
        self._backlog.close()
        with self._lock:
            flights = tuple(self._live.values())
        for flight in flights:
            self._land(flight, replace(flight.record, state=State.WANTED))
        self.changes.close()

    def stats(self) -> Mapping[str, int | float]:
        """Figures for metrics: `conversations` with the primary now, waiting ones (`queued`), whether the primary is
        left alone (`primary_given_up`); since the start `conversations_total` and `conversations_failed_total`.
        """
        queued, running = self._backlog.sizes()
        return {
            "queued": queued,
            "conversations": running,
            "conversations_total": self._asked,
            "conversations_failed_total": self._failed,
            "primary_given_up": int(self._breaker.open),
        }

    def figures(self) -> BuildFigures:
        """None: the builds are the primary's."""
        return BuildFigures()

    def _admitted(self, order: Order) -> Flight:
        """A flight for `order`, queued, or done. The lock is held."""
        record = Record(order.key, State.QUEUED, queued_at=self._clock.now())
        if self._stopping.is_set():
            return Flight(replace(record, state=State.WANTED), done=True)
        trial = self._breaker.open
        if not self._breaker.allows():
            return Flight(self._fell(record, self._silent()), done=True)
        flight = Flight(record)
        if not self._backlog.put(order.key, (order, flight, trial)):
            return Flight(self._fell(record, _too_many()), done=True)
        self._asked += 1
        return flight

    def _work(self) -> None:
        while (taken := self._backlog.take()) is not None:
            group, (order, flight, trial) = taken
            try:
                with traced(flight.trace):
                    self._converse(order, flight, trial)
            finally:
                self._backlog.release(group)

    def _converse(self, order: Order, flight: Flight, trial: bool) -> None:
        """Take `flight` to its end, whatever happens."""
        try:
            # The primary may have died while this one waited for its turn.
            if not (trial or self._breaker.allows() or self._store.covers(order)):
                raise self._silent()
            record = self._build_on_primary.hold(order, lambda reported: self._advance(flight, reported))
        except CancelledError:
            record = replace(flight.record, state=State.WANTED)
        except Exception as error:  # noqa: BLE001 - whatever it is, the flight's waiters must hear of its end
            reported = explained(error)
            if reported is not error:
                report_exception(error, f"asking the primary for {order.key.project}")
            self._failed += 1
            record = self._fell(flight.record, reported)
        if record.state.ended:
            log_state(record)
        self._land(flight, record)

    def _silent(self) -> PrimaryUnreachableError:
        return PrimaryUnreachableError(self._primary.url, "it did not answer a moment ago")

    def _fell(self, record: Record, error: ForkbuilderError) -> Record:
        failure = failure_of(error, record.state)
        return replace(record, state=State.FAILED, error=failure, finished_at=self._clock.now())

    def _advance(self, flight: Flight, record: Record) -> None:
        if not flight.done and flight.record != record:
            if flight.record.state is not record.state:
                log_state(record)
            flight.advance(record)
            self.changes.announce(record.key.index, record.key.project)

    def _land(self, flight: Flight, record: Record) -> None:
        with self._lock:
            if self._live.pop(flight.key, None) is None:
                return
            self._records[flight.key] = record
            self._records.move_to_end(flight.key)
            while len(self._records) > REMEMBERED:
                self._records.popitem(last=False)
            flight.land(record)
        self.changes.announce(record.key.index, record.key.project)


def _too_many() -> InfrastructureError:
    what = "This replica has as many questions to its primary as it takes."
    return InfrastructureError("queue-full", what, next_step="Ask again in a minute.")
