"""Builds of what is pinned, before anybody asks: the index setting `fork_build=pin`.

Only on the server that builds. Workers that would be idle do the work, a few orders at a time, so that ten thousand
pins do not fill the queue; who asks for one of them gets it next.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from devpi_forkbuilder.devpi.lookup import Lookup
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.domain.pins.orders import PINNED, Order
from devpi_forkbuilder.domain.pins.settings import BuildWhen
from devpi_forkbuilder.service.single_flight.flight import Flight

log = logging.getLogger(__name__)

AHEAD = 2
"""Orders that are handed over at once."""
LOOK = 0.5
"""Seconds between two looks for the end of the server."""
NAME = "forkbuilder-pinned"


class PinnedBuilds:
    """Hands the unbuilt pins of indexes to idle workers. `ask` is the service's, for orders ahead of the clients."""

    def __init__(self, xom: Any, lookup: Lookup, ask: Callable[[Order], Flight]) -> None:
        self._xom = xom
        self._lookup = lookup
        self._ask = ask
        self._changed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin with all indexes that are set so. Never raises."""
        threading.Thread(target=self._run, name=NAME, daemon=True).start()

    def stop(self) -> None:
        """End. What was handed over belongs to the service."""
        self._stopping.set()

    def changed(self, index: str) -> None:
        """The settings of an index (`user/name`) were stored."""
        self._changed.put(index)

    def _run(self) -> None:
        self._build_all(self._indexes)
        while not self._stopping.is_set():
            self._build_all(self._next)

    def _build_all(self, indexes: Callable[[], list[str]]) -> None:
        try:
            for index in indexes():
                self._build(index)
        except Exception:
            log.exception("what is pinned could not be built ahead")

    def _next(self) -> list[str]:
        try:
            return [self._changed.get(timeout=LOOK)]
        except queue.Empty:
            return []

    def _indexes(self) -> list[str]:
        with self._xom.keyfs.read_transaction():
            users = [user.get() for user in self._xom.model.get_userlist()]
            return [f"{user['username']}/{name}" for user in users for name in user.get("indexes", {})]

    def _build(self, index: str) -> None:
        """Hand over a few orders at a time, in the order of the pins."""
        projects = self._projects(index)
        while projects and not self._stopping.is_set():
            for flight in [self._ask(order) for order in self._portion(index, projects)]:
                while not flight.wait(LOOK) and not self._stopping.is_set():
                    pass

    def _projects(self, index: str) -> deque[str]:
        with self._xom.keyfs.read_transaction():
            stage = self._xom.model.getstage(index)
            if stage is None or not is_forkbuilder(stage) or settings_of(stage).build is not BuildWhen.PIN:
                return deque()
            return deque(settings_of(stage).projects)

    def _portion(self, index: str, projects: deque[str]) -> list[Order]:
        """The next orders that are missing; `projects` loses those that were looked at."""
        found: list[Order] = []
        user, name = index.split("/")
        with self._xom.keyfs.read_transaction():
            while projects and len(found) < AHEAD:
                pinned = self._lookup.of_index(user, name, projects.popleft()) or ()
                found += [replace(one.order, urgency=PINNED) for one in pinned if one.missing]
        return found
