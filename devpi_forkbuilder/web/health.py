"""Health for load balancers, containers and operators: `/+forkbuilder/live` and `/+forkbuilder/ready`.

A replica with another history than its primary stops serving: its pages may be right, and nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPServiceUnavailable

from devpi_forkbuilder.web.api.views import json_answer
from devpi_forkbuilder.web.context import REGISTRY, Context

OPEN = re.compile(r"/\+(forkbuilder/.*|status|api)")
"""What tells of a server that has stopped serving."""


def live_view(request: Any) -> Any:  # noqa: ARG001  (pyramid's contract)
    """The process answers."""
    return _never_kept(json_answer(200, result={"live": True}))


def ready_view(request: Any) -> Any:
    """Whether requests should be sent here (200 or 503), and each check with its reason."""
    context: Context = request.registry[REGISTRY]
    health = context.health()
    checks = [{"name": check.name, "ok": check.ok, "message": check.message} for check in health.checks]
    return _never_kept(json_answer(200 if health.ready else 503, result={"ready": health.ready, "checks": checks}))


def tween_health(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """The tween; pyramid's contract. It answers without a transaction: also when the store hangs."""
    context: Context = registry[REGISTRY]
    guard = context.guard

    def served(request: Any) -> Any:
        view = VIEWS.get(request.path_info)
        if view is not None and request.method in {"GET", "HEAD"}:
            return view(request)
        if guard is not None and context.stopped() and not OPEN.fullmatch(request.path_info):
            return HTTPServiceUnavailable(guard.verdict.message)
        return handler(request)

    return served


def _never_kept(response: Any) -> Any:
    response.cache_control = "no-store"
    return response


VIEWS = {"/+forkbuilder/live": live_view, "/+forkbuilder/ready": ready_view}
