"""Servers that many tests share: each test takes an index and forks of its own, so nothing of one reaches another."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.clients import Installer
from tests.devpi import DevpiServer, initialise
from tests.live import METADATA, Host, Live, hosted
from tests.postgres import Postgres, Storage, running_postgres, why_not
from tests.processes import Running

MakeLive = Callable[..., Live]
PIP_OLD = pytest.param("pip_old", marks=[pytest.mark.network, pytest.mark.installers])
PIP_NEW = pytest.param("pip_new", marks=pytest.mark.network)
INSTALLERS = [PIP_OLD, PIP_NEW, "uv"]
"""Pips come from the package index, the first time; the old one has a ring of its own."""
uv_alone = pytest.mark.parametrize(
    "installer",
    [
        *(pytest.param(name, marks=[pytest.mark.network, pytest.mark.installers]) for name in ("pip_old", "pip_new")),
        "uv",
    ],
    indirect=True,
)
"""For long tests whose `installer` makes little difference: the ring of the installers runs them with pip too."""
ON_POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.skipif(why_not() is not None, reason=why_not() or ""))
each_storage = pytest.mark.parametrize("storage", ["sqlite", ON_POSTGRESQL], indirect=True)
"""For tests whose servers keep their data where `storage` says; `-k postgresql` runs them all there."""


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
    options = (*host.allowed, METADATA)
    with DevpiServer(folder, *options, template=template, threads=128, every_python=True) as server:
        yield Live(server, host)


@pytest.fixture
def live(shared: Live) -> Live:
    return shared


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for everybody."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:  # pytest's own folders are closed to the database's user
        folder = Path(name)
        folder.chmod(0o755)
        with running_postgres(folder) as made:
            yield made


@pytest.fixture
def storage(request: pytest.FixtureRequest, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> Storage:
    """Where the server of a test keeps its data: in SQLite, unless the test is for `each_storage`."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return Storage(devpi_templates(False))
    options = ("--storage", request.getfixturevalue("postgres").database())
    return Storage(initialise(tmp_path / "template", "--no-root-pypi", *options), options)


@pytest.fixture
def own(devpi_server: Callable[..., DevpiServer], host: Host) -> MakeLive:
    """Makes servers for one test, with options of its own."""

    def make(*options: str, **more: object) -> Live:
        return Live(devpi_server(*host.allowed, METADATA, *options, **more), host)

    return make


@pytest.fixture
def stored(own: MakeLive, storage: Storage) -> MakeLive:
    """The same for one server, on the test's storage."""

    def make(*options: str, **more: object) -> Live:
        return own(*storage.options, *options, template=storage.template, **more)

    return make


@pytest.fixture
def processes(storage: Storage, host: Host, tmp_path: Path) -> Iterator[MakeLive]:
    """Servers on one storage: each call makes another process on it."""
    servers: list[DevpiServer] = []
    with ExitStack() as stack:

        def make(*options: str) -> Live:
            own = (*storage.options, *host.allowed, METADATA, *options)
            # what is not in the database is in the server directory, which those on SQLite have to share
            beside = servers[0] if servers and not storage.options else None
            folder = tmp_path / f"process-{len(servers)}"
            server = DevpiServer(folder, *own, template=storage.template, beside=beside)
            servers.append(stack.enter_context(server))
            return Live(server, host)

        yield make


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
