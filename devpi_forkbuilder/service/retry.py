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
SLOW_FIRST_PAUSE = 120.0
SLOW_GROWTH = 2.0
SLOW_LONGEST_PAUSE = 1800.0
QUICK_LONGEST_PAUSE = 45.0
OTHERS_NETWORK = frozenset({"index-unreachable", "host-unreachable", "host-silent", "transfer-cut"})
"""Faults that end without a change on this server, and that are cheap to find: one transfer."""


def retry_after(
    attempts: int, first: float = FIRST_PAUSE, growth: float = GROWTH, most: float = LONGEST_PAUSE
) -> float:
    """Return the pause in seconds after the failure of attempt number `attempts` (from 1): 5, 15, 45, ... 900."""
    exponent = min(max(attempts, 1) - 1, 10)
    return min(first * math.pow(growth, exponent), most)


def retry_at(error: ForkbuilderError, attempts: int, now: float) -> float | None:
    """Return when (seconds since the epoch) the work may be tried again by itself after `error`; None: never.

    The pauses grow to 45 seconds for the network of others, to 15 minutes for the rest of this server's faults, and
    from 2 to 30 minutes where the fork is probably to blame.
    """
    if not error.retryable:
        return None
    if error.kind not in {Kind.SOURCE, Kind.INFRASTRUCTURE}:
        return now + retry_after(attempts, SLOW_FIRST_PAUSE, SLOW_GROWTH, SLOW_LONGEST_PAUSE)
    if error.reference in OTHERS_NETWORK:
        return now + retry_after(attempts, most=QUICK_LONGEST_PAUSE)
    return now + retry_after(attempts)


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
