"""Are there wheels for all interpreters? Hashes of the others' wheels are missing from what is frozen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from devpi_forkbuilder.client.api_client import Server
from devpi_forkbuilder.client.commands import build
from devpi_forkbuilder.client.context import CommandContext
from devpi_forkbuilder.client.models import ForkState
from devpi_forkbuilder.domain.coverage import covered, is_compiled, uncovered


@dataclass(frozen=True, slots=True)
class Gap:
    """A pin with compiled parts and the interpreters that it has no wheel for; none are known when none were named."""

    state: ForkState
    missing: tuple[str, ...]

    @property
    def message(self) -> str:
        """What is missing, and what to do."""
        label = self.state.label
        if not self.missing:
            tags = ", ".join(covered(file.filename for file in self.state.newest))
            return f"{label} has wheels for {tags} only: name your interpreters with --python X.Y, or in fork_pythons"
        names = ", ".join(self.missing)
        return f"{label} has no wheel for Python {names}, so its hash is missing: freeze with --build builds it first"


def gaps(states: Iterable[ForkState], interpreters: Callable[[str], Sequence[str]]) -> tuple[Gap, ...]:
    """The pins that are compiled and not built for all that `interpreters` gives for their (normalized) names."""
    found = []
    for state in {state.key: state for state in states}.values():
        names = [file.filename for file in state.newest]
        if not is_compiled(names):
            continue
        wanted = interpreters(state.name)
        missing = uncovered(names, wanted)
        if missing or not wanted:
            found.append(Gap(state, missing))
    return tuple(found)


def build_missing(
    context: CommandContext, server: Server, states: Sequence[ForkState], interpreters: Callable[[str], Sequence[str]]
) -> tuple[ForkState, ...]:
    """Build what has no file, then what lacks an interpreter; the states after that. Progress is on standard error."""
    beside = replace(context, screen=context.screen.aside())
    unbuilt = [state for state in states if state.release is None and state.state != "failed"]
    if unbuilt:
        build.run(beside, server, unbuilt, wait=True)
    wanted = {state.key for state in states}
    known = [state for state in server.states() if state.key in wanted]
    missing: dict[str, list[ForkState]] = {}
    for gap in gaps(known, interpreters):
        for python in gap.missing:
            missing.setdefault(python, []).append(gap.state)
    for python, pins in missing.items():
        build.run(beside, server, pins, wait=True, python=python)
    return server.states()
