"""The service: who asks for an order gets a flight; workers do the work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devpi_forkbuilder.domain.orders import Order, OrderKey
from devpi_forkbuilder.pipeline.seams import Builder
from devpi_forkbuilder.service.changes import Changes
from devpi_forkbuilder.service.flights import Flight
from devpi_forkbuilder.service.records import Record, Records
from devpi_forkbuilder.service.seams import Clock, OpenLog, Publisher


class ForkService:
    """Builds orders, each at most once at a time."""

    changes: Changes

    def __init__(
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
    ) -> None: ...

    def ask(self, order: Order, *, force: bool = False) -> Flight:
        """Join the running flight of the order's key or start one. Never blocks, never raises."""
        raise NotImplementedError

    def record(self, key: OrderKey) -> Record | None:
        """The latest snapshot of `key`."""
        raise NotImplementedError

    def records_of(self, index: str, project: str | None = None) -> tuple[Record, ...]:
        """The latest snapshots of an index, or of one project on it."""
        raise NotImplementedError

    def log_path(self, key: OrderKey) -> Path | None:
        """The log file of `key`, if there is one."""
        raise NotImplementedError

    def tail(self, key: OrderKey, n_bytes: int) -> bytes:
        """The last whole lines of the log of `key`, `n_bytes` at most."""
        raise NotImplementedError

    def start(self) -> tuple[OrderKey, ...]:
        """Start the workers; the keys of work that an earlier stop or crash left undone."""
        raise NotImplementedError

    def stop(self, timeout: float = 10) -> None:
        """End runs and workers; what was unfinished is `wanted` again."""
        raise NotImplementedError

    def stats(self) -> Mapping[str, int | float]:
        """Figures for metrics."""
        raise NotImplementedError
