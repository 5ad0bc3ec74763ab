"""Real benches and workshops for tests: uv, git and interpreters of the machine, without a sandbox's walls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.build_source import GitSource
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.frontend.build_env import BuildConditions, BuildEnv, BuildTools
from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreters
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.process.programs import Tools
from devpi_forkbuilder.pipeline.process.time_limits import BuildLimits, Deadline
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import WorkFolder
from devpi_forkbuilder.pipeline.protocols import Sandbox
from devpi_forkbuilder.pipeline.sandbox.open_place import open_copy
from devpi_forkbuilder.pipeline.sandbox.unconfined import NoSandbox
from tests.pipeline.watching import Lines, never

EPOCH = 1_767_315_845


@cache
def tools() -> Tools:
    return Tools.find(os.environ["PATH"])


def equipment(folder: Path, sandbox: Sandbox | None = None) -> BuildTools:
    uv = tools().uv.path
    if sandbox is not None and not sandbox.reaches(uv):  # as in devpi_forkbuilder.equipment
        folder.mkdir(parents=True, exist_ok=True)
        uv = open_copy(uv, folder)
    return BuildTools(uv, folder / "uv-cache", sandbox or NoSandbox(), dict(os.environ))


class Clock:
    """Monotonic seconds that go on when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def build_env(
    folder: Path,
    *,
    limits: BuildLimits | None = None,
    extra: tuple[tuple[str, str], ...] = (),
    python: str = "",
    network: bool = False,
    cancelled: Callable[[], bool] = never,
    clock: Callable[[], float] = time.monotonic,
) -> BuildEnv:
    """A bench over the new work folder `folder / "work"`; its log is a `Lines`."""
    work = WorkFolder(folder / "work")
    work.source.mkdir(parents=True)
    interpreter = Interpreters(tools().uv.path, os.environ).find(python)
    deadline = Deadline(limits or BuildLimits(), clock)
    circumstances = BuildConditions(interpreter, EPOCH, extra, network)
    return BuildEnv(work, equipment(folder), circumstances, deadline, TransferWatch(Lines(), cancelled))


def wheel_builder(
    folder: Path, *, limits: BuildLimits | None = None, sandbox: Sandbox | None = None, free_floor: int = 0
) -> WheelBuilder:
    """A workshop that keeps all it has below `folder`."""
    sources = Sources(folder / "sources")
    return WheelBuilder(
        work=folder / "builds",
        tools=tools(),
        interpreters=Interpreters(tools().uv.path, os.environ),
        source=GitSource(
            Mirrors(folder / "mirrors", Git(folder / "git-home", dict(os.environ)), sources=sources),
            sources,
            tools().git.version,
        ),
        equipment=equipment(folder, sandbox),
        limits=limits or BuildLimits(),
        free_floor=free_floor,
    )


class Follower:
    """A Progress that remembers."""

    def __init__(self, cancelled: Callable[[], bool] = never) -> None:
        self.lines = Lines()
        self.states: list[State] = []
        self.time: int | None = None
        self.needed: list[tuple[tuple[str, ...], str]] = []
        self._cancelled = cancelled
        self.asked: list[tuple[tuple[str, ...], tuple[str, ...], str]] = []
        self.health = IndexHealth()

    @property
    def log(self) -> Lines:
        return self.lines

    def enter(self, state: State) -> None:
        self.states.append(state)

    def commit_time(self, seconds: int) -> None:
        self.time = seconds

    def cancelled(self) -> bool:
        return self._cancelled()

    def needs(self, requirements: tuple[str, ...], python: str) -> None:
        self.needed.append((requirements, python))

    def index_health(self, requirements: tuple[str, ...], constraints: tuple[str, ...], python: str) -> IndexHealth:
        self.asked.append((requirements, constraints, python))
        return self.health


def order(line: str, **more: object) -> Order:
    return Order("root/forks", Pin.parse(line), **more)  # type: ignore[arg-type]  # a test names Order's own fields
