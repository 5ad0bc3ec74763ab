"""Logging for a person at a terminal: builds and warnings on the console, everything in a file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

NAME = "logging.json"
ROUTINE = "[NOTI] Waiting for file"
FILE_BYTES = 20 * 1024 * 1024


class Unalarming(logging.Filter):
    """Keeps devpi's routine off the console: at a publish it warns that it waits for a file, milliseconds long."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return not record.getMessage().startswith(ROUTINE)


def write_configuration(folder: Path) -> Path:
    """Write a `logging.config.dictConfig` file for devpi's `--logger-cfg` into `folder`; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    path.write_text(json.dumps(configuration(folder / "server.log"), indent=2), encoding="utf-8")
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
                "class": "logging.handlers.RotatingFileHandler",
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
