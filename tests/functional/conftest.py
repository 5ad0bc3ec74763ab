"""Servers that many tests share: each test takes an index and forks of its own, so nothing of one reaches another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import Installer
from tests.devpi import DevpiServer
from tests.live import METADATA, Host, Live, hosted
from tests.processes import Running

MakeLive = Callable[..., Live]
INSTALLERS = [
    pytest.param("pip_old", marks=pytest.mark.network),
    pytest.param("pip_new", marks=pytest.mark.network),
    "uv",
]
"""Pips come from the package index, the first time."""


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The git host."""
    with hosted(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture(scope="session")
def shared(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A server for everybody. It is asked for nothing that would show in another test's index."""
    folder, template = tmp_path_factory.mktemp("shared"), devpi_templates(False)
    with DevpiServer(folder, *host.allowed, METADATA, template=template, threads=128) as server:
        yield Live(server, host)


@pytest.fixture
def live(shared: Live) -> Live:
    return shared


@pytest.fixture
def own(devpi_server: Callable[..., DevpiServer], host: Host) -> MakeLive:
    """Makes servers for one test, with options of its own."""

    def make(*options: str, **more: object) -> Live:
        return Live(devpi_server(*host.allowed, METADATA, *options, **more), host)

    return make


@pytest.fixture(params=INSTALLERS)
def installer(request: pytest.FixtureRequest) -> Installer:
    """pip 22.0, the newest pip, and uv."""
    found: Installer = request.getfixturevalue(request.param)
    return found


@pytest.fixture(autouse=True)
def no_installer_left() -> Iterator[None]:
    """A test that fails between `start` and `wait` leaves no process behind."""
    before = set(Running.ALIVE)
    yield
    for running in set(Running.ALIVE) - before:
        running.kill()


@pytest.fixture(scope="module")
def devpi_servers(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MakeLive]:
    """Makes servers for a whole file of tests, with options of their own."""
    servers: list[DevpiServer] = []

    def make(*options: str, mirror: bool = False, **more: object) -> Live:
        folder, given = tmp_path_factory.mktemp("module"), (*host.allowed, METADATA, *options)
        server = DevpiServer(folder, *given, template=devpi_templates(mirror), mirror=mirror, **more)  # type: ignore[arg-type]  # checked by DevpiServer itself
        servers.append(server)
        return Live(server.start(), host)

    yield make
    for server in servers:
        server.stop()
