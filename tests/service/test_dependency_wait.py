"""Pins that need pins: in turn, with one worker, and never for ever."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError, Kind
from devpi_forkbuilder.pipeline.protocols import BuildProgress
from tests.service.conftest import World, finish, landed
from tests.service.fakes import FakeBuilder, Gate, order


def needing(world: World, graph: dict[str, tuple[str, ...]]) -> None:
    """Builds ask for what `graph` says; the index needs what is not published yet."""

    def work(current: Order, progress: BuildProgress) -> None:
        progress.needs(graph.get(current.pin.project, ()), current.python or "3.11")

    def needed(_order: Order, requirements: tuple[str, ...], python: str) -> tuple[Order, ...]:
        orders = (order(name, python=python) for name in requirements)
        return tuple(one for one in orders if not world.publisher.covers(one))

    world.builder = FakeBuilder(work)
    world.publisher.needed = needed


@pytest.mark.parametrize("workers", [1, 3])
def test_needs__are_built_in_turn(world: World, workers: int) -> None:
    needing(world, {"alpha": ("beta", "gamma"), "beta": ("gamma",)})
    service = world.open(workers=workers)
    assert finish(service, order("alpha")).state is State.BUILT
    assert {key.project for key in world.publisher.published} == {"alpha", "beta", "gamma"}


def test_needs__come_before_what_is_queued(world: World) -> None:
    needing(world, {"alpha": ("beta",)})
    service = world.open(start=False)
    flights = [service.ask(order(name)) for name in ("alpha", "late")]
    service.start()
    for flight in flights:
        landed(flight)
    ran = [key.project for key in world.builder.builds]
    assert ran.index("beta") < ran.index("late")


@pytest.mark.parametrize(
    ("graph", "way"),
    [
        ({"alpha": ("alpha",)}, ["alpha needs alpha"]),
        ({"alpha": ("beta",), "beta": ("alpha",)}, ["alpha needs beta needs alpha", "beta needs alpha needs beta"]),
        (
            {"alpha": ("beta",), "beta": ("gamma",), "gamma": ("alpha",)},
            ["gamma needs alpha needs beta needs gamma"],
        ),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_needs__a_cycle_ends_at_once_and_is_named(
    world: World, graph: dict[str, tuple[str, ...]], way: list[str], workers: int
) -> None:
    needing(world, graph)
    record = finish(world.open(workers=workers), order("alpha", python="3.11"))
    assert record.state is State.FAILED
    assert record.error is not None
    assert record.error.kind is Kind.BUILD
    assert any(one in record.error.message for one in way)


def test_needs__two_of_a_cycle_asked_at_once(world: World) -> None:
    needing(world, {"alpha": ("beta",), "beta": ("alpha",)})
    service = world.open(workers=2, start=False)
    flights = [service.ask(order(name, python="3.11")) for name in ("alpha", "beta")]
    service.start()
    assert {landed(flight).state for flight in flights} == {State.FAILED}


def test_needs__what_was_asked_for_in_two_ways_is_let_go_in_both(world: World) -> None:
    needing(world, {"alpha": ("beta",)})
    service = world.open(start=False)
    flights = [service.ask(order("alpha", python=python)) for python in ("", "3.11")]
    service.start()
    assert [landed(flight).state for flight in flights] == [State.BUILT, State.BUILT]


def test_needs__a_failure_below_is_told_and_tried_again_when_mended(world: World) -> None:
    needing(world, {"alpha": ("beta",)})
    plain = world.builder.work

    def work(current: Order, progress: BuildProgress) -> None:
        if current.pin.project == "beta" and broken:
            raise BuildError("build-failed", "beta does not compile.")
        plain(current, progress)

    broken = [True]
    world.builder.work = work
    service = world.open()
    record = finish(service, order("alpha"))
    assert record.error is not None
    assert "beta" in record.error.message
    assert "does not compile" in record.error.message
    broken.clear()
    assert finish(service, order("alpha")).state is State.FAILED  # beta's failure is remembered
    landed(service.ask(order("beta", python="3.11"), force=True))
    assert finish(service, order("alpha")).state is State.BUILT


def test_needs__waiting_is_no_attempt(world: World) -> None:
    needing(world, {"alpha": ("beta",)})
    assert finish(world.open(), order("alpha")).attempts == 1


def test_needs__stop_lets_the_waiting_go(world: World) -> None:
    needing(world, {"alpha": ("beta",)})
    plain, gate = world.builder.work, Gate()

    def work(current: Order, progress: BuildProgress) -> None:
        if current.pin.project == "beta":
            gate(current, progress)
        plain(current, progress)

    world.builder.work = work
    service = world.open()
    flight = service.ask(order("alpha"))
    assert gate.next().pin.project == "beta"
    service.stop()
    assert landed(flight).state is State.WANTED
