"""The board of flights: who flies now, and what is known of those who landed. One writer of records."""

from __future__ import annotations

import threading
from collections.abc import Callable

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.pipeline.protocols import CancelledError
from devpi_forkbuilder.service.changes import Changes
from devpi_forkbuilder.service.failures import report_exception
from devpi_forkbuilder.service.records import Record, Records, interrupted
from devpi_forkbuilder.service.single_flight.flight import Flight


class FlightRegistry:
    """Flights by key, at most one of each, and their records; each change is stored, then shown, then announced.

    `ended` hears of each flight that was built or failed; it must not wait.

    Records are written with the lock held: a write is no more than handing a page to the operating system, and without
    it a key could be asked for between the end of its flight and the record of it.
    """

    def __init__(
        self, records: Records, changes: Changes, ended: Callable[[Record], None] = lambda _record: None
    ) -> None:
        self._ended = ended
        self._records = records
        self._changes = changes
        self._lock = threading.Lock()
        self._live: dict[OrderKey, Flight] = {}
        self._unsaved: dict[OrderKey, Record] = {}

    def enter(self, key: OrderKey, plan: Callable[[Record | None], Flight], admit: Callable[[Flight], None]) -> Flight:
        """The flight of `key`; if there is none, the one that `plan` makes of the latest record.

        Unless it is already done it is recorded and given to `admit`; in place of one that is done, a flight of the
        same group is joined. Raises what `plan` and `admit` raise, and
        InfrastructureError.
        """
        with self._lock:
            if key in self._live:
                return self._live[key]
            flight = plan(self._unsaved.get(key) or self._records.get(key))
            if flight.done:
                return self._sibling(key) or flight
            self._records.put(flight.record)
            admit(flight)
            self._live[key] = flight
            self._changes.announce(key.index, key.project)
            return flight

    def _sibling(self, key: OrderKey) -> Flight | None:
        """A flight of the same group: what is remembered of `key` may be over with its end."""
        return next((flight for other, flight in self._live.items() if other.group == key.group), None)

    def advance(self, flight: Flight, record: Record) -> None:
        """`flight` goes on with `record`. Raises CancelledError when it was ended from outside, InfrastructureError."""
        with self._lock:
            if self._live.get(flight.key) is not flight:
                raise CancelledError
            self._records.put(record)
            flight.advance(record)
            self._changes.announce(record.key.index, record.key.project)

    def conclude(self, flight: Flight, record: Record) -> bool:
        """`flight` ends with `record`; False when it had ended before. A record that cannot be stored is remembered."""
        with self._lock:
            if self._live.get(flight.key) is not flight:
                return False
            self._save(record)
            del self._live[flight.key]
            flight.land(record)
            self._changes.announce(record.key.index, record.key.project)
        if record.state.ended:
            self._ended(record)
        return True

    def interrupt(self, flight: Flight) -> bool:
        """`flight` ends without a result: its order is wanted again."""
        return self.conclude(flight, interrupted(flight.record))

    def live(self) -> tuple[Flight, ...]:
        """All flights that have not ended."""
        with self._lock:
            return tuple(self._live.values())

    def recover(self) -> tuple[OrderKey, ...]:
        """At start: what an earlier server left undone is wanted; its keys. Raises InfrastructureError."""
        with self._lock:
            left = self._records.recover()
            for flight in self._live.values():
                self._records.put(flight.record)
            return tuple(key for key in left if key not in self._live)

    def record(self, key: OrderKey) -> Record | None:
        """The latest snapshot. Raises InfrastructureError."""
        with self._lock:
            if key in self._live:
                return self._live[key].record
            record = self._unsaved.get(key) or self._records.get(key)
        # Nobody is at it: if it says otherwise, its run was cut short.
        return record if record is None or record.state.ended else interrupted(record)

    def records_of(self, index: str, project: str | None) -> tuple[Record, ...]:
        """The latest snapshots of an index, or of one project on it. Raises InfrastructureError."""
        # Without the lock, since a large index takes a while; what was under way meanwhile is looked at one by one.
        stored = self._records.of_index(index) if project is None else self._records.of_project(index, project)
        looked = (record if record.state.ended else self.record(record.key) for record in stored)
        latest = {record.key: record for record in looked if record is not None}
        with self._lock:
            unsaved = [record for key, record in self._unsaved.items() if key not in self._live]
        latest |= {x.key: x for x in unsaved if x.key.index == index and project in {None, x.key.project}}
        return tuple(latest.values())

    def forget(self, index: str) -> None:
        """`index` is gone; its running flights end as they do. Raises InfrastructureError."""
        with self._lock:
            self._records.forget(index)
            self._unsaved = {key: record for key, record in self._unsaved.items() if key.index != index}

    def _save(self, record: Record) -> None:
        try:
            self._records.put(record)
        except Exception as error:  # noqa: BLE001 - whatever it is, the flight's waiters must hear of its end
            report_exception(error, f"storing the record of {record.key.project}")
            self._unsaved[record.key] = record
        else:
            self._unsaved.pop(record.key, None)
