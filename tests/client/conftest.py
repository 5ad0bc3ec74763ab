"""A git host and a server for all of these tests; each test takes an index and a shell of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.shell import Shell
from tests.devpi import DevpiServer
from tests.live import METADATA, Host, Live, hosted


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The git host."""
    with hosted(tmp_path_factory.mktemp("client-host")) as host:
        yield host


@pytest.fixture(scope="session")
def live(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """The server; it fetches from the host, and lets others be pinned by ssh."""
    folder, template = tmp_path_factory.mktemp("client-server"), devpi_templates(False)
    options = (*host.allowed, "--forkbuilder-allow-url", "ssh://git@git.example.com/", METADATA)
    with DevpiServer(folder, *options, template=template) as server:
        yield Live(server, host)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A developer's shell that uses no index yet."""
    return Shell(tmp_path / "shell")


@pytest.fixture(scope="session")
def used(live: Live, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    """A shell in which root is logged in, and the index that it uses."""
    shell, name = Shell(tmp_path_factory.mktemp("used")), live.index()
    return shell.use(live.server, name), name


@pytest.fixture
def index(live: Live, shell: Shell, used: tuple[Shell, str]) -> str:
    """An index without pins, in use by the shell, root logged in."""
    other, old = used
    name = live.index()
    shell.move(other, old, name)
    return name
