"""The whole service at a moment: what runs on which worker, and what waits for what."""

from __future__ import annotations

from dataclasses import dataclass

from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.service.records import Record


@dataclass(frozen=True, slots=True)
class RunningBuild:
    """A build and the name of its worker."""

    worker: str
    record: Record


@dataclass(frozen=True, slots=True)
class WaitingBuild:
    """A build in the queue.

    `position` counts from 1 and is 0 for what waits for other pins, named by `needs`. `spare`: nobody has asked for it
    yet, so it comes after all others. `held`: another build of the same pin has to end first.
    """

    record: Record
    position: int = 0
    spare: bool = False
    held: bool = False
    needs: tuple[OrderKey, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that has not ended, and how many workers there are."""

    workers: int = 0
    running: tuple[RunningBuild, ...] = ()
    waiting: tuple[WaitingBuild, ...] = ()

    def waiting_for(self, key: OrderKey) -> WaitingBuild | None:
        """The entry of an order in the queue."""
        return next((one for one in self.waiting if one.record.key == key), None)
