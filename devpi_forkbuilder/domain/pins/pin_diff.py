"""What storing requested pins changes in an index's list: the table that `devpi forks pin` shows, and the new list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin

Slot = tuple[str, Version | None]


class Change(str, Enum):
    """How a requested pin relates to what is stored; `version` wins over `moved` when both are true."""

    NEW = "new"
    MOVED = "moved"
    VERSION = "version"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class PinMove:
    """One requested pin and the stored one that it replaces (None: nothing)."""

    change: Change
    after: Pin
    before: Pin | None = None


@dataclass(frozen=True, slots=True)
class PinDiff:
    """Every requested pin as a move, in the order asked, and `pins`, the list to store."""

    moves: tuple[PinMove, ...]
    pins: tuple[Pin, ...]

    @property
    def changes(self) -> tuple[PinMove, ...]:
        """The moves that change something; empty when the request is what is stored already."""
        return tuple(move for move in self.moves if move.change is not Change.UNCHANGED)


def pin_diff(stored: Iterable[Pin], requested: Iterable[Pin]) -> PinDiff:
    """What `requested` (one for each project and version) does to `stored`.

    A pin takes the place of the stored one of its project and version; failing that, of the first stored one of its
    project whose version is not asked for. Stored pins that nothing replaces stay, in place; new ones follow.
    """
    kept, asked = list(stored), list(dict.fromkeys(requested))
    exact = {_slot(pin): pin for pin in kept}
    wanted = {_slot(pin) for pin in asked}
    spare: dict[str, list[Pin]] = defaultdict(list)
    for pin in kept:
        if _slot(pin) not in wanted:
            spare[pin.name].append(pin)
    found = tuple(_move(pin, exact.get(_slot(pin)), spare) for pin in asked)
    replaced = {
        move.before: move.after for move in found if move.before is not None and move.change is not Change.UNCHANGED
    }
    added = [move.after for move in found if move.before is None]
    return PinDiff(found, (*(replaced.get(pin, pin) for pin in kept), *added))


def _slot(pin: Pin) -> Slot:
    return pin.name, pin.release


def _move(pin: Pin, same: Pin | None, spare: dict[str, list[Pin]]) -> PinMove:
    if same is not None:
        return PinMove(Change.UNCHANGED if _content(same) == _content(pin) else Change.MOVED, pin, same)
    if spare[pin.name]:
        return PinMove(Change.VERSION, pin, spare[pin.name].pop(0))
    return PinMove(Change.NEW, pin)


def _content(pin: Pin) -> tuple[str, str, str | None]:
    return pin.url, pin.commit, pin.subdirectory
