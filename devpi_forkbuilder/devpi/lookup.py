"""What the index says about a request: pins, their files and the orders that would make the missing ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from devpi_forkbuilder.devpi.known_files import KnownFiles
from devpi_forkbuilder.devpi.names import is_mirror
from devpi_forkbuilder.devpi.releases import ReleaseFile, built_files
from devpi_forkbuilder.devpi.serial import LastSerial
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.domain.compat.requirement_closure import RequirementClosure, environment_of
from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets, choose_targets, client_of_user_agent
from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.settings import IndexSettings

CACHED = "+cached"
"""The path segment of an index that never starts a build."""
UNIVERSAL = re.compile(r"-(py2\.)?py3-none-any\.whl$")
NEAR = 50
"""How many projects after the one asked for are looked at for something to build ahead."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pin with the order that builds it and the files that stand for it.

    `client` is who asks, if that is known; `servable` False: nothing that could be built here would fit it.
    """

    order: Order
    files: tuple[ReleaseFile, ...]
    bytes_needed: bool = False
    client: Client | None = None
    servable: bool = True

    @property
    def pin(self) -> Pin:
        """The pin."""
        return self.order.pin

    @property
    def built(self) -> bool:
        """Whether a wheel fits the client."""
        return any(file.fits(self.client) for file in self.files)

    @property
    def for_everybody(self) -> bool:
        """Whether there is a wheel that every client can install, so that who asks makes no difference."""
        return any(UNIVERSAL.search(file.filename) for file in self.files)

    @property
    def hopeless(self) -> bool:
        """Whether the client gets nothing: no wheel fits or ever will, and there is no source distribution."""
        return not self.servable and not self.built and all(file.filename.endswith(".whl") for file in self.files)

    @property
    def missing(self) -> bool:
        """Whether the page has to wait: a miss, or on a replica a file whose bytes are not here yet."""
        lags = self.bytes_needed and any(file.size is None for file in self.files)
        return lags or (self.servable and not self.built)


class Lookup:
    """Reads pins in the current transaction.

    `own_url` is this server's root as its own builds reach it; `offer` says what it builds for.
    """

    def __init__(self, xom: Any, own_url: str, server_targets: Callable[[], ServerTargets] = ServerTargets) -> None:
        self._xom = xom
        self.store = LastSerial(xom.keyfs)
        self._files = KnownFiles(xom, self.store)
        self._own_url = own_url.rstrip("/")
        self.server_targets = server_targets

    def order_of(self, stage: Any, pin: Pin) -> Order:
        """The order that would build `pin` on `stage`, pinned there or not, for this server's own interpreter."""
        return settings_of(stage).order(stage.name, pin, **self._urls(stage))

    def of_page(self, user: str, index: str, project: str, client: Client | None = None) -> tuple[Pinned, ...]:
        """The pins behind the simple page of `project` (normalized), in resolution order through all bases."""
        stage = self._xom.model.getstage(user, index)
        if stage is None:
            return ()
        forks = (base for base in stage.sro() if is_forkbuilder(base))
        return tuple(pinned for base in forks for pinned in self._of_project(base, project, client))

    def of_index(
        self, user: str, index: str, project: str | None = None, python: str = ""
    ) -> tuple[Pinned, ...] | None:
        """All pins of an index of our type, or those of one project; None when it is not of our type.

        `python` says who asks: an interpreter on this server's platform (`3.12`), or `str` of a `Client`.
        """
        stage = self._xom.model.getstage(user, index)
        if stage is None or not is_forkbuilder(stage):
            return None
        settings = settings_of(stage)
        names = settings.projects if project is None else (project,)
        client = client_of_user_agent(python, self.server_targets())
        files = self._files.of(stage, names)
        return tuple(
            pinned for name in names for pinned in self._of_project(stage, name, client, (settings, files[name]))
        )

    def ahead(self, pinned: Pinned) -> tuple[Order, ...]:
        """The orders for the interpreters that a pin with files is built for ahead and has no file for yet."""
        server_targets, order = self.server_targets(), pinned.order
        lacking = (
            python
            for python in order.ahead
            if not any(file.fits(server_targets.client(python)) for file in pinned.files) and python != order.python
        )
        return tuple(replace(order, python=python, ahead=()) for python in lacking)

    def following(self, pinned: Pinned) -> Iterator[Order]:
        """The orders of the next pins of the same index that the same client would miss, looked up one by one."""
        stage = self._xom.model.getstage(pinned.order.index)
        names = settings_of(stage).projects if stage is not None else ()
        place = names.index(pinned.pin.name) + 1 if pinned.pin.name in names else len(names)
        for name in names[place : place + NEAR]:
            yield from (one.order for one in self._of_project(stage, name, pinned.client) if one.missing)

    def needs(self, order: Order, requirements: tuple[str, ...], python: str) -> tuple[Order, ...]:
        """The orders that have to be built before `requirements` (PEP 508 lines) can be installed for `python`.

        What pinned projects that are built already require is looked at, too; what public ones require is not.
        Opens a transaction of its own.
        """
        client = self.server_targets().client(python)
        wanted = RequirementClosure(requirements, environment_of(client))
        found: dict[OrderKey, Order] = {}
        with self._xom.keyfs.read_transaction():
            stage = self._xom.model.getstage(order.index)
            forks = [base for base in stage.sro() if is_forkbuilder(base)] if stage is not None else []
            while (name := wanted.next()) is not None:
                for pinned in (one for base in forks for one in self._of_project(base, name, client)):
                    if pinned.missing and wanted.allows(name, pinned.pin.release):
                        found[pinned.order.key] = pinned.order
                    for file in pinned.files:
                        wanted.add(file.requires_dist)
        return tuple(found.values())

    def _of_project(
        self,
        stage: Any,
        project: str,
        client: Client | None,
        known: tuple[IndexSettings, tuple[ReleaseFile, ...]] | None = None,
    ) -> Iterator[Pinned]:
        settings = settings_of(stage) if known is None else known[0]
        pins = settings.pins_of(project)
        files = known[1] if known is not None else tuple(built_files(stage, project)) if pins else ()
        for pin in pins:
            own = tuple(file for file in files if file.stands_for(pin))
            only = settings.recipe(project).pythons
            choice = choose_targets(client, self.server_targets(), only, {file.made_by for file in own})
            order = settings.order(stage.name, pin, python=choice.python, **self._urls(stage))
            once = tuple({file.filename: file for file in reversed(own)}.values())[::-1]
            yield Pinned(order, once, self._xom.is_replica(), client, choice.served)

    def _urls(self, stage: Any) -> dict[str, str]:
        """Where builds get their requirements: this index, without building. If it leads to no public one, that is
        asked for what this one does not have.
        """
        url = f"{self._own_url}/{stage.name}/{CACHED}/"
        leads_out = any(is_mirror(base) for base in stage.sro())
        return {"requirements_url": url} if leads_out else {"pins_url": url}
