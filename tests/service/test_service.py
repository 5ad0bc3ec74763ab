from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, InfrastructureError, Kind, MismatchError, SourceError
from devpi_forkbuilder.pipeline.protocols import BuildProgress
from tests.service.conftest import World, finish, landed
from tests.service.fakes import COMMIT, PATIENCE, FakeBuilder, FakePublisher, FileLog, Gate, order, with_recipe


class Breaks:
    """Work that fails as long as there is an `error`."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def __call__(self, _order: Order, _progress: BuildProgress) -> None:
        if self.error is not None:
            raise self.error


def test_ask__builds_and_records(world: World) -> None:
    def take_time(_order: Order, _progress: BuildProgress) -> None:
        world.clock.advance(2.0)

    world.builder = FakeBuilder(take_time)
    service = world.open()
    record = finish(service, order())
    assert record.state is State.BUILT
    assert (record.attempts, record.error, record.commit_time) == (1, None, 1_700_000_000)
    assert record.seconds == {"fetch": 0.0, "build": 2.0, "check": 0.0, "publish": 0.0}
    assert record.finished_at == world.clock.now()
    assert (record.started_at, record.queued_at) == (world.clock.now() - 2.0, world.clock.now() - 2.0)
    assert record.log == f"main/forks/alpha/{COMMIT}~1.0.2.log"
    assert service.record(order().key) == record
    assert world.publisher.published == {order().key}


def test_ask__two_hundred_threads_one_build(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open(workers=4)
    together = threading.Barrier(200)

    def client() -> State:
        together.wait(PATIENCE)
        return landed(service.ask(order())).state

    with ThreadPoolExecutor(200) as pool:
        clients = [pool.submit(client) for _ in range(200)]
        gate.next()
        gate.open()
        assert {client.result(PATIENCE) for client in clients} == {State.BUILT}
    assert world.builder.builds == [order().key]


def test_ask__joins_while_it_runs(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    first = service.ask(order())
    gate.next()
    assert service.ask(order(), force=True) is first
    assert not first.done
    assert first.record.state is State.BUILDING
    gate.open()
    landed(first)


def test_wait__who_leaves_changes_nothing(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    assert not service.ask(order()).wait(0.01)
    gate.next()
    assert not service.ask(order()).wait(0.0)
    gate.open()
    assert finish(service, order()).state is State.BUILT
    assert len(world.builder.builds) == 1


def test_workers__no_more_at_once_and_in_order(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open(workers=2)
    names = [f"p{number:02}" for number in range(20)]
    flights = [service.ask(order(name)) for name in names]
    for name in names:
        gate.next()
        gate.open(name)
    assert {landed(flight).state for flight in flights} == {State.BUILT}
    assert world.builder.most_at_once == 2
    built = [key.project for key in world.builder.builds]
    assert all(abs(built.index(name) - place) <= 1 for place, name in enumerate(names))


def test_workers__one_builds_in_the_order_asked_for(world: World) -> None:
    service = world.open(workers=1, start=False)
    names = ["c", "a", "d", "b"]
    flights = [service.ask(order(name)) for name in names]
    service.start()
    for flight in flights:
        landed(flight)
    assert [key.project for key in world.builder.builds] == names


def test_group__never_two_at_once_and_the_first_serves_the_rest(world: World) -> None:
    gate = Gate()
    world.builder, world.publisher = FakeBuilder(gate), FakePublisher(pure=True)
    service = world.open(workers=4)
    flights = [service.ask(order(python=python)) for python in ("", "3.10", "3.11", "3.12")]
    gate.next()
    assert service.stats()["queued"] == 3
    gate.open()
    assert [landed(flight).state for flight in flights] == [State.BUILT] * 4
    assert len(world.builder.builds) == 1
    assert not world.builder.groups_met
    assert service.stats()["covered_total"] == 3
    assert flights[1].record.seconds == {}
    assert flights[1].record.log == ""


def test_group__each_is_built_where_the_first_does_not_serve(world: World) -> None:
    service = world.open(workers=4)
    flights = [service.ask(order(python=python)) for python in ("3.10", "3.11", "3.12")]
    assert [landed(flight).state for flight in flights] == [State.BUILT] * 3
    assert len(world.builder.builds) == 3
    assert not world.builder.groups_met


def test_group__a_busy_one_holds_up_nobody_else(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open(workers=2)
    gate.open("beta")
    busy = service.ask(order(python="3.10"))
    gate.next()
    behind = service.ask(order(python="3.11"))
    assert finish(service, order("beta")).state is State.BUILT
    assert behind.record.state is State.QUEUED
    gate.open("alpha")
    assert landed(busy).state is landed(behind).state is State.BUILT


def test_failure__is_remembered(world: World) -> None:
    world.builder = FakeBuilder(Breaks(BuildError("no-wheel", "The build made no wheel.", next_step="Fix it.")))
    service = world.open()
    record = finish(service, order())
    assert record.state is State.FAILED
    assert record.error is not None
    assert (record.error.kind, record.error.reference) == (Kind.BUILD, "no-wheel")
    assert (record.error.stage, record.error.message) == (State.BUILDING, "The build made no wheel. Fix it.")
    assert record.retry_at is None
    world.clock.advance(1e9)
    again = service.ask(order())
    assert again.done
    assert again.record == record
    assert len(world.builder.builds) == 1


def test_failure__is_remembered_by_the_next_server(world: World) -> None:
    world.builder = FakeBuilder(Breaks(BuildError("no-wheel", "No wheel.")))
    record = finish(world.open(), order())
    world.close()
    assert world.open().ask(order()).record == record
    assert len(world.builder.builds) == 1


def test_ask__during_a_forced_build_joins_it_with_another_interpreter(world: World) -> None:
    """The old failure was told at once while the build that might end it was running."""
    work = Breaks(BuildError("build-failed", "It failed."))
    world.builder = FakeBuilder(work)
    service = world.open()
    for python in ("", "3.12"):
        assert finish(service, order(python=python)).state is State.FAILED
    gate = Gate()
    world.builder.work = gate
    forced = service.ask(order(), force=True)
    gate.next()
    joined = service.ask(order(python="3.12"))
    assert joined is forced
    gate.open()
    assert landed(joined).state is State.BUILT


@pytest.mark.parametrize("why", ["force", "recipe", "builder"])
def test_failure__is_tried_again(world: World, why: str) -> None:
    breaks = Breaks(BuildError("no-wheel", "No wheel."))
    world.builder = FakeBuilder(breaks)
    service = world.open()
    finish(service, order())
    breaks.error = None
    if why == "builder":
        world.builder.identity = "fake 2"
    wanted = with_recipe("setuptools<58") if why == "recipe" else order()
    record = landed(service.ask(wanted, force=why == "force"))
    assert (record.state, record.error) == (State.BUILT, None)
    assert record.attempts == (2 if why == "force" else 1)


@pytest.mark.parametrize(
    "error",
    [SourceError("host-down", "No route.", retryable=True), InfrastructureError("disk", "Full."), OSError("odd")],
    ids=["source", "infrastructure", "unexpected"],
)
def test_failure__is_tried_again_after_growing_pauses(world: World, error: Exception) -> None:
    breaks = Breaks(error)
    world.builder = FakeBuilder(breaks)
    service = world.open()
    for attempt, pause in enumerate((5, 15, 45), 1):
        record = finish(service, order())
        assert (record.attempts, record.retry_at) == (attempt, world.clock.now() + pause)
        world.clock.advance(pause - 0.5)
        assert service.ask(order()).done
        assert len(world.builder.builds) == attempt
        world.clock.advance(0.5)
    breaks.error = None
    assert finish(service, order()).state is State.BUILT


def test_failure__what_was_learned_of_the_commit_holds(world: World) -> None:
    world.builder = FakeBuilder(Breaks(BuildError("no-wheel", "No wheel.")))
    service = world.open()
    assert finish(service, order()).commit_time == 1_700_000_000
    world.builder.on_enter = Breaks(SourceError("host-down", "No\nroute\x1b.", retryable=True))
    record = landed(service.ask(order(), force=True))
    assert record.commit_time == 1_700_000_000
    assert record.error is not None
    assert record.error.message == "No\\nroute\\x1b."


def test_built__is_built_again_when_its_files_are_gone(world: World) -> None:
    service = world.open()
    finish(service, order())
    world.publisher.published.clear()
    record = finish(service, order())
    assert (record.state, record.attempts) == (State.BUILT, 1)
    assert len(world.builder.builds) == 2


def test_built__is_not_built_again_when_its_files_are_there(world: World) -> None:
    service = world.open()
    log = finish(service, order()).log
    record = finish(service, order())
    assert record.log == log
    assert b"building" in service.tail(order().key, 1000)
    assert len(world.builder.builds) == 1


def test_built__but_for_another_target(world: World) -> None:
    world.publisher.covers = lambda order: order is None  # type: ignore[method-assign]  # serves nobody
    service = world.open()
    record = finish(service, order(python="3.12"))
    assert record.error is not None
    assert (record.error.kind, record.error.reference) == (MismatchError.kind, "files-do-not-fit")
    assert service.ask(order(python="3.12")).done
    assert len(world.builder.builds) == 1


def test_queue__full(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open(queue_limit=2)
    kept = [service.ask(order("a"))]
    gate.next()
    kept += [service.ask(order("b")), service.ask(order("c"))]
    refused = service.ask(order("d"))
    assert refused.done
    assert refused.record.state is State.FAILED
    assert refused.record.error is not None
    assert refused.record.error.reference == "queue-full"
    assert refused.record.retry_at is not None
    assert service.record(order("d").key) is None
    assert service.ask(order("b")) is kept[1]
    for name in "abcd":
        gate.open(name)
    assert {landed(flight).state for flight in kept} == {State.BUILT}
    assert finish(service, order("d")).state is State.BUILT


def test_records_of__live_ones_as_they_are(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    gate.open("done")
    service = world.open()
    finish(service, order("done"))
    service.ask(order("runs"))
    gate.next()
    gate.next()
    service.ask(order("waits"))
    states = {record.key.project: record.state for record in service.records_of("main/forks")}
    assert states == {"done": State.BUILT, "runs": State.BUILDING, "waits": State.QUEUED}
    assert [record.state for record in service.records_of("main/forks", "runs")] == [State.BUILDING]
    assert service.records_of("other/x") == ()
    gate.open("runs")
    gate.open("waits")


def test_changes__beginning_and_end_are_announced(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    token = service.changes.token()
    flight = service.ask(order())
    gate.next()
    assert service.changes.wait(token, PATIENCE, ("main/forks", "alpha")) > token
    token = service.changes.token()
    assert flight.record.state is State.BUILDING
    gate.open()
    landed(flight)
    assert service.changes.wait(token, PATIENCE, ("main/forks", "alpha")) > token


def test_stats__figures(world: World) -> None:
    def work(_order: Order, _progress: BuildProgress) -> None:
        world.clock.advance(3.0)
        if _order.pin.project == "bad":
            raise BuildError("x", "x")

    world.builder = FakeBuilder(work)
    service = world.open()
    finish(service, order("good"))
    finish(service, order("bad"))
    stats = service.stats()
    assert (stats["built_total"], stats["failed_build_total"], stats["failed_source_total"]) == (1, 1, 0)
    assert (stats["build_seconds_total"], stats["publish_seconds_total"]) == (6.0, 0.0)
    assert stats["queued"] == 0


def test_forget__index_is_gone(world: World) -> None:
    service = world.open()
    finish(service, order())
    service.forget("main/forks")
    assert service.record(order().key) is None
    assert service.log_path(order().key) is None
    assert service.sweep() == 1
    assert list((world.folder / "logs").rglob("*.log")) == []


def test_sweep__keeps_what_is_known(world: World) -> None:
    service = world.open()
    finish(service, order())
    (world.folder / "logs" / "main" / "old.log").touch()
    assert service.sweep() == 1
    assert service.log_path(order().key) == world.folder / "logs" / f"main/forks/alpha/{COMMIT}~1.0.2.log"


def test_log__ends_with_the_failure(world: World) -> None:
    error = SourceError("commit-missing", "No commit\x1b[2J abc.", next_step="Push it.")
    world.builder = FakeBuilder(Breaks(error))
    service = world.open()
    finish(service, order())
    world.close()
    path = service._logs.find(f"main/forks/alpha/{COMMIT}~1.0.2.log")
    assert path is not None
    assert path.read_text().splitlines() == [
        "building",
        "# Failed while building: No commit\\x1b[2J abc.",
        "# Cause: the repository, the commit or the credentials for it.",
        "# Next step: Push it.",
    ]


def test_log__is_closed_before_the_failure_is_told(world: World) -> None:
    class HoldingBack(FileLog):
        def close(self) -> None:
            self.write(b"held back\n")
            told.append(service.ask(order()).done)
            super().close()

    told: list[bool] = []
    world.builder = FakeBuilder(Breaks(BuildError("x", "x")))
    service = world.open(open_log=HoldingBack)
    finish(service, order())
    assert told == [False]
    assert service.tail(order().key, 10) == b"held back\n"


def test_log__live_while_building(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    service.ask(order())
    gate.next()
    assert service.tail(order().key, 100) == b"building\n"
    gate.open()


def test_tail__no_log(world: World) -> None:
    assert world.open().tail(order().key, 100) == b""
