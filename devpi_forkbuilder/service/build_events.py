"""A line for whoever watches the server: builds begin, go on and end."""

from __future__ import annotations

import logging

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.failures import printable_line
from devpi_forkbuilder.service.outlook import Outlook
from devpi_forkbuilder.service.records import Record

log = logging.getLogger(__name__)


def tell_queued(record: Record, outlook: Outlook) -> None:
    """Log that a build is queued: how many are before it, and about how long it will take. Never raises."""
    before = (outlook.position or 1) - 1
    queue = f" behind {before} other{'' if before == 1 else 's'}" if before else ""
    wait = f", about {outlook.seconds:.0f} s" if outlook.seconds is not None else ""
    log.info("%s  queued%s%s", _what(record), queue, wait)


def log_state(record: Record) -> None:
    """Log the state that `record` has just reached. Never raises."""
    what = _what(record)
    if record.state is State.FAILED and record.error is not None:
        log.warning("%s  failed while %s: %s", what, record.error.stage.value, printable_line(record.error.message))
    elif record.state is State.BUILT:
        log.info("%s  built in %.1f s", what, sum(record.seconds.values()))
    else:
        log.info("%s  %s", what, record.state.value)


def _what(record: Record) -> str:
    key = record.key
    python = f" for Python {key.python}" if key.python else ""
    return f"{key.index}  {' '.join(filter(None, (key.project, key.version)))} ({key.commit[:7]}){python}"
