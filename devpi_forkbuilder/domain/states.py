"""The states of a build and the transitions between them, as one table."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Where the work for one order stands; the `state` of the HTTP API."""

    WANTED = "wanted"
    QUEUED = "queued"
    FETCHING = "fetching"
    BUILDING = "building"
    CHECKING = "checking"
    PUBLISHING = "publishing"
    BUILT = "built"
    FAILED = "failed"

    @property
    def running(self) -> bool:
        """Whether a worker is at it."""
        return self in RUNNING

    @property
    def ended(self) -> bool:
        """Whether nothing more happens without a new request."""
        return self in {State.BUILT, State.FAILED}


RUNNING = (State.FETCHING, State.BUILDING, State.CHECKING, State.PUBLISHING)

SECONDS = {
    State.FETCHING: "fetch",
    State.BUILDING: "build",
    State.CHECKING: "check",
    State.PUBLISHING: "publish",
}
"""The key of the API's `seconds` under which the time spent in a state is reported."""

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WANTED: frozenset({State.QUEUED, State.BUILT}),
    State.QUEUED: frozenset({State.FETCHING, State.BUILT, State.FAILED, State.WANTED}),
    State.FETCHING: frozenset({State.BUILDING, State.QUEUED, State.FAILED, State.WANTED}),
    State.BUILDING: frozenset({State.CHECKING, State.QUEUED, State.FAILED, State.WANTED}),
    State.CHECKING: frozenset({State.PUBLISHING, State.FAILED, State.WANTED}),
    State.PUBLISHING: frozenset({State.BUILT, State.FAILED, State.WANTED}),
    State.BUILT: frozenset({State.QUEUED, State.WANTED}),
    State.FAILED: frozenset({State.QUEUED, State.WANTED}),
}
"""What may follow what. Every unfinished state may go back to `wanted`: the server was stopped in it. A build that
needs another one first goes back to `queued`.
"""


def may_follow(before: State, after: State) -> bool:
    """Whether a build in state `before` may go to state `after`."""
    return after in TRANSITIONS[before]
