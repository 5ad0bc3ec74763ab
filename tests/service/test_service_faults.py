"""Whatever is raised wherever: the waiter hears of it, and the worker goes on."""

from __future__ import annotations

import logging

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import InfrastructureError, Kind
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from devpi_forkbuilder.service.records import Record
from tests.service.conftest import World, finish, landed
from tests.service.fakes import COMMIT, FakeBuilder, FaultyRecords, FileLog, order

ERRORS = [RuntimeError("secret-text"), SystemExit(3), KeyboardInterrupt(), CancelledError(), MemoryError(), OSError(28)]


def raising(error: BaseException):  # type: ignore[no-untyped-def]  # fits builders' and publishers' hooks alike
    def hook(order: Order, _progress: BuildProgress | None = None) -> None:
        if order.pin.project == "alpha":
            raise error

    return hook


def break_at(world: World, place: str, error: BaseException) -> None:
    if place == "build()":
        world.builder = FakeBuilder()
        original = world.builder.build

        def build(order: Order, progress: BuildProgress):  # type: ignore[no-untyped-def]  # as the original
            raising(error)(order)
            return original(order, progress)

        world.builder.build = build  # type: ignore[method-assign]  # raises before there is a context
    elif place in {"work", "on_enter", "on_exit"}:
        world.builder = FakeBuilder(**{place: raising(error)})
    else:
        setattr(world.publisher, place, raising(error))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("place", "stage"),
    [
        ("before_covers", State.QUEUED),
        ("build()", State.QUEUED),
        ("on_enter", State.QUEUED),
        ("work", State.BUILDING),
        ("before_publish", State.PUBLISHING),
    ],
)
def test_run__anything_raised_is_a_failure(
    world: World, place: str, stage: State, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    break_at(world, place, error)
    service = world.open(workers=1)
    record = finish(service, order("alpha"))
    assert record.state is State.FAILED
    assert record.error is not None
    assert (record.error.kind, record.error.reference) == (Kind.INFRASTRUCTURE, "unexpected")
    assert record.error.stage is stage
    assert type(error).__name__ in record.error.message
    assert "secret-text" not in record.error.message
    assert record.retry_at is not None
    assert finish(service, order("beta")).state is State.BUILT
    assert "Traceback" in caplog.text
    assert service.record(order("alpha").key) == record


def test_run__clean_up_fails_after_the_result_is_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    break_at(world, "on_exit", RuntimeError("scratch is busy"))
    service = world.open()
    assert finish(service, order("alpha")).state is State.BUILT
    assert finish(service, order("beta")).state is State.BUILT
    assert "scratch is busy" in caplog.text
    assert b"Failed" not in service.tail(order("alpha").key, 1000)


PUTS = ["queued", "begin", "log", "fetching", "commit time", "building", "checking", "publishing", "built"]


@pytest.mark.parametrize("at", range(1, len(PUTS) + 1), ids=PUTS)
@pytest.mark.parametrize("error", [RuntimeError("odd"), InfrastructureError("records-unusable", "Full.")])
@pytest.mark.parametrize("always", [False, True], ids=["once", "always"])
def test_run__records_cannot_be_written(world: World, at: int, error: Exception, always: bool) -> None:
    world.records = records = FaultyRecords(world.folder / "records.sqlite", error, at, always=always)
    service = world.open(workers=1)
    record = finish(service, order("alpha"))
    if PUTS[at - 1] == "built":
        assert record.state is State.BUILT
    else:
        assert record.state is State.FAILED
        assert record.error is not None
        assert record.error.reference == ("unexpected" if isinstance(error, RuntimeError) else "records-unusable")
    if PUTS[at - 1] != "queued":
        assert service.record(order("alpha").key) == record
        assert service.records_of("main/forks", "alpha") == (record,)
    records.error = None
    assert finish(service, order("beta")).state is State.BUILT


def test_run__every_put_is_covered_above(world: World) -> None:
    world.records = records = FaultyRecords(world.folder / "records.sqlite")
    finish(world.open(), order())
    assert records.puts == len(PUTS)


def test_run__an_unsaved_failure_holds_too(world: World) -> None:
    world.records = FaultyRecords(world.folder / "records.sqlite", InfrastructureError("x", "Full."), 3, always=True)
    service = world.open()
    record = finish(service, order())
    assert service.ask(order()).record == record


@pytest.mark.parametrize("error", [OSError(28, "No space"), RuntimeError("odd")])
def test_run__log_cannot_be_opened(world: World, error: Exception) -> None:
    def refuse(_path: object) -> FileLog:
        raise error

    service = world.open(open_log=refuse)
    record = finish(service, order())
    assert record.error is not None
    assert record.error.reference == ("logs-unusable" if isinstance(error, OSError) else "unexpected")
    assert service.log_path(order().key) is None


class LastWordsLog(FileLog):
    def say(self, _line: str) -> None:
        raise RuntimeError("no more")


class UnclosableLog(FileLog):
    def close(self) -> None:
        super().close()
        raise RuntimeError("cannot close")


@pytest.mark.parametrize(("log", "state"), [(LastWordsLog, State.FAILED), (UnclosableLog, State.BUILT)])
def test_run__log_that_breaks_its_promise(world: World, log: type[FileLog], state: State) -> None:
    service = world.open(open_log=log)
    assert [finish(service, order(name)).state for name in ("alpha", "beta")] == [state, state]


def test_run__states_out_of_order(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.builder = FakeBuilder(lambda _order, progress: progress.enter(State.BUILT))
    record = finish(world.open(), order())
    assert record.error is not None
    assert record.error.reference == "unexpected"
    assert "built may not follow building" in caplog.text


def test_ask__builder_without_identity(world: World) -> None:
    class Nameless(FakeBuilder):
        @property
        def identity(self) -> str:  # type: ignore[override]  # a fault, not a name
            raise RuntimeError("no uv")

    world.builder = Nameless()
    service = world.open()
    flight = service.ask(order())
    assert flight.done
    assert flight.record.error is not None
    assert flight.record.error.reference == "unexpected"
    assert service.record(order().key) is None


def test_ask__records_cannot_be_read(world: World) -> None:
    service = world.open()
    world.opened[0].close()
    record = landed(service.ask(order()))
    assert record.error is not None
    assert record.error.reference == "records-unusable"
    assert record.retry_at == world.clock.now() + 5


def test_start__records_cannot_be_written(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.records = records = FaultyRecords(world.folder / "records.sqlite")
    records.put(Record(order("old").key, State.BUILDING))
    records.error, records.at = InfrastructureError("records-unusable", "Full."), 2
    service = world.open(start=False)
    assert service.start() == ()
    assert "Full." in caplog.text
    assert finish(service, order("beta")).state is State.BUILT


def test_report__no_text_passes_for_a_line_of_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    forged = "x\n2026-01-01 INFO root logged in\r\x1b[2J\x85\u2028end"
    world.builder = FakeBuilder(raising(ValueError(forged)))
    with caplog.at_level(logging.ERROR):
        finish(world.open(), order())
    lines = caplog.records[0].getMessage().split("\n")
    assert lines[0] == f"unexpected error while building alpha at {COMMIT}"
    assert all(line.startswith("    | ") and line.isprintable() for line in lines[1:])
