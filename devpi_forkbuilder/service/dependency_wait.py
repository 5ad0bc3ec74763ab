"""Orders that wait for other orders: what their build requires is pinned and has to be built first.

A parked order holds no worker, so one worker is enough for any chain. What would wait for itself fails at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.service.single_flight.flight import Flight

QueuedBuild = tuple[Order, Flight]
CYCLE = "pins-need-each-other"


@dataclass(slots=True, eq=False)
class WaitingOrder:
    """A ticket and the flights it waits for; None while they are being asked for.

    `node` is its key with the interpreter that builds it: two orders may mean the same one.
    """

    queued_build: QueuedBuild
    node: OrderKey
    needed: tuple[OrderKey, ...]
    flights: tuple[Flight, ...] | None = None


class DependencyWait:
    """`ask` starts or joins an order, before all that is queued. May be used by several threads."""

    def __init__(self, ask: Callable[[Order], Flight]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._parked: list[WaitingOrder] = []

    def park(self, queued_build: QueuedBuild, orders: tuple[Order, ...], python: str) -> None:
        """Keep `ticket`, which `python` builds, until `orders` have ended.

        Raises BuildError (`pins-need-each-other`, which names them all) when it would wait for itself.
        """
        node = replace(queued_build[0].key, python=python)
        needed = tuple(order.key for order in orders)
        with self._lock:
            names = self._way(needed, node, (node,))
            if names:
                raise _cycle(names)
            parked = WaitingOrder(queued_build, node, needed)
            self._parked.append(parked)
        flights = tuple(self._ask(order) for order in orders)
        with self._lock:
            parked.flights = flights

    def ready(self) -> list[tuple[QueuedBuild, BuildError | None]]:
        """Tickets that wait no longer, each once; with the reason when what they need could not be built."""
        with self._lock:
            ended = [one for one in self._parked if _has_ended(one)]
            self._parked = [one for one in self._parked if one not in ended]
        return [(one.queued_build, _reason(one.flights or ())) for one in ended]

    def waiting(self) -> list[tuple[QueuedBuild, tuple[OrderKey, ...]]]:
        """Everything that is parked, with what it needs."""
        with self._lock:
            return [(one.queued_build, one.needed) for one in self._parked]

    def _way(self, needed: tuple[OrderKey, ...], goal: OrderKey, path: tuple[OrderKey, ...]) -> tuple[OrderKey, ...]:
        """How one comes from `needed` to `goal`; empty when one does not. What is parked has no cycle in it."""
        for key in needed:
            if key == goal:
                return (*path, key)
            further = next((one for one in self._parked if one.node == key), None)
            found = self._way(further.needed, goal, (*path, key)) if further is not None else ()
            if found:
                return found
        return ()


def _has_ended(parked: WaitingOrder) -> bool:
    return parked.flights is not None and all(flight.done for flight in parked.flights)


def _reason(flights: tuple[Flight, ...]) -> BuildError | None:
    for flight in flights:
        record = flight.record
        if record.state is State.BUILT:
            continue
        error = record.error
        if error is not None and error.reference == CYCLE:
            return BuildError(CYCLE, error.message)
        why = f": {error.message}" if error is not None else "."
        return BuildError(
            "needed-pin-failed",
            f"The build requires the pinned project {record.key.project}, which could not be built{why}",
            next_step="Fix that pin; this one is tried again at the next request.",
        )
    return None


def _cycle(keys: tuple[OrderKey, ...]) -> BuildError:
    way = " needs ".join(key.project for key in keys)
    return BuildError(
        CYCLE,
        f"Pinned projects need each other to be built: {way}.",
        next_step="Remove one of these requirements from its fork, or unpin one of them.",
    )
