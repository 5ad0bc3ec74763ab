"""Waiting for builds: states are asked for again and again, each change is shown, short absences are survived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from devpi_forkbuilder.client.api_client import ServerUnreachableError
from devpi_forkbuilder.client.models import ClientError, ForkState
from devpi_forkbuilder.client.terminal import Live, Table
from devpi_forkbuilder.domain.states import RUNNING as STEPS

FEW = 10
"""Up to so many projects are asked for one by one; more, by the index's whole list."""
LONG = 50.0
"""Seconds that the server may hold an answer back when there is nothing else to look at."""
SHORT = 2.0
"""The same when other builds run, too."""
AGAIN = 5.0
"""Seconds between two requests for a build that the server did not take (its queue was full)."""
PATIENCE = 90.0
"""Seconds that a server may be away, or leave a request untaken."""
RUNNING = frozenset(state.value for state in STEPS)
Key = tuple[str, "str | None", str]


class Asked(Protocol):
    """What waiting needs of a server."""

    def states(self, project: str | None = None, wait: float = 0, python: str = "") -> tuple[ForkState, ...]:
        """The states of the index or of one project, for an interpreter. Raises ClientError, UnreachableError too."""

    def build(self, project: str, **options: object) -> tuple[ForkState, ...]:
        """Ask for a build. Raises ClientError."""


@dataclass(frozen=True, slots=True)
class WaitClock:
    """Time: `monotonic()` in seconds, `sleep(seconds)`, `now()` in seconds since the epoch."""

    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    now: Callable[[], float]


class BuildWatch:
    """Follows some pins of an index until all have ended. `python` is the interpreter that builds were asked for."""

    def __init__(self, server: Asked, pins: Iterable[ForkState], clock: WaitClock, python: str = "") -> None:
        self._server = server
        self._states = {state.key: state for state in pins}
        self._clock = clock
        self._python = python
        self._heard = self._asked = self._taken = clock.monotonic()
        self._since: dict[Key, float] = {}
        self._shown: dict[Key, str] = {}

    @property
    def states(self) -> tuple[ForkState, ...]:
        """The latest states."""
        return tuple(self._states.values())

    def follow(self, live: Live) -> tuple[ForkState, ...]:
        """Until all have ended; the last states. Raises ClientError when the server is away for too long."""
        live.changed()
        while open_states := [state for state in self.states if not state.ended]:
            self._ask_again(open_states)
            self._look(open_states)
            live.changed()
        return self.states

    def table(self) -> Table:
        """How it stands, as a table."""
        headers = ("project", "version", "commit", "state", "seconds", "wait")
        return Table(headers, [self._row(state) for state in self.states])

    def news(self) -> list[str]:
        """A line for each state that differs from what was shown last."""
        lines = []
        for state in self.states:
            if self._shown.get(state.key) != state.state:
                self._shown[state.key] = state.state
                seconds = f", {self._seconds(state)} s" if state.ended and self._seconds(state) else ""
                wait = f", {state.outlook}" if state.outlook else ""
                lines.append(f"{state.label} ({state.commit[:7]}): {state.state}{seconds}{wait}")
        return lines

    def _row(self, state: ForkState) -> tuple[str, ...]:
        return state.project, state.version or "", state.commit[:7], state.state, self._seconds(state), state.outlook

    def _seconds(self, state: ForkState) -> str:
        """Seconds that the build took, by the server's account, or has taken since it was first seen."""
        if state.ended:
            spent = sum(value for value in (state.raw.get("seconds") or {}).values() if value)
            return f"{spent:.1f}" if spent else ""
        if state.state in RUNNING:
            return f"{self._clock.monotonic() - self._since.get(state.key, self._clock.monotonic()):.0f}"
        return ""

    def _look(self, open_states: Sequence[ForkState]) -> None:
        """Wait for news of one project, then ask for all."""
        first = max(open_states, key=lambda state: state.state not in {"wanted", "queued"})
        alone = len({state.name for state in open_states}) == 1
        begin = self._clock.monotonic()
        try:
            self._take(self._server.states(first.name, wait=LONG if alone else SHORT, python=self._python))
            if not alone:
                self._take(self._others({state.name for state in open_states} - {first.name}))
            self._heard = self._clock.monotonic()
        except ServerUnreachableError:
            if self._clock.monotonic() - self._heard > PATIENCE:
                raise
        # a server that cannot hold one more request answers at once
        self._clock.sleep(max(0.0, 0.5 - (self._clock.monotonic() - begin)))

    def _others(self, names: set[str]) -> tuple[ForkState, ...]:
        if len(names) > FEW:
            return self._server.states(python=self._python)
        return tuple(state for name in sorted(names) for state in self._server.states(name, python=self._python))

    def _take(self, answered: Sequence[ForkState]) -> None:
        """Keep what is news of our pins; raises ClientError when one of them is pinned no more."""
        own = {state.key: state for state in answered if state.key in self._states}
        for state in self.states:
            if state.key not in own and any(state.name == other.name for other in answered):
                what = f"{state.label} at {state.commit[:7]} is no longer pinned."
                raise ClientError("pin-changed", what, next_step="'devpi forks list' shows what is.")
        for state in own.values():
            if state.state in RUNNING:
                self._since.setdefault(state.key, self._clock.monotonic())
        self._states.update(own)

    def _ask_again(self, open_states: Sequence[ForkState]) -> None:
        """What is only wanted was not taken: the queue was full, or the server has been started anew."""
        now = self._clock.monotonic()
        wanted = [state for state in open_states if state.state == "wanted"]
        if len(wanted) < len(open_states):
            self._taken = now
        if now - self._taken > PATIENCE:
            raise not_taken(wanted[0])
        if wanted and now - self._asked > AGAIN:
            self._asked = now
            for state in wanted:
                self._build(state)

    def _build(self, state: ForkState) -> None:
        try:
            self._take(self._server.build(state.name, commit=state.commit, python=self._python))
        except ServerUnreachableError:
            return  # the next look decides whether it has been away for too long


def not_taken(state: ForkState) -> ClientError:
    """What to say when a server has left a request for a build untaken for `PATIENCE`."""
    what = f"The server does not start to build {state.label}."
    return ClientError("not-taken", what, next_step="Ask its administrator, or try again later.")
