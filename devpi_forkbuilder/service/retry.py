"""When work that was done or failed may be tried again. Pure: the time comes in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import ForkbuilderError, Kind

if TYPE_CHECKING:
    from devpi_forkbuilder.service.records import Record

FIRST_PAUSE = 5.0
GROWTH = 3.0
LONGEST_PAUSE = 900.0
RETRIED_KINDS = frozenset({Kind.SOURCE, Kind.INFRASTRUCTURE})


def retry_after(attempts: int) -> float:
    """The pause in seconds after the failure of attempt number `attempts` (from 1): 5, 15, 45, ... 900."""
    exponent = min(max(attempts, 1) - 1, 10)
    return min(FIRST_PAUSE * math.pow(GROWTH, exponent), LONGEST_PAUSE)


def retry_at(error: ForkbuilderError, attempts: int, now: float) -> float | None:
    """When (seconds since the epoch) the work may be tried again by itself after `error`; None: never."""
    if error.retryable and error.kind in RETRIED_KINDS:
        return now + retry_after(attempts)
    return None


def decide(record: Record | None, fingerprint: str, now: float, force: bool) -> bool:
    """Whether the work that `record` tells of may be tried (again) at `now` by an order with `fingerprint`.

    Everything but a failure may: what never ran, what was interrupted, and what was built and is asked for again
    since its files are gone.
    """
    if record is None or record.state is not State.FAILED:
        return True
    return force or record.fingerprint != fingerprint or _due(record, now)


def _due(record: Record, now: float) -> bool:
    """A clock that was set back ends the pause: else a failure of a wrong, later date would be held until that date."""
    if record.retry_at is None:
        return False
    return now >= record.retry_at or now < (record.finished_at or 0.0)
