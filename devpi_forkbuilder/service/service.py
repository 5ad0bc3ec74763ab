"""The service: who asks for an order gets a flight; workers do the work."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from devpi_forkbuilder.domain.pins.orders import ASKED, Order, OrderKey
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.domain.tidy import DAY
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.pipeline.protocols import Builder
from devpi_forkbuilder.pipeline.tracing import traced
from devpi_forkbuilder.service.build_events import tell_queued
from devpi_forkbuilder.service.changes import Changes
from devpi_forkbuilder.service.counters import BuildFigures, Counters
from devpi_forkbuilder.service.dependency_wait import DependencyWait, QueuedBuild
from devpi_forkbuilder.service.failures import explained, failure_of, report_exception
from devpi_forkbuilder.service.logs import Logs, tail
from devpi_forkbuilder.service.outlook import NOTHING, Forecast, Outlook
from devpi_forkbuilder.service.overview import Overview, RunningBuild, WaitingBuild
from devpi_forkbuilder.service.queue import Backlog
from devpi_forkbuilder.service.records import Record, Records, interrupted
from devpi_forkbuilder.service.retry import decide, retry_at
from devpi_forkbuilder.service.seams import Claim, Clock, OpenLog, Publisher, unclaimed
from devpi_forkbuilder.service.single_flight.flight import Flight
from devpi_forkbuilder.service.single_flight.registry import FlightRegistry
from devpi_forkbuilder.service.worker import Worker


class ForkService:
    """Builds orders, each at most once at a time, at most `workers` at once, first come first served.

    Two orders of one group (`OrderKey.group`) never run at the same time: when the first ends it may have served the
    second, which is then built without work. `logs` is the folder of log files; `queue_limit` counts waiting orders;
    `read_ahead` is the most that `room_ahead` says.
    Start it once; a service that was stopped stays stopped.
    """

    def __init__(  # noqa: PLR0913 - the parts of a composition, each by its name
        self,
        *,
        builder: Builder,
        publisher: Publisher,
        records: Records,
        logs: Path,
        open_log: OpenLog,
        clock: Clock,
        workers: int,
        queue_limit: int = 1000,
        read_ahead: int = 0,
        claim: Claim = unclaimed,
        ended: Callable[[Record], None] = lambda _record: None,
    ) -> None:
        self.changes = Changes()
        self._builder = builder
        self._clock = clock
        self._records = records
        self._logs = Logs(logs)
        self._counts = Counters()
        self._stopping = threading.Event()
        self._backlog: Backlog[QueuedBuild] = Backlog(queue_limit)
        self._at_work: dict[str, Flight] = {}
        self._read_ahead = read_ahead
        self._board = FlightRegistry(records, self.changes, ended)
        self._forecast = Forecast(self.records_of, workers, clock.monotonic)
        self._dependency_wait = DependencyWait(lambda order: self._take(order, front=True))
        self._runner = Worker(
            builder=builder,
            publisher=publisher,
            board=self._board,
            logs=self._logs,
            open_log=open_log,
            clock=clock,
            counts=self._counts,
            stopping=self._stopping,
            dependency_wait=self._dependency_wait,
            claim=claim,
        )
        self._workers = [
            threading.Thread(target=self._work, name=f"forkbuilder-worker-{number}", daemon=True)
            for number in range(1, workers + 1)
        ]

    @property
    def working(self) -> bool:
        """Whether all workers are there."""
        return all(worker.is_alive() for worker in self._workers)

    @property
    def room_ahead(self) -> int:
        """How many orders may be asked for ahead of the clients now."""
        return self._backlog.room(len(self._workers), self._read_ahead)

    def ask(self, order: Order, *, force: bool = False, ahead: bool = False) -> Flight:
        """Join the running flight of the order's key or start one; `force` tries a remembered failure again.

        What is asked for `ahead` is for workers that would be idle, until somebody asks for it without that word.
        Never waits for work, never raises. The flight is done at once when a failure is remembered that may not be
        tried yet, when the queue is full (`queue-full`, not recorded), and when the service was stopped (`wanted`).
        """
        flight = self._take(order, force=force, ahead=ahead)
        if not ahead:
            self._backlog.promote(order.key.group)
        return flight

    def _announce(self, record: Record) -> None:
        """Say on the console that a build is queued, and how long it will take."""
        try:
            tell_queued(record, self.outlook(record))
        except Exception as error:  # noqa: BLE001 - a forecast is not worth an order
            report_exception(error, f"forecasting the build of {record.key.project}")

    def _take(self, order: Order, *, force: bool = False, front: bool = False, ahead: bool = False) -> Flight:
        admitted: list[Flight] = []
        order = order if ahead else replace(order, urgency=ASKED)
        try:
            fingerprint = order.fingerprint(self._builder.identity)
            flight = self._board.enter(
                order.key,
                plan=lambda latest: self._plan(order.key, fingerprint, latest, force, front),
                admit=lambda flight: admitted.append(self._admit(order, flight, front, ahead)),
            )
        except Exception as error:  # noqa: BLE001 - a builder's or a record's fault is the flight's, not the caller's
            return self._turned_away(order.key, error)
        for new in admitted:
            with traced(new.trace):
                self._announce(new.record)
        if not admitted and not flight.done and not ahead:
            self._counts.join()
        return flight

    def record(self, key: OrderKey) -> Record | None:
        """The latest snapshot of `key`. Raises InfrastructureError when the records cannot be read."""
        return self._board.record(key)

    def records_of(self, index: str, project: str | None = None) -> tuple[Record, ...]:
        """The latest snapshots of an index, or of one project (normalized name) on it. Raises InfrastructureError."""
        return self._board.records_of(index, project)

    def outlook(self, record: Record) -> Outlook:
        """Where a build that has not ended is in the queue, and how long it will take. Raises InfrastructureError."""
        if record.state.ended or record.state is State.WANTED:
            return NOTHING
        return self._forecast.outlook(record, self._backlog.position(record.key.group), self._clock.now())

    def overview(self) -> Overview:
        """What runs on which worker, and what waits, in turn."""
        running = tuple(RunningBuild(name, flight.record) for name, flight in sorted(self._at_work.copy().items()))
        queue = [
            WaitingBuild(flight.record, place, spare, held)
            for place, ((_, flight), spare, held) in enumerate(self._backlog.waiting(), 1)
        ]
        parked = [WaitingBuild(flight.record, needs=needs) for (_, flight), needs in self._dependency_wait.waiting()]
        return Overview(len(self._workers), running, (*queue, *parked))

    def recent_failures(self, limit: int) -> tuple[Record, ...]:
        """The failures that are remembered, the latest first. Raises InfrastructureError."""
        return self._records.failures(limit)

    def log_path(self, key: OrderKey) -> Path | None:
        """The log file of `key`, if there is one. Raises InfrastructureError when the records cannot be read."""
        record = self.record(key)
        return None if record is None else self._logs.find(record.log)

    def tail(self, key: OrderKey, n_bytes: int) -> bytes:
        """The last whole lines of the log of `key`, `n_bytes` at most; empty without a log. Raises as `log_path`."""
        path = self.log_path(key)
        return b"" if path is None else tail(path, n_bytes)

    def start(self) -> tuple[OrderKey, ...]:
        """Start the workers, once. The keys of what an earlier stop or crash left undone, the oldest first: it is
        built when it is asked for again. There are none when the records cannot be used.
        """
        for worker in self._workers:
            worker.start()
        try:
            return self._board.recover()
        except Exception as error:  # noqa: BLE001 - a service without workers would let everybody wait for nothing
            report_exception(error, "looking for what was left undone")
            return ()

    def stop(self, timeout: float = 10) -> None:
        """End it: runs are cancelled, they and what is queued are `wanted` again, their waiters and those of `changes`
        are released. Workers get `timeout` seconds in all; one that takes longer is left behind, its flight ended.
        """
        self._stopping.set()
        self._backlog.close()
        until = self._clock.monotonic() + timeout
        for flight in self._board.live():
            if flight.record.state is State.QUEUED:
                self._board.interrupt(flight)
        for worker in self._workers:
            if worker.ident is not None:
                worker.join(max(0.0, until - self._clock.monotonic()))
        for flight in self._board.live():
            self._board.interrupt(flight)
        self.changes.close()

    def stats(self) -> Mapping[str, int | float]:
        """Figures for metrics: `queued` and `running` now; `records_in_memory` 1 when the records'
        file cannot be used; since the start `built_total`, `covered_total` (served by
        another target's build), `cancelled_total`, `failed_KIND_total`, and `STEP_seconds_total` of all ended runs.
        """
        queued, running = self._backlog.sizes()
        lost = {"records_in_memory": int(self._records.lost)}
        return {"queued": queued, "running": running, **lost, **self._counts.numbers()}

    def figures(self) -> BuildFigures:
        """Figures with labels, for metrics."""
        now = self._clock.now()
        since = [flight.record.queued_at for flight in self._board.live() if flight.record.state is State.QUEUED]
        age = max((now - at for at in since if at is not None), default=0.0)
        try:
            last, failing = self._records.last_built(), self._records.failed_since(now - DAY)
        except InfrastructureError:
            last, failing = None, 0
        return replace(self._counts.figures(max(0.0, age), last), failing=failing)

    def forget(self, index: str) -> None:
        """`index` (`user/name`) was deleted. Raises InfrastructureError."""
        self._board.forget(index)

    def sweep(self) -> int:
        """Remove log files that no record names; how many. Raises InfrastructureError and OSError."""
        # In this order: a run is recorded before it opens its log, so no log of a run can be found and not be named.
        found = self._logs.names()
        left = set(found) - self._records.logs()
        self._logs.remove(left)
        return len(left)

    def _plan(self, key: OrderKey, fingerprint: str, latest: Record | None, force: bool, front: bool) -> Flight:
        now = self._clock.now()
        if latest is not None and not decide(latest, fingerprint, now, force):
            return Flight(latest, done=True)
        queued = _queued(key, fingerprint, latest, now)
        if self._backlog.closed:
            return Flight(interrupted(queued), done=True)
        if self._backlog.full and not front:
            return self._failed(queued, _queue_full())
        return Flight(queued)

    def _admit(self, order: Order, flight: Flight, front: bool, ahead: bool) -> Flight:
        if not self._backlog.put(order.key.group, (order, flight), front=front, spare=ahead):
            raise InfrastructureError("stopping", "The server is stopping.", next_step="Ask again in a moment.")
        return flight

    def _turned_away(self, key: OrderKey, error: Exception) -> Flight:
        reported = explained(error)
        if reported is not error:
            report_exception(error, f"taking an order for {key.project}")
        return self._failed(Record(key, State.WANTED), reported)

    def _failed(self, record: Record, error: ForkbuilderError) -> Flight:
        now = self._clock.now()
        failed = replace(
            record,
            state=State.FAILED,
            error=failure_of(error, record.state),
            finished_at=now,
            retry_at=retry_at(error, 1, now),
        )
        return Flight(failed, done=True)

    def _work(self) -> None:
        while (taken := self._backlog.take()) is not None:
            group, (order, flight) = taken
            worker = threading.current_thread().name
            self._at_work[worker] = flight
            try:
                with traced(flight.trace):
                    ahead = self._runner.run(order, flight)
            finally:
                self._at_work.pop(worker, None)
                self._backlog.release(group)
            for other in ahead:
                self.ask(other)
            self._go_on()

    def _go_on(self) -> None:
        """What waited for others and need not wait any more is next, or has failed with them."""
        while ready := self._dependency_wait.ready():
            for (order, flight), error in ready:
                if error is not None:
                    self._runner.give_up(flight, error)
                else:
                    # False when the backlog is closed: whoever closed it ends the flight
                    self._backlog.put(order.key.group, (order, flight), front=True)


def _queue_full() -> InfrastructureError:
    return InfrastructureError(
        "queue-full", "This server has as many builds waiting as it takes.", next_step="Ask again in a minute."
    )


def _queued(key: OrderKey, fingerprint: str, latest: Record | None, now: float) -> Record:
    """The record to begin with. What the latest run learned of the commit holds; its failures count for the pauses."""
    record = Record(key, State.QUEUED, fingerprint, queued_at=now)
    if latest is None:
        return record
    again = latest.fingerprint == fingerprint and latest.state is not State.BUILT
    attempts = latest.attempts if again else 0
    return replace(record, attempts=attempts, commit_time=latest.commit_time, log=latest.log)
