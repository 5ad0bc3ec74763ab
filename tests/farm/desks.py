"""A primary's desk without devpi, HTTP and PostgreSQL: a queue in memory, a folder for a source, a clock to hold."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from devpi_forkbuilder import __version__
from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets
from devpi_forkbuilder.domain.pins.orders import Order, Versions
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.farm import builder as farm_builder
from devpi_forkbuilder.farm.builder import FarmBuilder
from devpi_forkbuilder.farm.desk import WorkDesk
from devpi_forkbuilder.farm.supervision import QueuedWork
from devpi_forkbuilder.pipeline.build_source import NoSource
from devpi_forkbuilder.pipeline.checkout.checkout import Checkout
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from tests.pipeline.benches import Follower

COMMIT = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"
COMMIT_TIME = 1_763_634_153
STAMPED = "1.0.2+20251120102233.g1a2b3c4d5e6f"
HOME = Client("cpython", (3, 11), "linux", "x86_64", "glibc", (2, 36))
PATIENCE = 20.0


class Clock:
    """Monotonic seconds that go on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Shelf:
    """A queue in memory; `put` and `again` are seen by tests as offers."""

    def __init__(self) -> None:
        self.works: dict[int, QueuedWork] = {}
        self.states: dict[int, str] = {}
        self.offered = threading.Semaphore(0)
        self.again_asked: list[int] = []

    def put(self, work: QueuedWork) -> int:
        number = len(self.works) + 1
        self.works[number], self.states[number] = work, "waiting"
        self.offered.release()
        return number

    def state(self, number: int) -> str:
        return self.states.get(number, "")

    def again(self, number: int) -> None:
        self.again_asked.append(number)
        self.states[number] = "waiting"
        self.offered.release()

    def drop(self, number: int) -> None:
        self.states.pop(number, None)

    def offer(self) -> str:
        """The next offer, when it comes."""
        assert self.offered.acquire(timeout=PATIENCE), "nothing was offered"
        return self.works[max(self.works)].arguments["offer"]


class FolderSource(NoSource):
    """A commit that is one file."""

    def place(self, order: Order, into: Path, progress: BuildProgress) -> Checkout:  # noqa: ARG002  (BuildSource)
        into.mkdir(parents=True)
        (into / "setup.py").write_text("import setuptools\n")
        return Checkout(into, into, order.pin.commit, "t" * 40, COMMIT_TIME)


def order(project: str = "sample-fork", **more: Any) -> Order:
    pin = Pin(project, f"https://git.example/{project}.git", COMMIT, "1.0.2")
    return Order("main/forks", pin, **{"versions": Versions.STAMPED, **more})


def announcement(name: str = "alpha", **more: Any) -> dict[str, Any]:
    told = {"name": name, "release": __version__, "platform": str(HOME), "pythons": ["3.11"], "builds": 1}
    return {**told, **more}


class Site:
    """A primary around one desk. `build` starts a build in a thread; its result is a future."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.shelf = Shelf()
        self.desk = WorkDesk(b"k" * 32, 3600.0, self.clock)
        self.stopping = threading.Event()
        self.builder = FarmBuilder(
            work=folder / "farm",
            source=FolderSource(),
            queue=self.shelf,
            desk=self.desk,
            own_url="http://127.0.0.1:3141",
            own=ServerTargets(("3.11",), HOME),
            limit=3600.0,
            clock=self.clock,
        )
        self.threads: list[threading.Thread] = []
        self.followers: list[Follower] = []

    def build(self, wanted: Order | None = None, keep: Callable[[Built], Any] = lambda built: built) -> Future[Any]:
        """The future of what `keep` makes of the files while they are there."""
        found: Future[Any] = Future()
        follower = Follower(self.stopping.is_set)
        self.followers.append(follower)

        def run() -> None:
            try:
                with self.builder.build(wanted or order(), follower) as built:
                    found.set_result(keep(built))
            except (Exception, CancelledError) as error:  # noqa: BLE001 - the test looks at it
                found.set_exception(error)

        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()
        return found

    def taken(self, name: str = "alpha", offer: str | None = None) -> str:
        """The ticket of a worker that takes the next order."""
        return str(self.desk.take(offer or self.shelf.offer(), announcement(name))["ticket"])

    def send(self, ticket: str, path: Path, sha256: str | None = None) -> None:
        """As the surface does: a part beside the files, then its hash."""
        from hashlib import sha256 as digest  # noqa: PLC0415

        folder = self.desk.place_for(ticket, path.name)
        part = folder / f".part-{path.name}"
        part.write_bytes(path.read_bytes())
        found = digest(path.read_bytes()).hexdigest()
        self.desk.file(ticket, path.name, part, sha256 or found, found)

    def close(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)


farm_builder.BEAT = 0.01
"""Tests hold the clock: nothing has to be waited for."""
