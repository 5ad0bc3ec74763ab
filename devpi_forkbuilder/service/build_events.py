"""A line for whoever watches the server: builds begin, go on and end. One event for each change of a state.

Each has the ids by which lines are found again: of the order (the same for every try), the number of the attempt, and
the trace of the request that started it (W3C Trace Context), which a replica hands on to its primary.
"""

from __future__ import annotations

import logging
from typing import Any

from devpi_forkbuilder.domain.pins.pins import without_user_info
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.pipeline.tracing import current_trace
from devpi_forkbuilder.service.failures import printable_line
from devpi_forkbuilder.service.log_lines import FIELDS
from devpi_forkbuilder.service.outlook import Outlook
from devpi_forkbuilder.service.records import Record

log = logging.getLogger(__name__)


def tell_queued(record: Record, outlook: Outlook) -> None:
    """Log that a build is queued: how many are before it, and about how long it will take. Never raises."""
    before = (outlook.position or 1) - 1
    queue = f" behind {before} other{'' if before == 1 else 's'}" if before else ""
    wait = f", about {outlook.seconds:.0f} s" if outlook.seconds is not None else ""
    _tell(logging.INFO, record, f"queued{queue}{wait}", position=outlook.position, estimate=outlook.seconds)


def log_state(record: Record) -> None:
    """Log the state that `record` has just reached. Never raises."""
    error = record.error
    if record.state is State.FAILED and error is not None:
        what = f"failed while {error.stage.value}: {without_user_info(printable_line(error.message))}"
        fields = {"kind": error.kind.value, "reference": error.reference, "stage": error.stage.value}
        _tell(logging.WARNING, record, what, **fields, error=printable_line(error.message))
    elif record.state is State.BUILT:
        _tell(logging.INFO, record, f"built in {sum(record.seconds.values()):.1f} s", seconds=dict(record.seconds))
    else:
        _tell(logging.INFO, record, record.state.value)


def _tell(level: int, record: Record, what: str, **more: Any) -> None:
    key, trace = record.key, current_trace().trace_id
    attempt = record.attempts + (record.state is State.QUEUED)  # it counts when a worker begins
    python = f" for Python {key.python}" if key.python else ""
    project = " ".join(filter(None, (key.project, key.version)))
    ids = f"[order {key.id}, attempt {attempt}, trace {trace}]"
    fields = {
        "event": record.state.value,
        "index": key.index,
        "project": key.project,
        "version": key.version,
        "commit": key.commit,
        "python": key.python,
        "order": key.id,
        "attempt": attempt,
        "trace": trace,
        **more,
    }
    said = f"{key.index}  {project} ({key.commit[:7]}){python} {ids}  {what}"
    log.log(level, "%s", said, extra={FIELDS: fields})
