"""A builder, a publisher, a clock and a log that tests hold in their hands."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order, OrderKey, Recipe
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from devpi_forkbuilder.service.records import Record, Records

COMMIT = "1a2b3c4d5e6f" + "0" * 28
PATIENCE = 20.0  # seconds; only a broken test waits that long

Work = Callable[[Order, BuildProgress], None]


def order(project: str = "alpha", *, python: str = "", index: str = "main/forks", commit: str = COMMIT) -> Order:
    pin = Pin(project=project, url=f"https://git.example/{project}.git", commit=commit, version="1.0.2")
    return Order(index=index, pin=pin, python=python)


def with_recipe(constraint: str) -> Order:
    plain = order()
    return Order(index=plain.index, pin=plain.pin, recipe=Recipe(constraints=(constraint,)))


class ManualClock:
    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._monotonic = 50.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        self._now += seconds


class Gate:
    """Work that says that it has begun and goes on when it is let."""

    def __init__(self) -> None:
        self.arrived: queue.Queue[Order] = queue.Queue()
        self._open: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def __call__(self, order: Order, progress: BuildProgress) -> None:
        self.arrived.put(order)
        opened = self._event(order.pin.project)
        while not opened.wait(0.005):
            if progress.cancelled():
                raise CancelledError

    def next(self) -> Order:
        return self.arrived.get(timeout=PATIENCE)

    def open(self, project: str = "alpha") -> None:
        self._event(project).set()

    def _event(self, project: str) -> threading.Event:
        with self._lock:
            return self._open.setdefault(project, threading.Event())


def nothing(_order: Order, _progress: BuildProgress) -> None:
    pass


def accept(_order: Order) -> None:
    pass


class FakeBuilder:
    """Goes through the states and does `work` in `building`; counts builds and how many there are at once."""

    identity = "fake 1"

    def __init__(self, work: Work = nothing, *, on_enter: Work = nothing, on_exit: Work = nothing) -> None:
        self.work, self.on_enter, self.on_exit = work, on_enter, on_exit
        self.builds: list[OrderKey] = []
        self.at_once = 0
        self.most_at_once = 0
        self.groups_met = False
        self._groups: list[OrderKey] = []
        self._lock = threading.Lock()

    def build(self, order: Order, progress: BuildProgress) -> AbstractContextManager[Built]:
        return self._build(order, progress)

    @contextmanager
    def _build(self, order: Order, progress: BuildProgress) -> Iterator[Built]:
        self._arrive(order.key)
        try:
            self.on_enter(order, progress)
            progress.enter(State.FETCHING)
            progress.commit_time(1_700_000_000)
            progress.enter(State.BUILDING)
            progress.log.write(b"building\n")
            self.work(order, progress)
            progress.enter(State.CHECKING)
            yield Built(artefacts=(), commit_time=1_700_000_000, provenance={})
            self.on_exit(order, progress)
        finally:
            with self._lock:
                self.at_once -= 1
                self._groups.remove(order.key.group)

    def _arrive(self, key: OrderKey) -> None:
        with self._lock:
            self.builds.append(key)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            self.groups_met |= key.group in self._groups
            self._groups.append(key.group)


class FakePublisher:
    """Covers what it published; a pure build covers its whole group. `before_*` may raise."""

    def __init__(self, *, pure: bool = False) -> None:
        self._pure = pure
        self.published: set[OrderKey] = set()
        self.asked: list[tuple[Order, tuple[str, ...], tuple[str, ...], str]] = []
        self.health = IndexHealth()
        self.needed: Callable[[Order, tuple[str, ...], str], tuple[Order, ...]] = lambda *_: ()
        self.before_covers: Callable[[Order], None] = accept
        self.before_publish: Callable[[Order], None] = accept

    def publish(self, order: Order, built: Built) -> None:
        assert isinstance(built, Built)
        self.before_publish(order)
        self.published.add(order.key)

    def covers(self, order: Order) -> bool:
        self.before_covers(order)
        if self._pure:
            return order.key.group in {key.group for key in self.published}
        return order.key in self.published

    def needs(self, order: Order, requirements: tuple[str, ...], python: str) -> tuple[Order, ...]:
        return self.needed(order, requirements, python)

    def index_health(
        self, order: Order, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str
    ) -> IndexHealth:
        self.asked.append((order, requirements, constraints, python))
        return self.health


class FileLog:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def say(self, line: str) -> None:
        self.write(f"# {line}\n".encode())

    def close(self) -> None:
        self._file.close()


class FaultyRecords(Records):
    """Raises `error` at the `put` number `at` (from 1), once; with `always`, from then on."""

    def __init__(self, path: Path, error: BaseException | None = None, at: int = 0, *, always: bool = False) -> None:
        super().__init__(path)
        self.error, self.at, self.always = error, at, always
        self.puts = 0

    def put(self, record: Record) -> None:
        self.puts += 1
        if self.error is not None and (self.puts == self.at or (self.always and self.puts > self.at)):
            raise self.error
        super().put(record)
