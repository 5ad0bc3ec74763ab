"""Which trace the calling thread works for. It goes with an order from the request to the worker and to the primary."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from devpi_forkbuilder.domain.trace import TraceParent

_CURRENT: ContextVar[TraceParent | None] = ContextVar("forkbuilder_trace", default=None)


def current_trace() -> TraceParent:
    """The trace of the request that is answered, or of the build that runs, here; a new one where there is none."""
    return _CURRENT.get() or TraceParent(os.urandom(16).hex(), os.urandom(8).hex())


@contextmanager
def traced(trace: TraceParent | None) -> Iterator[None]:
    """Work for `trace` in this block; None changes nothing."""
    if trace is None:
        yield
        return
    token = _CURRENT.set(trace)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def next_hop() -> TraceParent:
    """The current trace as another server gets it: with an id of this call."""
    trace = current_trace()
    return TraceParent(trace.trace_id, os.urandom(8).hex(), trace.flags)
