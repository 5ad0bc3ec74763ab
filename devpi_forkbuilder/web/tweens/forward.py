"""Views of builds through a replica: the primary's, live, while it answers; else what this server knows by itself."""

from __future__ import annotations

import logging
import re
from typing import Any

from devpi_forkbuilder.devpi.requests import may_read
from devpi_forkbuilder.domain.simple.replicas import REASONS
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.web.api.views import json_answer
from devpi_forkbuilder.web.context import REGISTRY, Context, Forward
from devpi_forkbuilder.web.paths import INDEX
from devpi_forkbuilder.web.waiting.longpoll import seconds_of

VIEW = re.compile(INDEX + r"/\+forks(?P<rest>/.*)?")
OWN = re.compile(rf"/[^/]+/[^/]+/failed/(?:{'|'.join(REASONS)})/.*")
"""Placeholders that tell of this server, not of the primary."""
READING = ("GET", "HEAD")


log = logging.getLogger(__name__)


def tween_forward(handler: Any, registry: Any) -> Any:
    """The tween; pyramid's contract: called once with the next handler. On a primary that is the handler to use."""
    context: Context = registry[REGISTRY]
    forward, breaker = context.forward, context.breaker
    if forward is None or breaker is None:
        return handler

    def answer_of_view(request: Any) -> Any:
        match = VIEW.fullmatch(request.path_info)
        if request.method not in READING:
            return _write(handler, forward, request, ours=match is not None)
        if match is None:
            return handler(request)
        readable = not OWN.fullmatch(match["rest"] or "") and _may_read(context, request, match["user"], match["index"])
        response = _read(context, forward, breaker, request) if readable and breaker.allows() else None
        return handler(request) if response is None else response

    return answer_of_view


def _may_read(context: Context, request: Any, user: str, index: str) -> bool:
    with context.keyfs.read_transaction():
        return may_read(request, user, index)


def _read(context: Context, forward: Forward, breaker: Breaker, request: Any) -> Any:
    """The primary's answer, or None when there is none. A long poll takes a seat, as it does on the primary, and
    without one is answered at once.
    """
    seconds = seconds_of(request.GET.get("wait"))
    seat = context.seats.take(context.addresses.of(request.environ)) if seconds else None
    try:
        response = forward.forward(request, seconds if seat is not None else 0.0)
    except ForkbuilderError as error:
        log.info("%s %r is answered from this replica's data: %s", request.method, request.path_info, error)
        breaker.failed()
        return None
    finally:
        if seat is not None:
            seat.leave()
    breaker.succeeded()
    return response


def _write(handler: Any, forward: Forward, request: Any, *, ours: bool) -> Any:
    """devpi hands it on; by itself it has no answer when the primary is dead (500), and ours has links to the primary.

    Pins are a write of devpi's own: the index is modified.
    """
    if ours:
        forward.outside(request)
    try:
        return handler(request)
    except forward.errors:
        log.warning("%s %r could not be handed on to %s", request.method, request.path_info, forward.url)
        return json_answer(
            502, message=f"The primary at {forward.url} cannot be reached, and a replica changes nothing."
        )
