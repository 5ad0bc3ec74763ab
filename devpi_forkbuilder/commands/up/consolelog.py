"""Logging for a person at a terminal: builds and warnings on the console, everything in a file."""

from __future__ import annotations

import json
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

NAME = "logging.json"
ROUTINE = "[NOTI] Waiting for file"
FILE_BYTES = 20 * 1024 * 1024


class Unalarming(logging.Filter):
    """Keeps devpi's routine off the console: at a publish it warns that it waits for a file, milliseconds long."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return not record.getMessage().startswith(ROUTINE)


class LogFile(RotatingFileHandler):
    """A log file whose disk may be full: that is said once, not with a traceback for each line."""

    _failed = False
    _reported = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record, and say when that goes again."""
        self._failed = False
        super().emit(record)
        if self._reported and not self._failed:
            self._reported = False
            print(f"{self.baseFilename} is written again.", file=sys.stderr)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's own name)
        """Say what is wrong with the file, unless that was said."""
        self._failed = True
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._reported:
            self._reported = True
            print(f"{self.baseFilename} cannot be written, its lines are lost: {error.strerror}.", file=sys.stderr)


def write_configuration(folder: Path) -> Path:
    """Write a `logging.config.dictConfig` file for devpi's `--logger-cfg` into `folder`; its path.

    Nothing is written when it is there as it should be: the disk may be full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, wanted = folder / NAME, json.dumps(configuration(folder / "server.log"), indent=2)
    if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
        path.write_text(wanted, encoding="utf-8")
    return path


def configuration(log_file: Path) -> dict[str, object]:
    """The configuration: devpi's own lines go to `log_file`, its warnings and our lines to the console as well."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"unalarming": {"()": f"{__name__}.{Unalarming.__name__}"}},
        "formatters": {
            "full": {"format": "%(asctime)s %(levelname)-5.5s %(message)s"},
            "console": {"format": "%(asctime)s  %(message)s", "datefmt": "%H:%M:%S"},
        },
        "handlers": {
            "file": {
                "class": f"{__name__}.{LogFile.__name__}",
                "formatter": "full",
                "filename": str(log_file),
                "maxBytes": FILE_BYTES,
                "backupCount": 3,
                "encoding": "utf-8",
            },
            "warnings": {
                "class": "logging.StreamHandler",
                "formatter": "console",
                "level": "WARNING",
                "filters": ["unalarming"],
            },
            "builds": {"class": "logging.StreamHandler", "formatter": "console", "level": "INFO"},
        },
        "root": {"level": "INFO", "handlers": ["file", "warnings"]},
        "loggers": {
            "devpi_forkbuilder": {"level": "INFO", "handlers": ["file", "builds"], "propagate": False},
            "httpx": {"level": "ERROR"},
            "httpcore": {"level": "ERROR"},
        },
    }
