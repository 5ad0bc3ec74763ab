from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.service.queue import Backlog
from tests.service.fakes import PATIENCE


def test_take__first_come_first_served() -> None:
    backlog: Backlog[int] = Backlog(10)
    for number in range(3):
        backlog.put(number, number)
    assert [backlog.take() for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]


def test_take__spare_items_last() -> None:
    backlog: Backlog[int] = Backlog(10)
    backlog.put("a", 1, spare=True)
    backlog.put("b", 2)
    assert [backlog.take(), backlog.take()] == [("b", 2), ("a", 1)]


def test_promote__a_spare_item_that_is_asked_for_is_in_turn() -> None:
    backlog: Backlog[int] = Backlog(10)
    for number, group in enumerate("ab"):
        backlog.put(group, number, spare=True)
    backlog.promote("b")
    backlog.put("c", 2)
    assert [backlog.take() for _ in "abc"] == [("b", 1), ("c", 2), ("a", 0)]


def test_room__is_for_as_many_as_nobody_has_asked_for() -> None:
    backlog: Backlog[int] = Backlog(10)
    assert backlog.room(takers=2, most=2) == 2
    for number, group in enumerate("ab"):
        backlog.put(group, number, spare=True)
    assert (backlog.take(), backlog.room(2, 2)) == (("a", 0), 0)
    backlog.promote("a")
    assert backlog.room(2, 2) == 1
    backlog.take()
    backlog.release("b")
    assert backlog.room(2, 2) == 2


def test_room__there_is_none_while_another_waits() -> None:
    backlog: Backlog[int] = Backlog(10)
    for number, group in enumerate("abc"):
        backlog.put(group, number)
    assert [backlog.room(2, 2), backlog.room(3, 2)] == [0, 2]


def test_take__passes_by_a_busy_group() -> None:
    backlog: Backlog[int] = Backlog(10)
    for number, group in enumerate("aaba"):
        backlog.put(group, number)
    assert [backlog.take(), backlog.take()] == [("a", 0), ("b", 2)]
    backlog.release("a")
    assert backlog.take() == ("a", 1)


def test_take__waits_for_a_group_to_be_free() -> None:
    backlog: Backlog[int] = Backlog(10)
    backlog.put("a", 1)
    backlog.put("a", 2)
    backlog.take()
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(backlog.take)
        assert not second.done()
        backlog.release("a")
        assert second.result(PATIENCE) == ("a", 2)


def test_put__no_room() -> None:
    backlog: Backlog[int] = Backlog(1)
    assert backlog.put("a", 1)
    assert backlog.full
    assert not backlog.put("b", 2)
    backlog.take()
    assert backlog.put("b", 2)
    assert backlog.sizes() == (1, 1)


def test_close__takers_leave() -> None:
    backlog: Backlog[int] = Backlog(10)
    with ThreadPoolExecutor(3) as pool:
        takers = [pool.submit(backlog.take) for _ in range(3)]
        backlog.close()
        assert [taker.result(PATIENCE) for taker in takers] == [None, None, None]
    assert backlog.closed
    assert not backlog.put("a", 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_take__in_order_within_a_group_and_one_at_a_time(steps: list[tuple[str, bool]]) -> None:
    backlog: Backlog[int] = Backlog(100)
    waiting: dict[str, list[int]] = {group: [] for group in "abc"}
    busy: set[str] = set()
    for number, (group, put) in enumerate(steps):
        if put:
            backlog.put(group, number)
            waiting[group].append(number)
        elif free := [numbers[0] for name, numbers in waiting.items() if numbers and name not in busy]:
            taken = backlog.take()
            assert taken is not None
            assert taken[1] == min(free)
            name = str(taken[0])
            waiting[name].remove(taken[1])
            busy.add(name)
        elif busy:
            backlog.release(busy.pop())
