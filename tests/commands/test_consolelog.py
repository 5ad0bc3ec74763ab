from __future__ import annotations

import io
import logging
import logging.config
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.up.consolelog import LogFile, configuration, write_configuration


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
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)  # what loggers remember of it is forgotten, too
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


def test_log_file__on_a_full_disk_says_so_once_and_when_it_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = LogFile(tmp_path / "server.log", maxBytes=1000)

    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    record = logging.makeLogRecord({"msg": "a line", "levelno": logging.INFO})
    with monkeypatch.context() as patch:
        patch.setattr(handler, "stream", io.StringIO())
        patch.setattr(handler.stream, "write", full, raising=False)
        for _ in range(3):
            handler.emit(record)
    assert capsys.readouterr().err.count("server.log cannot be written, its lines are lost: No space left") == 1
    for _ in range(2):
        handler.emit(record)
    assert capsys.readouterr().err.count("server.log is written again.") == 1
    handler.close()
    assert (tmp_path / "server.log").read_text() == "a line\na line\n"
