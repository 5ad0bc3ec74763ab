"""A pytest plugin for a run of devpi-server's own tests (`-p tests.devpisuite`): with this plugin in every server.

The servers that those tests start as processes load it through its entry point, as all do; those that they make inside
their own process load no entry point, and are given this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from devpi_server import config

NAME = "devpi-forkbuilder"
LOADED = f"servers with {NAME}:"
"""How the line begins that says, at the end, how many servers inside this process had the plugin."""
MANAGERS: list[Any] = []


def with_plugin(*, load_entrypoints: bool = True) -> Any:
    """devpi's plugin manager with the plugin."""
    manager = config.get_pluginmanager(load_entrypoints=load_entrypoints)
    if not manager.has_plugin(NAME):
        manager.load_setuptools_entrypoints("devpi_server", name=NAME)
    assert manager.has_plugin(NAME)
    MANAGERS.append(manager)
    return manager


@pytest.fixture(autouse=True)
def plugin_in_every_server() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("test_devpi_server.plugin.get_pluginmanager", with_plugin)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"{LOADED} {len(MANAGERS)}")
