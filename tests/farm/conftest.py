"""A farm on this machine: PostgreSQL, a primary that builds nothing, and workers as processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devpi import DevpiServer
from tests.farm.farms import Farm
from tests.functional.conftest import postgres
from tests.live import Host, hosted
from tests.postgres import Postgres, why_no_farm

__all__ = ["postgres"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    why = why_no_farm()
    for item in items:
        if "farm" in getattr(item, "fixturenames", ()) or "postgres" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.functional)
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def farm_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The git host."""
    with hosted(tmp_path_factory.mktemp("farm-host")) as host:
        yield host


@pytest.fixture
def farm(
    tmp_path: Path, postgres: Postgres, farm_host: Host, devpi_templates: Callable[[bool], Path]
) -> Iterator[Farm]:
    """A primary of its own; workers are the test's to start."""
    dsn = postgres.url()
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
