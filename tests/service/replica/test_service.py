"""A replica's service against a primary and a store that tests hold in their hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.simple.replicas import AHEAD, REFUSED, UNREACHABLE
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import Kind
from devpi_forkbuilder.pipeline.protocols import CancelledError
from devpi_forkbuilder.service.records import Failure, Record
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.service.replica.client import (
    AheadError,
    PrimaryAnswer,
    PrimaryBusyError,
    PrimaryUnreachableError,
    UnwillingError,
    answer_of,
)
from devpi_forkbuilder.service.replica.conversation import BuildOnPrimary, Patience
from devpi_forkbuilder.service.replica.service import RemoteService
from devpi_forkbuilder.service.single_flight.flight import Flight
from tests.service.fakes import PATIENCE, ManualClock, order

URL = "http://primary.example"
SERIAL = 7
Answer = State | Exception


def down() -> PrimaryUnreachableError:
    return PrimaryUnreachableError(URL, "ConnectError")


class FakePrimary:
    """Gives `answers` one after the other, the last of them for ever."""

    url = URL

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.patience: list[float] = []
        self.before: Callable[[], object] = lambda: None

    def miss(self, key: OrderKey, timeout: float) -> PrimaryAnswer:
        assert timeout > 0
        self.patience.append(timeout)
        return self._answer("miss", key)

    def poll(self, key: OrderKey, wait: float) -> PrimaryAnswer:
        assert wait > 0
        return self._answer("poll", key)

    def _answer(self, how: str, key: OrderKey) -> PrimaryAnswer:
        self.asked.append(how)
        self.before()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        failure = Failure(Kind.BUILD, "build-failed", State.BUILDING, "It failed.")
        return PrimaryAnswer(
            SERIAL, Record(key, answer, error=failure if answer is State.FAILED else None, commit_time=99)
        )


class FakeStore:
    """Has the release from the moment when `arrived` says so, unless it never does."""

    def __init__(self, *, arrives: bool = True, has: bool = True) -> None:
        self.arrives, self.has = arrives, has
        self.here = False
        self.completed: list[Order] = []

    def covers(self, order: Order) -> bool:  # noqa: ARG002 - the signature is the protocol's
        return self.here and self.has

    def arrived(self, serial: int, timeout: float) -> bool:
        assert (serial, timeout > 0) == (SERIAL, True)
        self.here = self.arrives
        return self.arrives

    def complete(self, order: Order) -> None:
        self.completed.append(order)


class Talk:
    """A conversation whose pauses take no time."""

    def __init__(self, primary: FakePrimary, store: FakeStore | None = None) -> None:
        self.clock = ManualClock()
        self.breaker = Breaker(self.clock)
        self.store = store or FakeStore()
        self.seen: list[State] = []
        self.rests = 0
        self.stopping = False
        self.build_on_primary = BuildOnPrimary(primary, self.store, self.clock, self.breaker, self._pause, Patience())

    def hold(self) -> Record:
        return self.build_on_primary.hold(order(), lambda record: self.seen.append(record.state))

    def _pause(self, seconds: float) -> bool:
        self.rests += 1
        self.clock.advance(max(seconds, 0.5))
        return self.stopping


# the conversation


def test_conversation__goes_through_the_primarys_states_and_waits_for_the_release() -> None:
    primary = FakePrimary(State.QUEUED, State.FETCHING, State.BUILDING, State.BUILT)
    talk = Talk(primary)
    record = talk.hold()
    assert (record.state, record.commit_time) == (State.BUILT, 99)
    assert talk.seen == [State.QUEUED, State.FETCHING, State.BUILDING]
    assert primary.asked == ["miss", "poll", "poll", "poll"]
    assert talk.store.completed == [order()]


def test_conversation__what_is_here_is_only_completed() -> None:
    primary = FakePrimary(down())
    talk = Talk(primary)
    talk.store.here = True
    assert talk.hold().state is State.BUILT
    assert (primary.asked, talk.store.completed) == ([], [order()])


def test_conversation__a_failure_is_told_as_it_is() -> None:
    talk = Talk(FakePrimary(State.QUEUED, State.FAILED))
    record = talk.hold()
    assert record.error is not None
    assert (record.state, record.error.stage, record.error.message) == (State.FAILED, State.BUILDING, "It failed.")
    assert talk.store.completed == []


def test_conversation__a_busy_primary_is_waited_for() -> None:
    """Its write lock may be held for seconds; installers were told that it cannot be reached."""
    primary = FakePrimary(PrimaryBusyError(URL), State.QUEUED, State.BUILT)
    talk = Talk(primary)
    assert talk.hold().state is State.BUILT
    assert primary.asked == ["miss", "miss", "poll"]
    assert primary.patience == [3.0, 60.0], "the second one stays: each that is given up leaves a thread behind"
    assert talk.rests == 0


def test_conversation__a_primary_that_stays_busy_is_no_dead_one() -> None:
    primary = FakePrimary(PrimaryBusyError(URL))
    talk = Talk(primary)
    with pytest.raises(PrimaryBusyError, match="is busy"):
        talk.hold()
    assert primary.asked == ["miss", "miss"]
    assert not talk.breaker.open


def test_conversation__a_silent_primary_is_given_up_after_the_first_patience() -> None:
    talk = Talk(FakePrimary(down()))
    began = talk.clock.monotonic()
    with pytest.raises(PrimaryUnreachableError, match=URL):
        talk.hold()
    assert Patience().first <= talk.clock.monotonic() - began <= Patience().first + 1


def test_conversation__a_primary_that_comes_in_time_is_used() -> None:
    talk = Talk(FakePrimary(down(), down(), State.BUILT))
    assert talk.hold().state is State.BUILT
    assert not talk.breaker.open


def test_conversation__one_that_was_there_is_waited_for_longer_and_asked_again() -> None:
    primary = FakePrimary(State.BUILDING, *[down()] * 60, State.WANTED, State.QUEUED, State.BUILT)
    talk = Talk(primary)
    assert talk.hold().state is State.BUILT
    assert primary.asked.count("miss") == 2
    assert talk.seen == [State.BUILDING, State.QUEUED]


def test_conversation__one_that_was_lost_is_given_up_in_the_end() -> None:
    talk = Talk(FakePrimary(State.BUILDING, down()))
    with pytest.raises(PrimaryUnreachableError):
        talk.hold()
    assert talk.clock.monotonic() >= 50 + Patience().lost


def test_conversation__a_primary_that_takes_no_builds_is_asked_for_a_while() -> None:
    talk = Talk(FakePrimary(State.WANTED))
    with pytest.raises(UnwillingError, match="takes no builds"):
        talk.hold()
    assert talk.rests > 1
    assert not talk.breaker.open


def test_conversation__a_refusal_is_final() -> None:
    refusal = UnwillingError(URL, "it does not know the pin (404)")
    refusal.retryable = False
    primary = FakePrimary(refusal)
    with pytest.raises(UnwillingError):
        Talk(primary).hold()
    assert primary.asked == ["miss"]


def test_conversation__a_refusal_is_an_answer_and_closes_the_breaker() -> None:
    refusal = UnwillingError(URL, "it does not know the pin (404)")
    refusal.retryable = False
    talk = Talk(FakePrimary(refusal))
    for _ in range(3):
        talk.breaker.failed()
    with pytest.raises(UnwillingError):
        talk.hold()
    assert not talk.breaker.open


def test_conversation__polls_that_come_back_at_once_are_paced() -> None:
    talk = Talk(FakePrimary(State.BUILDING, State.BUILDING, State.BUILDING, State.BUILT))
    talk.hold()
    assert talk.rests == 2


@pytest.mark.parametrize("store", [FakeStore(arrives=False), FakeStore(has=False)], ids=["lags", "is gone"])
def test_conversation__a_release_that_does_not_arrive(store: FakeStore) -> None:
    with pytest.raises(AheadError):
        Talk(FakePrimary(State.BUILT), store).hold()


@pytest.mark.parametrize("primary", [FakePrimary(down()), FakePrimary(State.BUILT)], ids=["asking", "receiving"])
def test_conversation__ends_when_the_server_stops(primary: FakePrimary) -> None:
    talk = Talk(primary, FakeStore(arrives=False))
    talk.stopping = True
    with pytest.raises(CancelledError):
        talk.hold()


# the breaker


def test_breaker__opens_after_failures_in_a_row_and_lets_one_try_in_a_pause() -> None:
    clock = ManualClock()
    breaker = Breaker(clock, limit=2, pause=5)
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert (breaker.open, breaker.allows()) == (True, False)
    clock.advance(5)
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeeded()
    assert (breaker.open, breaker.allows()) == (False, True)


# the service

MakeService = Callable[..., RemoteService]


@pytest.fixture
def make() -> Iterator[MakeService]:
    services: list[RemoteService] = []

    def service(primary: FakePrimary, store: FakeStore | None = None, **more: Any) -> RemoteService:
        clock = ManualClock()
        made = RemoteService(
            primary=primary,
            store=store or FakeStore(),
            clock=clock,
            breaker=more.pop("breaker", Breaker(clock)),
            patience=replace(Patience(), first=0.0, gap=0.001),
            conversations=2,
            **more,
        )
        services.append(made)
        made.start()
        return made

    yield service
    for one in services:
        one.stop()


def landed(flight: Flight) -> Record:
    assert flight.wait(PATIENCE)
    return flight.record


def test_service__askers_share_a_conversation(make: MakeService) -> None:
    primary, gate = FakePrimary(State.BUILT), threading.Event()
    primary.before = lambda: gate.wait(PATIENCE)
    service = make(primary)
    flights = [service.ask(order()) for _ in range(5)]
    assert len(set(map(id, flights))) == 1
    gate.set()
    assert landed(flights[0]).state is State.BUILT
    assert primary.asked == ["miss"]
    assert service.stats()["conversations_total"] == 1
    assert service.ask(order("beta")) is not flights[0]


@pytest.mark.parametrize(
    ("primary", "store", "reference"),
    [
        (FakePrimary(down()), FakeStore(), UNREACHABLE),
        (FakePrimary(State.WANTED), FakeStore(), REFUSED),
        (FakePrimary(State.BUILT), FakeStore(has=False), AHEAD),
        (FakePrimary(KeyError("hunter2")), FakeStore(), "unexpected"),
    ],
    ids=["unreachable", "unwilling", "ahead", "unexpected"],
)
def test_service__what_goes_wrong_ends_the_flight(
    make: MakeService, primary: FakePrimary, store: FakeStore, reference: str
) -> None:
    service = make(primary, store)
    record = landed(service.ask(order()))
    assert record.error is not None
    assert (record.state, record.error.reference) == (State.FAILED, reference)
    assert "hunter2" not in record.error.message
    assert service.records_of("main/forks", "alpha") == (record,)
    assert service.record(order().key) == record
    assert service.stats()["conversations_failed_total"] == 1


def test_service__a_dead_primary_costs_nothing_after_a_while(make: MakeService) -> None:
    primary = FakePrimary(down())
    service = make(primary)
    for number in range(3):
        landed(service.ask(order(f"project{number}")))
    asked = len(primary.asked)
    flight = service.ask(order())
    assert (flight.done, flight.record.state) == (True, State.FAILED)
    assert len(primary.asked) == asked
    assert service.stats()["primary_given_up"] == 1


@pytest.mark.parametrize(("here", "state"), [(False, State.FAILED), (True, State.BUILT)], ids=["missing", "here"])
def test_service__who_waits_for_a_turn_does_not_ask_a_dead_primary(make: MakeService, here: bool, state: State) -> None:
    primary, store = FakePrimary(down()), FakeStore()
    arrived, gate = threading.Semaphore(0), threading.Event()

    def before() -> None:
        arrived.release()
        gate.wait(PATIENCE)

    primary.before = before
    service = make(primary, store, breaker=Breaker(ManualClock(), limit=1))
    asking = [service.ask(order(f"asking{number}")) for number in range(2)]
    for _ in asking:
        assert arrived.acquire(timeout=PATIENCE)
    waiting = [service.ask(order(f"waiting{number}")) for number in range(3)]
    store.here = here
    gate.set()
    assert {landed(flight).state for flight in asking} == {State.FAILED}
    assert {landed(flight).state for flight in waiting} == {state}
    assert primary.asked == ["miss", "miss"]


def test_service__the_one_that_may_try_a_dead_primary_does(make: MakeService) -> None:
    clock = ManualClock()
    breaker = Breaker(clock, limit=1, pause=5)
    service = make(FakePrimary(State.BUILT), breaker=breaker)
    breaker.failed()
    clock.advance(5)
    assert landed(service.ask(order())).state is State.BUILT
    assert not breaker.open


def test_service__stopping_lets_waiters_go(make: MakeService) -> None:
    primary, gate = FakePrimary(State.BUILT), threading.Event()
    primary.before = lambda: gate.wait(PATIENCE)
    service = make(primary)
    flight = service.ask(order())
    service.stop()
    assert landed(flight).state is State.WANTED
    gate.set()
    assert service.ask(order()).record.state is State.WANTED


def test_service__changes_are_announced(make: MakeService) -> None:
    service = make(FakePrimary(State.BUILT))
    token = service.changes.token()
    landed(service.ask(order()))
    assert service.changes.wait(token, PATIENCE, ("main/forks", "alpha")) > token


# reading the primary's answers

STATE = {
    "commit": order().pin.commit,
    "version": "1.0.2",
    "subdirectory": None,
    "state": "failed",
    "error": {"kind": "source", "stage": "fetching", "message": "No such commit.", "reference": "commit-missing"},
    "commit_time": 5,
    "queued_at": 1.0,
    "started_at": 2.0,
    "finished_at": 3.0,
    "seconds": {"fetch": 0.5, "build": None, "check": None, "publish": None},
}


def test_told_of__finds_the_pin_and_reads_it() -> None:
    record = answer_of(order().key, [{**STATE, "version": "9"}, STATE])
    assert record is not None
    assert record.error == Failure(Kind.SOURCE, "commit-missing", State.FETCHING, "No such commit.")
    assert (record.state, record.commit_time, record.seconds) == (State.FAILED, 5, {"fetch": 0.5})


def test_told_of__another_pins_state_is_not_it() -> None:
    assert answer_of(order().key, [{**STATE, "subdirectory": "packages"}]) is None


@pytest.mark.parametrize(
    "states", [[{}], ["text"], [{**STATE, "state": "unheard-of"}], [{**STATE, "seconds": None}], 5, None]
)
def test_told_of__what_is_no_state_is_refused(states: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        answer_of(order().key, states)
