"""What the index says about a request: pins, their files and the orders that would make the missing ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from devpi_forkbuilder.devpi.releases import ReleaseFile, built_files
from devpi_forkbuilder.devpi.settings import is_forkbuilder, settings_of
from devpi_forkbuilder.domain.orders import Order
from devpi_forkbuilder.domain.pins import Pin

CACHED = "+cached"
"""The path segment of an index that never starts a build."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pin with the order that builds it and the files that stand for it."""

    order: Order
    files: tuple[ReleaseFile, ...]
    bytes_needed: bool = False

    @property
    def pin(self) -> Pin:
        """The pin."""
        return self.order.pin

    @property
    def built(self) -> bool:
        """Whether a file serves the order's interpreter."""
        return any(file.serves(self.order.python) for file in self.files)

    @property
    def missing(self) -> bool:
        """Whether the page has to wait: a miss, or on a replica a file whose bytes are not here yet."""
        lags = self.bytes_needed and any(file.size is None for file in self.files)
        return lags or not self.built


class Lookup:
    """Reads pins in the current transaction. `own_url` is this server's root as its own builds reach it."""

    def __init__(self, xom: Any, own_url: str) -> None:
        self._xom = xom
        self._own_url = own_url.rstrip("/")

    def of_page(self, user: str, index: str, project: str, python: str = "") -> tuple[Pinned, ...]:
        """The pins behind the simple page of `project` (normalized), in resolution order through all bases."""
        stage = self._xom.model.getstage(user, index)
        if stage is None:
            return ()
        forks = (base for base in stage.sro() if is_forkbuilder(base))
        return tuple(pinned for base in forks for pinned in self._of_project(base, project, python))

    def settled(self, user: str, index: str, project: str) -> bool:
        """Whether the page of a pinned project depends on nothing but devpi's store: no mirror adds files to it."""
        stage = self._xom.model.getstage(user, index)
        listed = ((base.ixconfig.get("mirror_whitelist") or ()) for base in (stage.sro() if stage is not None else ()))
        return stage is not None and not any({"*", project} & set(names) for names in listed)

    def of_index(
        self, user: str, index: str, project: str | None = None, python: str = ""
    ) -> tuple[Pinned, ...] | None:
        """All pins of an index of our type, or those of one project; None when it is not of our type."""
        stage = self._xom.model.getstage(user, index)
        if stage is None or not is_forkbuilder(stage):
            return None
        names = settings_of(stage).projects if project is None else (project,)
        return tuple(pinned for name in names for pinned in self._of_project(stage, name, python))

    def _of_project(self, stage: Any, project: str, python: str) -> Iterator[Pinned]:
        settings = settings_of(stage)
        pins = settings.pins_of(project)
        files = tuple(built_files(stage, project)) if pins else ()
        for pin in pins:
            order = settings.order(stage.name, pin, python=python, requirements_url=self._requirements_url(stage))
            own = tuple(file for file in files if file.stands_for(pin))
            yield Pinned(order, own, bytes_needed=self._xom.is_replica())

    def _requirements_url(self, stage: Any) -> str:
        """Where builds get their requirements: this index, without building, when it leads to a public one."""
        if any(base.ixconfig["type"] == "mirror" for base in stage.sro()):
            return f"{self._own_url}/{stage.name}/{CACHED}/"
        return ""
