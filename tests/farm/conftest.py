"""A farm on this machine: PostgreSQL, a primary that builds nothing, and workers as processes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devpi import DevpiServer
from tests.farm.farms import Farm
from tests.live import Host, hosted
from tests.postgres import Postgres, running_postgres, why_no_farm


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = why_no_farm()
    for item in items:
        if "farm" in getattr(item, "fixturenames", ()) or "queue_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.functional)
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def farm_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The git host."""
    with hosted(tmp_path_factory.mktemp("farm-host")) as host:
        yield host


@pytest.fixture(scope="session")
def queue_server() -> Iterator[Postgres]:
    """PostgreSQL for queues."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:  # pytest's own folders are closed to the database's user
        folder = Path(name)
        folder.chmod(0o755)
        with running_postgres(folder) as made:
            yield made


@pytest.fixture
def farm(
    tmp_path: Path, queue_server: Postgres, farm_host: Host, devpi_templates: Callable[[bool], Path]
) -> Iterator[Farm]:
    """A primary of its own; workers are the test's to start."""
    dsn = queue_server.url()
    credentials = tmp_path / "credentials"
    credentials.touch(mode=0o600)
    credentials.write_text(farm_host.git.url.replace("//", "//bob:of-bob@") + "\n")
    options = ("--forkbuilder-farm", dsn, "--forkbuilder-hold", "60", "--forkbuilder-credentials", str(credentials))
    words = (*options, *farm_host.allowed)
    with DevpiServer(tmp_path / "primary", *words, template=devpi_templates(False), threads=64) as server:
        made = Farm(tmp_path, server, farm_host, dsn)
        try:
            yield made
        finally:
            made.stop()
