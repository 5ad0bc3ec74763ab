"""Which pin of an index stands for a git requirement, and what to say when it has no file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from packaging.version import Version

from devpi_forkbuilder.client.models import ForkState
from devpi_forkbuilder.domain.pins.pins import Fault
from devpi_forkbuilder.domain.pins.urls import Problem
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine

Matched = dict[GitLine, ForkState]


def matched(lines: Sequence[GitLine], states: Sequence[ForkState]) -> tuple[Matched, tuple[Fault, ...]]:
    """The pin for each requirement, and a fault for each requirement that the index does not pin so."""
    found: Matched = {}
    faults: list[Fault] = []
    for line in lines:
        state = _state_of(line, states)
        if isinstance(state, ForkState):
            found[line] = state
        else:
            faults += line.place.faults([state])
    return found, tuple(faults)


def why_unbuilt(state: ForkState) -> Problem:
    """Why a pin has no file, and what to do."""
    if state.state == "failed":
        return (
            f"{state.label} failed to build ({state.error or 'no reason given'})",
            f"'devpi forks log {state.label}' shows why, 'devpi forks build {state.label} --force --wait' tries again",
        )
    return (
        f"{state.label} has no file on the index (it is {state.state})",
        f"'devpi forks build {state.label} --wait' builds it",
    )


def unbuilt_lines(states: Iterable[ForkState]) -> list[str]:
    """One message for each failed pin, and one for all that nobody has built yet."""
    missing = list({state.key: state for state in states}.values())
    failed = [state for state in missing if state.state == "failed"]
    others = [state for state in missing if state.state != "failed"]
    lines = [": ".join(why_unbuilt(state)) for state in (*failed, *(others if len(others) == 1 else ()))]
    if len(others) > 1:
        names = ", ".join(state.label for state in others)
        lines.append(
            f"{len(others)} pins have no file on the index: {names}: 'devpi forks build --all --wait' builds them"
        )
    return lines


def repository(url: str) -> tuple[str, str]:
    """Host and path of a repository, without what differs between its https and its ssh URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.path.strip("/").removesuffix(".git")


def _state_of(line: GitLine, states: Sequence[ForkState]) -> ForkState | Problem:
    pin = f"'devpi forks pin -r {line.place.file or 'FILE'}' pins it"
    own = _same_project(line, states)
    if not own:
        return f"{line.label} {line.version or ''}".rstrip() + " is not pinned on the index", pin
    if line.commit is not None:
        exact = [state for state in own if state.commit == line.commit]
        if not exact:
            return f"the index pins {own[0].project} at {own[0].commit[:7]}, not at {line.commit[:7]}", pin
        return _built_first(exact)
    here = [state for state in own if repository(state.url) == repository(line.url)]
    if not here:
        return f"the index pins {own[0].project} from {own[0].url}", pin
    if len({state.commit for state in here}) > 1:
        pinned = ", ".join(f"{state.version or '(no version)'} at {state.commit[:7]}" for state in here)
        fix = "write the commit that is meant after the @"
        return f"the index pins {here[0].project} {pinned}, and the line says neither version nor commit", fix
    return _built_first(here)


def _same_project(line: GitLine, states: Sequence[ForkState]) -> list[ForkState]:
    """The pins that the line may mean: by its name and version, or by its repository and folder."""
    if line.nameless:
        return [
            state
            for state in states
            if repository(state.url) == repository(line.url) and state.raw.get("subdirectory") == line.subdirectory
        ]
    own = [state for state in states if state.name == line.name]
    if line.version is None:
        return own
    wanted = Version(line.version)
    same = [state for state in own if state.version is not None and Version(state.version) == wanted]
    return same or [state for state in own if state.version is None]


def _built_first(states: Sequence[ForkState]) -> ForkState:
    """Several pins of one commit are one build: the one that has a file, else the first."""
    return next((state for state in states if state.release is not None), states[0])
