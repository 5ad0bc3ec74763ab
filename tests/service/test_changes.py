from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from devpi_forkbuilder.service.changes import Changes
from tests.service.fakes import PATIENCE

ALPHA = ("main/forks", "alpha")
BETA = ("main/forks", "beta")


def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread to arrive at a place that has no gate."""
    tick = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if condition():
            return
        tick.wait(0.002)
    raise AssertionError("it never came")


def waiter(pool: ThreadPoolExecutor, changes: Changes, *args: object) -> Future[int]:
    before = changes.waiting()
    future = pool.submit(changes.wait, changes.token(), PATIENCE, *args)  # type: ignore[arg-type]  # the watch, or none
    until(lambda: changes.waiting() == before + 1)
    return future


def test_wait__a_change_that_was_before_is_seen() -> None:
    changes = Changes()
    token = changes.token()
    changes.announce(*ALPHA)
    assert changes.wait(token, PATIENCE) > token
    assert changes.wait(token, PATIENCE, ALPHA) > token


def test_wait__time_is_up() -> None:
    changes = Changes()
    changes.announce(*ALPHA)
    token = changes.token()
    assert changes.wait(token, 0.0) == token
    assert changes.wait(token, 0.01, ALPHA) == token
    assert changes.waiting() == 0


def test_wait__another_projects_change_is_none() -> None:
    changes = Changes()
    token = changes.token()
    changes.announce(*BETA)
    assert changes.wait(token, 0.0, ALPHA) == token


def test_wait__wakes_only_for_its_project() -> None:
    changes = Changes()
    with ThreadPoolExecutor(2) as pool:
        alpha, beta = waiter(pool, changes, ALPHA), waiter(pool, changes, BETA)
        changes.announce(*BETA)
        assert beta.result(PATIENCE) == 1
        until(lambda: changes.waiting() == 1)
        assert not alpha.done()
        changes.announce(*ALPHA)
        assert alpha.result(PATIENCE) == 2


def test_wait__without_watch_every_change_counts() -> None:
    changes = Changes()
    with ThreadPoolExecutor(1) as pool:
        anything = waiter(pool, changes)
        changes.announce(*BETA)
        assert anything.result(PATIENCE) == 1


def test_wait__many_waiters_of_one_project() -> None:
    changes = Changes()
    with ThreadPoolExecutor(20) as pool:
        waiters = [waiter(pool, changes, ALPHA) for _ in range(20)]
        changes.announce(*ALPHA)
        assert {future.result(PATIENCE) for future in waiters} == {1}
    assert changes.waiting() == 0


def test_close__lets_everybody_go() -> None:
    changes = Changes()
    with ThreadPoolExecutor(2) as pool:
        waiters = [waiter(pool, changes, ALPHA), waiter(pool, changes)]
        changes.close()
        assert [future.result(PATIENCE) for future in waiters] == [0, 0]
    assert changes.wait(0, PATIENCE, ALPHA) == 0
