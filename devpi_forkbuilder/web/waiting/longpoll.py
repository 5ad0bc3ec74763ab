"""`GET .../+forks/{project}?wait=SECONDS`: the answer comes when a state changes or the time is up.

The wait happens in a tween, outside devpi's transaction: inside, it would keep a snapshot of the past open.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from packaging.utils import canonicalize_name

from devpi_forkbuilder.devpi.requests import may_read, query
from devpi_forkbuilder.web.api.states import record_for, state_of
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.paths import INDEX
from devpi_forkbuilder.web.waiting.seats import Seat
from devpi_forkbuilder.web.waiting.waiter import answer

PROJECT = re.compile(INDEX + r"/\+forks/(?P<project>[^+/]+)")
LONGEST = 60.0


def tween_longpoll(handler: Any, registry: Any) -> Any:
    """The tween; pyramid's contract: called once with the next handler, gives the handler to use."""
    context: Context = registry[REGISTRY]

    def respond(request: Any) -> Any:
        match = PROJECT.fullmatch(request.path_info) if request.method == "GET" else None
        seconds = seconds_of(query(request, "wait")) if match is not None else 0.0
        if match is None or not seconds or not _may_wait(context, request, match):
            return handler(request)
        return answer(context, context.addresses.of(request.environ), Poll(context, handler, request, match), seconds)

    return respond


class Poll:
    """A `Waiter` for a change of a project's states. Its answer never begins before it is whole."""

    def __init__(self, context: Context, handler: Callable[[Any], Any], request: Any, match: re.Match[str]) -> None:
        self._context = context
        self._handler = handler
        self._request = request
        self._index = (match["user"], match["index"])
        self._watch = (f"{match['user']}/{match['index']}", canonicalize_name(match["project"]))
        self._token: int | None = None

    def begin(self, seat: Seat) -> None:  # noqa: ARG002  (Waiter)
        """Look at the states. When every one has ended there is nothing to wait for: no change comes by itself.

        States are those that the answer will have: with `python`, of what is built for it.
        """
        context, (index, project) = self._context, self._watch
        python = query(self._request, "python") or ""
        token = context.builds.changes.token()
        with context.keyfs.read_transaction():
            pinned = context.lookup.of_index(*self._index, project, python) or ()
        records = context.builds.records_of(index, project)
        states = [state_of(one, record_for(one, records, one.order.python if python else None)) for one in pinned]
        self._token = token if any(not state.ended for state in states) else None

    def wait(self, seconds: float) -> bool:
        """Return whether a state has changed, within that time."""
        if self._token is None:
            return True
        changes = self._context.builds.changes
        return changes.wait(self._token, seconds, self._watch) != self._token or changes.closed

    def answer(self) -> Any:
        """Return the states."""
        return self._handler(self._request)

    def late(self) -> Any:
        """Return the states, which are as they were."""
        return self._handler(self._request)

    def busy(self) -> Any:
        """Return the states at once: who polls asks again."""
        return self._handler(self._request)


def _may_wait(context: Context, request: Any, match: re.Match[str]) -> bool:
    """Who may not read learns nothing from when an answer comes, and takes no seat."""
    with context.keyfs.read_transaction():
        return may_read(request, match["user"], match["index"])


def seconds_of(text: str | None) -> float:
    """The value of `wait`: seconds, `LONGEST` at most, 0 for anything else."""
    if text is None or not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text):
        return 0.0
    return min(float(text), LONGEST)
