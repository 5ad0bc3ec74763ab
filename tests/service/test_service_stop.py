from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.pipeline.protocols import BuildProgress
from devpi_forkbuilder.service.records import Record, Records
from tests.service.conftest import World, finish, landed
from tests.service.fakes import PATIENCE, FakeBuilder, Gate, order

ROOT = Path(__file__).parents[2]
CHILD = """
import sys, threading
from pathlib import Path
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.clock import SystemClock
from devpi_forkbuilder.service.records import Records
from devpi_forkbuilder.service.service import ForkService
from tests.service.fakes import FakeBuilder, FakePublisher, FileLog, order

folder, stage = Path(sys.argv[1]), sys.argv[2]

def hang(order=None, progress=None):
    print("here", flush=True)
    threading.Event().wait()

publisher = FakePublisher()
builder = FakeBuilder(**{stage: hang} if stage != "publish" else {})
if stage == "publish":
    publisher.before_publish = hang
service = ForkService(builder=builder, publisher=publisher, records=Records(folder / "records.sqlite"),
                      logs=folder / "logs", open_log=FileLog, clock=SystemClock(), workers=1)
service.start()
service.ask(order())
service.ask(order("beta"))
threading.Event().wait()
"""


def test_stop__running_and_queued_are_wanted_again(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    flights = [service.ask(order(f"p{number}")) for number in range(11)]
    gate.next()
    service.stop(PATIENCE)
    assert {flight.record.state for flight in flights} == {State.WANTED}
    assert all(flight.done for flight in flights)
    assert len(world.builder.builds) == 1
    assert world.builder.at_once == 0
    assert service.stats()["cancelled_total"] == 1


def test_stop__the_next_server_knows_what_was_left(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    first = world.open()
    asked = [order(f"p{number}") for number in range(3)]
    for wanted in asked:
        first.ask(wanted)
        world.clock.advance(1)
    gate.next()
    world.close()
    second = world.open(start=False)
    assert second.start() == tuple(wanted.key for wanted in asked)
    for wanted in asked:
        gate.open(wanted.pin.project)
    records = [finish(second, wanted) for wanted in asked]
    assert [(record.state, record.attempts) for record in records] == [(State.BUILT, 1)] * 3


def test_stop__waiters_are_let_go(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open()
    flight = service.ask(order())
    gate.next()
    with ThreadPoolExecutor(10) as pool:
        waiters = [pool.submit(flight.wait, PATIENCE) for _ in range(9)]
        poll = pool.submit(service.changes.wait, service.changes.token(), PATIENCE, ("other", "x"))
        service.stop(PATIENCE)
        assert all(waiter.result(PATIENCE) for waiter in waiters)
        poll.result(PATIENCE)


def test_stop__twice_and_before_start(world: World) -> None:
    service = world.open(start=False)
    flight = service.ask(order())
    service.stop(0)
    service.stop(0)
    assert landed(flight).state is State.WANTED


def test_stop__who_asks_afterwards(world: World) -> None:
    service = world.open()
    service.stop(PATIENCE)
    flight = service.ask(order())
    assert flight.done
    assert flight.record.state is State.WANTED
    assert service.record(order().key) is None


def test_stop__what_fails_meanwhile_is_not_the_orders_fault(world: World) -> None:
    def killed_with_the_server(_order: Order, progress: BuildProgress) -> None:
        arrived.set()
        while not progress.cancelled():
            threading.Event().wait(0.002)
        raise BuildError("exit-status", "The build ended by signal 15.")

    arrived = threading.Event()
    world.builder = FakeBuilder(killed_with_the_server)
    service = world.open()
    flight = service.ask(order())
    arrived.wait(PATIENCE)
    service.stop(PATIENCE)
    assert flight.record.state is State.WANTED
    assert flight.record.error is None


def test_stop__what_is_published_meanwhile_is_built(world: World) -> None:
    def publish(_order: Order) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    arrived, go_on = threading.Event(), threading.Event()
    world.publisher.before_publish = publish
    service = world.open()
    flight = service.ask(order())
    arrived.wait(PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(service.stop, PATIENCE)
        service.changes.wait(service.changes.token(), 0.01)
        go_on.set()
        stopped.result(PATIENCE)
    assert flight.record.state is State.BUILT


def test_stop__a_builder_that_does_not_listen(world: World) -> None:
    def deaf(_order: Order, _progress: BuildProgress) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    arrived, go_on = threading.Event(), threading.Event()
    world.builder = FakeBuilder(deaf)
    service = world.open()
    flight = service.ask(order())
    arrived.wait(PATIENCE)
    service.stop(0)
    assert flight.done
    assert flight.record.state is State.WANTED
    go_on.set()
    service.stop(PATIENCE)
    # The deaf one's late news must not change what is known.
    found = service.record(order().key)
    assert found is not None
    assert found.state is State.WANTED
    assert world.publisher.published == set()


def test_stop__a_publisher_that_does_not_listen(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def deaf(_order: Order) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    arrived, go_on = threading.Event(), threading.Event()
    world.publisher.before_covers = deaf
    service = world.open()
    flight = service.ask(order())
    arrived.wait(PATIENCE)
    service.stop(0)
    go_on.set()
    service.stop(PATIENCE)
    assert world.builder.builds == []
    assert service.record(order().key) == flight.record
    assert flight.record.log == ""
    assert caplog.text == ""


def test_stop__who_waits_for_the_queue_need_not_wait_for_the_workers(world: World) -> None:
    def deaf(_order: Order, _progress: BuildProgress) -> None:
        arrived.set()
        assert go_on.wait(PATIENCE)

    arrived, go_on = threading.Event(), threading.Event()
    world.builder = FakeBuilder(deaf)
    service = world.open()
    service.ask(order())
    arrived.wait(PATIENCE)
    queued = service.ask(order("beta"))
    with ThreadPoolExecutor(1) as pool:
        stopped = pool.submit(service.stop, PATIENCE)
        assert queued.wait(PATIENCE / 4)
        assert not stopped.done()
        go_on.set()
        stopped.result(PATIENCE)


def test_start__keeps_what_was_asked_for_before(world: World) -> None:
    gate = Gate()
    world.builder = FakeBuilder(gate)
    service = world.open(start=False)
    flights = [service.ask(order(name)) for name in ("alpha", "beta")]
    assert service.start() == ()
    gate.next()
    stored = world.opened[0].get(order("beta").key)
    assert stored is not None
    assert stored.state is State.QUEUED
    gate.open("alpha")
    gate.open("beta")
    assert {landed(flight).state for flight in flights} == {State.BUILT}


def test_record__of_a_run_that_was_cut_short(world: World) -> None:
    world.records = Records(world.folder / "records.sqlite")
    world.records.put(Record(order().key, State.BUILDING, started_at=1.0, attempts=1, seconds={"fetch": 1.0}))
    service = world.open(start=False)
    record = service.record(order().key)
    assert record == Record(order().key, State.WANTED)
    assert service.records_of("main/forks") == (record,)


@pytest.mark.parametrize("stage", ["on_enter", "work", "on_exit", "publish"])
def test_kill__starts_again_when_asked_for(world: World, stage: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(world.folder), stage], stdout=subprocess.PIPE, cwd=ROOT)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        os.kill(child.pid, signal.SIGKILL)
    raw = Records(world.folder / "records.sqlite")
    before = raw.get(order().key)
    raw.close()
    assert before is not None
    expected = {"on_enter": State.QUEUED, "work": State.BUILDING, "on_exit": State.BUILT, "publish": State.PUBLISHING}
    assert before.state is expected[stage]
    service = world.open(start=False)
    left = service.start()
    assert (order().key in left) is (stage != "on_exit")
    assert finish(service, order()).state is State.BUILT
    assert finish(service, order()).attempts == 1
    assert len(world.builder.builds) == 1
