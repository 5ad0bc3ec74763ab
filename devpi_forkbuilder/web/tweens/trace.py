"""A request's `traceparent` goes with what it starts: log lines of builds have its id, here and on the primary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devpi_forkbuilder.domain.trace import HEADER, TraceParent
from devpi_forkbuilder.pipeline.tracing import traced


def tween_trace(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:  # noqa: ARG001  (pyramid's contract)
    """The tween; pyramid's contract."""

    def answer(request: Any) -> Any:
        header = request.headers.get(HEADER)
        if header is None:
            return handler(request)
        with traced(TraceParent.parse(header)):
            return handler(request)

    return answer
