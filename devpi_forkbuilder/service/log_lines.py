"""Log lines as JSON objects, one a line, for programs that collect logs (`--forkbuilder-log-format json`)."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from devpi_forkbuilder.domain.pins.pins import without_user_info

FIELDS = "forkbuilder"
"""The attribute of a log record that has an event's fields."""
OWN = "devpi_forkbuilder"


class JsonLines(logging.Formatter):
    """`time` (UTC), `level`, `logger`, `message`, an exception's lines, and the fields of a build event.

    User info of URLs is masked in all of it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_user_info(record.getMessage()),
            **{
                name: without_user_info(value) if isinstance(value, str) else value
                for name, value in _fields(record).items()
            },
        }
        if record.exc_info:
            line["exception"] = without_user_info(self.formatException(record.exc_info))
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = getattr(record, FIELDS, None)
    return found if isinstance(found, dict) else {}


def _masked(value: Any) -> Any:
    return without_user_info(value) if isinstance(value, str) else value


def write_json() -> None:
    """Have all handlers of the server's logs write JSON: devpi's lines too, so that a file has one form."""
    for logger in (logging.getLogger(), logging.getLogger(OWN)):
        for handler in logger.handlers:
            handler.setFormatter(JsonLines())
