"""Queue positions and estimates, from builds that ended."""

from __future__ import annotations

import logging

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.build_events import tell_queued
from devpi_forkbuilder.service.outlook import NOTHING, Forecast, Outlook, Times
from devpi_forkbuilder.service.records import Record
from tests.service.conftest import World
from tests.service.fakes import FakeBuilder, Gate, order

KEY = order("a").key


def built(project: str, *seconds: float) -> list[Record]:
    return [
        Record(order(project, commit=f"{number:040x}").key, State.BUILT, seconds={"fetch": 1.0, "build": spent - 1.0})
        for number, spent in enumerate(seconds)
    ]


def test_times__are_medians_of_what_was_built() -> None:
    failed = Record(KEY, State.FAILED, seconds={"build": 99.0})
    times = Times.of([*built("a", 10.0, 20.0, 90.0), *built("b", 2.0), failed, Record(KEY, State.BUILT)])
    assert (times.project("a"), times.project("b"), times.project("new")) == (20.0, 2.0, 15.0)
    assert Times.of([failed]).project("a") is None


@pytest.mark.parametrize(
    ("record", "position", "expected"),
    [
        (Record(KEY, State.QUEUED), 0, Outlook(None, 10.0)),
        (Record(KEY, State.QUEUED), 1, Outlook(1, 16.0)),
        (Record(KEY, State.QUEUED), 4, Outlook(4, 22.0)),
        (Record(KEY, State.BUILDING, started_at=97.0), 0, Outlook(None, 7.0)),
        (Record(KEY, State.BUILDING, started_at=1.0), 0, Outlook(None, 0.0)),
        (Record(KEY, State.BUILDING), 0, NOTHING),
    ],
)
def test_forecast__own_time_and_the_rounds_before(record: Record, position: int, expected: Outlook) -> None:
    history = [*built("a", 10.0), *built("b", 2.0)]
    forecast = Forecast(lambda _index: history, workers=2, monotonic=lambda: 0.0)
    assert forecast.outlook(record, position, 100.0) == expected


def test_forecast__reads_the_records_of_an_index_once_it_has_times() -> None:
    asked: list[str] = []
    history: list[Record] = []

    def records_of(index: str) -> list[Record]:
        asked.append(index)
        return history

    forecast = Forecast(records_of, workers=1, monotonic=lambda: 0.0)
    for position in (1, 2):
        assert forecast.outlook(Record(KEY, State.QUEUED), position, 0.0) == Outlook(position, None)
    history += built("a", 4.0)
    for position in (1, 2, 3):
        assert forecast.outlook(Record(KEY, State.QUEUED), position, 0.0) == Outlook(position, 4.0 + 4.0 * position)
    assert len(asked) == 3


def test_service__says_who_is_next(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "devpi_forkbuilder.service.build_events")
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    service.ask(order("runs"))
    gate.next()
    first, second = service.ask(order("first")), service.ask(order("second"))
    assert [service.outlook(flight.record).position for flight in (first, second)] == [1, 2]
    assert service.ask(order("second")) is second
    told = [record.getMessage() for record in caplog.records if "queued" in record.getMessage()]
    assert len(told) == 3
    assert told[2].endswith("queued behind 1 other")
    for name in ("runs", "first", "second"):
        gate.open(name)
    assert service.outlook(Record(KEY, State.BUILT)) == NOTHING


def test_tell_queued__position_and_estimate(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "devpi_forkbuilder.service.build_events")
    tell_queued(Record(KEY, State.QUEUED), Outlook(4, 41.6))
    tell_queued(Record(KEY, State.QUEUED), Outlook(None, 3.2))
    assert [record.getMessage().partition("queued")[2] for record in caplog.records] == [
        " behind 3 others, about 42 s",
        ", about 3 s",
    ]
