"""`GET .../+forks/{project}?wait=SECONDS`: the answer comes when a state changes or the time is up.

The wait happens in a tween, outside devpi's transaction: inside, it would keep a snapshot of the past open.
"""

from __future__ import annotations

import re
from typing import Any

from packaging.utils import canonicalize_name

from devpi_forkbuilder.devpi.requests import may_read, query
from devpi_forkbuilder.web.api.states import record_for, state_of
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.paths import INDEX

PROJECT = re.compile(INDEX + r"/\+forks/(?P<project>[^+/]+)")
LONGEST = 60.0


def tween_longpoll(handler: Any, registry: Any) -> Any:
    """The tween; pyramid's contract: called once with the next handler, gives the handler to use."""
    context: Context = registry[REGISTRY]

    def answer(request: Any) -> Any:
        match = PROJECT.fullmatch(request.path_info) if request.method == "GET" else None
        seconds = seconds_of(query(request, "wait")) if match is not None else 0.0
        if match is not None and seconds and _may_wait(context, request, match) and context.seats.take():
            try:
                _wait(context, match, query(request, "python") or "", seconds)
            finally:
                context.seats.leave()
        return handler(request)

    return answer


def _may_wait(context: Context, request: Any, match: re.Match[str]) -> bool:
    """Who may not read learns nothing from when an answer comes, and takes no seat."""
    with context.keyfs.read_transaction():
        return may_read(request, match["user"], match["index"])


def _wait(context: Context, match: re.Match[str], python: str, seconds: float) -> None:
    """Wait for a change; not at all when every state has ended, for then none comes by itself.

    States are those that the answer will have: with `python`, of what is built for it.
    """
    user, index, project = match["user"], match["index"], canonicalize_name(match["project"])
    changes = context.builds.changes
    token = changes.token()
    with context.keyfs.read_transaction():
        pinned = context.lookup.of_index(user, index, project, python) or ()
    records = context.builds.records_of(f"{user}/{index}", project)
    told = [state_of(one, record_for(one, records, one.order.python if python else None)) for one in pinned]
    if any(not state.ended for state in told):
        changes.wait(token, seconds, (f"{user}/{index}", project))


def seconds_of(text: str | None) -> float:
    """The value of `wait`: seconds, `LONGEST` at most, 0 for anything else."""
    if text is None or not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text):
        return 0.0
    return min(float(text), LONGEST)
