"""One service for each test, stopped at its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.service.records import Record, Records
from devpi_forkbuilder.service.service import ForkService
from devpi_forkbuilder.service.single_flight.flight import Flight
from tests.service.fakes import PATIENCE, FakeBuilder, FakePublisher, FileLog, ManualClock


@dataclass
class World:
    """Everything around a service; parts may be replaced before `open` is called."""

    folder: Path
    builder: FakeBuilder = field(default_factory=FakeBuilder)
    publisher: FakePublisher = field(default_factory=FakePublisher)
    clock: ManualClock = field(default_factory=ManualClock)
    records: Records | None = None
    services: list[ForkService] = field(default_factory=list)
    opened: list[Records] = field(default_factory=list)

    def open(self, *, workers: int = 1, start: bool = True, **more: Any) -> ForkService:
        records = self.records or Records(self.folder / "records.sqlite")
        service = ForkService(
            builder=self.builder,
            publisher=self.publisher,
            records=records,
            logs=self.folder / "logs",
            open_log=more.pop("open_log", FileLog),
            clock=self.clock,
            workers=workers,
            **more,
        )
        self.opened.append(records)
        self.services.append(service)
        if start:
            service.start()
        return service

    def close(self) -> None:
        for service in self.services:
            service.stop(timeout=PATIENCE)
        for records in self.opened:
            records.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def landed(flight: Flight) -> Record:
    """The last snapshot of `flight`, which ends."""
    assert flight.wait(PATIENCE), flight.record
    return flight.record


def finish(service: ForkService, order: Order) -> Record:
    """Ask for `order` and wait for its end."""
    return landed(service.ask(order))
