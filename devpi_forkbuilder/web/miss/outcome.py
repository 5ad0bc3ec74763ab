"""What became of a page's misses: pure decisions between the service's records and the page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.version import Version

from devpi_forkbuilder.devpi.lookup import Pinned
from devpi_forkbuilder.domain.simple.offline import NOT_CACHED
from devpi_forkbuilder.domain.simple.placeholders import (
    BUSY,
    CACHED_ONLY,
    NO_INTERPRETER,
    STOPPED,
    WAITING,
    Placeholder,
)
from devpi_forkbuilder.domain.simple.replicas import REASONS
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.service.single_flight.flight import Flight


@dataclass(frozen=True, slots=True)
class Miss:
    """A pin without a usable file, and the flight that should make one."""

    pinned: Pinned
    flight: Flight


def placeholders_of(misses: Iterable[Miss]) -> list[Placeholder]:
    """A placeholder for each miss that did not end with a file."""
    judged = ((miss, _stage(miss.flight)) for miss in misses)
    return [_placeholder(miss.pinned, stage, miss.flight) for miss, stage in judged if stage is not None]


def unfinished(misses: Iterable[Miss]) -> list[Placeholder]:
    """Placeholders for when the server could not give a page: an installer must not take another index's file."""
    return [_placeholder(miss.pinned, STOPPED, miss.flight) for miss in misses]


def waiting_in_line(misses: Iterable[Miss]) -> list[Placeholder]:
    """The placeholders of a page for which no seat is free: what is not built yet, and what has failed."""
    return [
        _placeholder(miss.pinned, BUSY if not miss.flight.done else stage, miss.flight)
        for miss, stage in ((miss, _stage(miss.flight)) for miss in misses)
        if stage is not None
    ]


def never_built(pinned: Iterable[Pinned], *, offline: bool) -> list[Placeholder]:
    """The placeholders of a page that starts no build; `offline`: because the server has no network."""
    return [_placeholder(one, NOT_CACHED if offline else CACHED_ONLY, None) for one in pinned]


def unservable(pinned: Iterable[Pinned]) -> list[Placeholder]:
    """The placeholders for a client that no file fits, nor any that could be built here."""
    return [_hopeless(one) for one in pinned if one.hopeless]


def _hopeless(one: Pinned) -> Placeholder:
    release = Version(one.files[0].version) if one.files else None
    return Placeholder(one.order.index, one.pin, NO_INTERPRETER, release=release)


def _stage(flight: Flight) -> str | None:
    record = flight.record
    if not flight.done:
        return WAITING
    if record.state is State.FAILED:
        if record.error is None:
            return State.FAILED.value
        known = record.error.reference in {*REASONS, NO_INTERPRETER}
        return record.error.reference if known else record.error.stage.value
    return STOPPED if record.state is not State.BUILT else None


def _placeholder(pinned: Pinned, stage: str, flight: Flight | None) -> Placeholder:
    commit_time = flight.record.commit_time if flight is not None else None
    return Placeholder(pinned.order.index, pinned.pin, stage, commit_time)
