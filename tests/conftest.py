"""Fixtures: the real parts that tests stand on (git over HTTP, devpi-server, pip, uv), and order around them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import fault_page
from tests.clients import OLDEST_PIP, Pip, Uv, pip_environment, python_for_oldest_pip
from tests.devpi import DevpiServer, initialise
from tests.gitserver import GitServer
from tests.preloaded import end_all
from tests.processes import kill_session, left_over
from tests.repositories import Repositories
from tests.surroundings import GIT, INSTALLERS, no_proxy, remember_interpreters, unwanted

NOT_EVERY_TIME = ("browser", "slow", "docker", "faults", "installers", "newcomer", "soak")  # run when `-m` names them
MARKED_BY_FIXTURE = {
    "devpi_server": ("functional",),
    "storage": ("functional",),
    "pip_new": ("network",),
    "pip_old": ("network", "installers"),
}
LONGEST_FIRST = ("functional", "faults", "client", "threats", "pipeline", "commands", "server")
GRACE = 5.0  # seconds that the children of a killed server have to notice

DevpiFactory = Callable[..., DevpiServer]


def pytest_addoption(parser: pytest.Parser) -> None:
    fault_page.add_option(parser)


def pytest_configure(config: pytest.Config) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT):  # what a shell runs with `&` ignores them (POSIX)
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)
    if config.getoption(fault_page.OPTION) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(fault_page.FaultPage())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test is marked by the real parts that it asks for; the rings that take long wait for `-m`."""
    for item in items:
        for fixture, markers in MARKED_BY_FIXTURE.items():
            for marker in markers if fixture in getattr(item, "fixturenames", ()) else ():
                item.add_marker(marker)
    if config.getoption(fault_page.OPTION):
        items[:] = fault_page.select(items)
    elif not config.option.markexpr:
        left_out = [item for item in items if any(item.get_closest_marker(marker) for marker in NOT_EVERY_TIME)]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    if hasattr(config, "workerinput"):
        items.sort(key=side_by_side)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, a file's tests run in one process: they share servers. Files are taken in `side_by_side`'s order."""
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415  (only where tests run side by side)

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """With `-n auto`, more processes than CPUs where there are few: half of a functional test's time is waiting."""
    cpus = len(os.sched_getaffinity(0))
    return max(cpus, min(2 * cpus, 6))


def side_by_side(item: pytest.Item) -> int:
    """Where a test's file stands in the order: what takes longest begins first, or one process ends long after all."""
    ring = item.path.relative_to(Path(__file__).parent).parts[0]
    return LONGEST_FIRST.index(ring) if ring in LONGEST_FIRST else len(LONGEST_FIRST)


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither the machine's configuration of git, pip and uv nor its home directory reaches a test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in filter(unwanted, tuple(os.environ)):
            patch.delenv(name)
        for name, value in {**GIT, **INSTALLERS, **no_proxy(os.environ)}.items():
            patch.setenv(name, value)
        home = tmp_path_factory.mktemp("home")
        remember_interpreters(home)
        patch.setenv("HOME", str(home))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """When the tests have run, none of the processes that they started runs on."""
    yield
    end_all()
    deadline = time.monotonic() + GRACE
    while (remaining := left_over()) and time.monotonic() < deadline:
        time.sleep(0.05)  # the processes are not our children: there is nothing to wait on
    for process in remaining:
        kill_session(process.session)
    assert not remaining, "left running: " + "; ".join(f"{process.pid} {process.command}" for process in remaining)


@pytest.fixture
def repositories(tmp_path: Path) -> Repositories:
    """Makes forks; `git_server` serves them."""
    return Repositories(tmp_path / "git")


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    """A git host for what `repositories` makes."""
    with GitServer(tmp_path / "git") as server:
        yield server


@pytest.fixture(scope="session")
def devpi_templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    """Initialised server directories, with and without `root/pypi`; each is made once, to be copied."""
    folder = tmp_path_factory.mktemp("devpi-templates")

    def template(mirror: bool) -> Path:
        place = folder / ("mirror" if mirror else "empty")
        return place if place.exists() else initialise(place, *(() if mirror else ("--no-root-pypi",)))

    return template


@pytest.fixture
def devpi_server(tmp_path: Path, devpi_templates: Callable[[bool], Path]) -> Iterator[DevpiFactory]:
    """Makes running servers: `devpi_server("--forkbuilder-hold", "0", mirror=True, threads=8, primary=other)`.

    All are stopped when the test ends. `mirror` gives a `root/pypi` that reads the public index; mark such a test
    `network`.
    """
    servers: list[DevpiServer] = []

    def make(
        *options: str,
        mirror: bool = False,
        primary: DevpiServer | None = None,
        template: Path | None = None,
        **more: object,
    ) -> DevpiServer:
        if template is None and primary is None:
            template = devpi_templates(mirror)
        folder = tmp_path / f"devpi-{len(servers) + 1}"
        server = DevpiServer(folder, *options, template=template, mirror=mirror, primary=primary, **more)  # type: ignore[arg-type]  # checked by DevpiServer itself
        servers.append(server)
        return server.start()

    yield make
    for server in reversed(servers):
        server.stop()


@pytest.fixture(scope="session")
def pip_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where environments with pips are kept from one test run to the next."""
    cache = getattr(request.config, "cache", None)
    return Path(cache.mkdir("pips")) if cache is not None else tmp_path_factory.mktemp("pips")


@pytest.fixture(scope="session")
def pip_new(pip_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Pip:
    """The newest pip, on the Python that runs the tests."""
    return Pip(pip_environment(pip_store, None), tmp_path_factory.mktemp("pip-new"))


@pytest.fixture(scope="session")
def pip_old(pip_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Pip:
    """The oldest supported pip."""
    python = python_for_oldest_pip()
    if python is None:
        pytest.skip(f"pip {OLDEST_PIP} needs Python 3.11 or 3.10, and there is none on this machine")
    return Pip(pip_environment(pip_store, OLDEST_PIP, python), tmp_path_factory.mktemp("pip-old"))


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Uv:
    return Uv(tmp_path_factory.mktemp("uv"))
