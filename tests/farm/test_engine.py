"""The queue on PostgreSQL: urgency, groups, and what a killed primary has left in it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from devpi_forkbuilder.domain.compat.targets import Client
from devpi_forkbuilder.domain.pins.orders import AHEAD, ASKED, PINNED
from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.farm.order_document import Announcement
from devpi_forkbuilder.farm.supervision import QueuedWork
from tests.postgres import Postgres

HOME = Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
PATIENCE = 60.0


class HandedBackError(Exception):
    """As a worker's."""


class Queue:
    """The primary's engine and one worker, in threads."""

    def __init__(self, dsn: str) -> None:
        from devpi_forkbuilder.farm import engine  # noqa: PLC0415 - the extra farm may not be installed

        self.module = engine
        self.dsn = dsn
        self.heard = threading.Event()
        self.primary = engine.Engine(dsn, lambda _announcement: self.heard.set())
        self.primary.start()
        self.stopping = threading.Event()
        self.began: list[str] = []
        self.at_once: list[int] = []
        self.running = 0
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.worker: threading.Thread | None = None
        until(lambda: self.primary.connected)

    def put(self, name: str, urgency: int = ASKED, group: str = "", key: str = "") -> int:
        work = QueuedWork(self.announcement().queues[0], key or name, group or name, {"offer": name}, urgency)
        return self.primary.put(work)

    def announcement(self, builds: int = 1) -> Announcement:
        return Announcement("alpha", "1.0", HOME, ("3.11",), builds)

    def work(self, builds: int = 1) -> None:
        served = self.module.serve(self.dsn, self.announcement(builds), self.build, HandedBackError, self.stopping)
        self.worker = threading.Thread(target=asyncio.run, args=(served,), daemon=True)
        self.worker.start()

    def build(self, offer: str) -> None:
        with self.lock:
            self.began.append(offer)
            self.running += 1
            self.at_once.append(self.running)
        self.gate.wait(PATIENCE)
        with self.lock:
            self.running -= 1
            again = offer == "back" and self.began.count("back") == 1
        if again:
            raise HandedBackError

    def close(self) -> None:
        self.gate.set()
        self.stopping.set()
        if self.worker is not None:
            self.worker.join(PATIENCE)
        self.primary.stop()


def until(fine: object) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fine():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)  # the queue is another process's: there is nothing to wait on


@pytest.fixture
def queue(postgres: Postgres) -> Iterator[Queue]:
    made = Queue(postgres.url())
    yield made
    made.close()


def test_queue__asked_before_pinned_before_ahead(queue: Queue) -> None:
    for name, urgency in (("ahead", AHEAD), ("pinned", PINNED), ("asked", ASKED), ("asked-2", ASKED)):
        queue.put(name, urgency)
    queue.gate.set()
    queue.work()
    until(lambda: len(queue.began) == 4)
    assert queue.began == ["asked", "asked-2", "pinned", "ahead"]


def test_queue__never_two_of_one_group(queue: Queue) -> None:
    for name in ("py311", "py312", "py313"):
        queue.put(name, group="one")
    queue.work(builds=3)
    until(lambda: queue.began == ["py311"])
    queue.put("other", group="two")
    until(lambda: queue.began == ["py311", "other"])
    queue.gate.set()
    until(lambda: len(queue.began) == 4)
    assert queue.began[2:] == ["py312", "py313"]


def test_queue__what_a_killed_primary_left_is_replaced(queue: Queue) -> None:
    old = queue.put("old", key="one")
    new = queue.put("new", key="one")
    assert (queue.primary.state(old), queue.primary.state(new)) == ("", "waiting")
    queue.gate.set()
    queue.work()
    until(lambda: queue.began == ["new"])
    until(lambda: queue.primary.state(new) == "")
    assert queue.heard.wait(PATIENCE)


def test_queue__what_is_handed_back_is_taken_again(queue: Queue) -> None:
    number = queue.put("back")
    queue.gate.set()
    queue.work()
    until(lambda: queue.began == ["back", "back"])
    until(lambda: queue.primary.state(number) == "")


def test_queue__drop_takes_it_out(queue: Queue) -> None:
    number = queue.put("one")
    queue.primary.drop(number)
    assert queue.primary.state(number) == ""
    queue.primary.drop(number)
    queue.primary.again(number)


def test_queue__that_cannot_be_reached_says_so() -> None:
    engine = pytest.importorskip("devpi_forkbuilder.farm.engine", reason="the extra farm is not installed")
    primary = engine.Engine("postgresql://nobody@127.0.0.1:1/nothing", lambda _announcement: None)
    with pytest.raises(InfrastructureError) as error:
        primary.put(QueuedWork("queue", "key", "group", {}))
    assert (error.value.reference, error.value.retryable) == ("queue-unreachable", True)
