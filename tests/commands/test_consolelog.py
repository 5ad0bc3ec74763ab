from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.up.consolelog import configuration, write_configuration


@pytest.fixture
def console(tmp_path: Path) -> Iterator[io.StringIO]:
    """The configuration in force, with its two console handlers writing here."""
    root, ours = logging.getLogger(), logging.getLogger("devpi_forkbuilder")
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in (root, ours)]
    logging.config.dictConfig(configuration(tmp_path / "server.log"))
    written = io.StringIO()
    added = {handler for logger in (root, ours) for handler in logger.handlers}
    for handler in added:
        if type(handler) is logging.StreamHandler:
            handler.setStream(written)
    yield written
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.level, logger.propagate = handlers, level, propagate
    for handler in added:
        handler.close()


def test_console__has_builds_and_warnings_and_the_file_has_all(console: io.StringIO, tmp_path: Path) -> None:
    logging.getLogger().info("[req1] GET /")
    logging.getLogger().warning("the disk is odd")
    logging.getLogger().warning("[NOTI] Waiting for file a/b in event serial 3")
    logging.getLogger("devpi_forkbuilder.service.build_events").info("alpha  building")
    assert [line[10:] for line in console.getvalue().splitlines()] == ["the disk is odd", "alpha  building"]
    assert len((tmp_path / "server.log").read_text().splitlines()) == 4


def test_configuration__is_a_file_for_devpi(tmp_path: Path) -> None:
    path = write_configuration(tmp_path / "folder")
    assert path.name == "logging.json"
    assert '"disable_existing_loggers": false' in path.read_text()
