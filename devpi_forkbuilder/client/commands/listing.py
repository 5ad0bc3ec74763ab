"""`devpi forks list`: pins and how their builds stand."""

from __future__ import annotations

from collections.abc import Sequence

from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ForkState, selected
from devpi_forkbuilder.client.terminal import Table

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def list_pins(context: CommandContext) -> int:
    """Show the pins that are meant, or all."""
    server = context.connect()
    states: Sequence[ForkState] = server.states()
    if context.args.projects:
        states = selected(states, context.args.projects)
    context.screen.json([dict(state.raw) for state in states])
    context.screen.table(pins_table(states, context.clock.now(), wide=context.args.wide))
    for state in states:
        if state.error:
            context.screen.line(f"{state.label}: {state.error}")
    if not states:
        context.screen.line(f"{server.index} has no pins: 'devpi forks pin -r FILE' adds some")
    return 0


def pins_table(states: Sequence[ForkState], now: float, *, wide: bool = False) -> Table:
    """The states as a table; `now` in seconds since the epoch. `wide`: full commits, and the repositories' URLs."""
    waits = any(state.outlook for state in states)
    more = (*(("wait",) if waits else ()), *(("repository",) if wide else ()))
    headers = ("project", "version", "commit", "state", "age", "files", *more)
    return Table(headers, [_row(state, now, waits=waits, wide=wide) for state in states])


def age(since: float | None, now: float) -> str:
    """How long ago a moment was, in its largest unit."""
    if since is None:
        return ""
    seconds = max(0.0, now - since)
    size, unit = next((pair for pair in UNITS if seconds >= pair[0]), UNITS[-1])
    return f"{seconds / size:.0f} {unit}"


def _row(state: ForkState, now: float, *, waits: bool, wide: bool) -> tuple[str, ...]:
    moment = (state.finished_at if state.ended else None) or state.started_at or state.queued_at
    names = [file.filename for file in state.files]
    shown = names[0] if len(names) == 1 else f"{len(names)} files" if names else ""
    commit = state.commit if wide else state.commit[:7]
    row = (state.project, state.version or "", commit, state.shown, age(moment, now), shown)
    return (*row, *((state.outlook,) if waits else ()), *((state.url,) if wide else ()))
