"""An order: everything that decides what a build does, as one value.

Two requests with equal keys are the same work; an order whose fingerprint changed may be tried again after a failure.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from devpi_forkbuilder.domain.pins.pins import Pin

AHEAD, PINNED, ASKED = 0, 1, 2
"""Urgencies: built ahead of a client that asks one by one, built because it is pinned, asked for."""


class Versions(str, Enum):
    """The `fork_versions` setting: what version the published files carry."""

    STAMPED = "stamped"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one project is built: constraint lines for its environment, KEY/VALUE pairs added to its environment.

    `pythons` are the only interpreters that build it; none: any may. `network`: its own code may use the network.
    `unreachable`: its commit need not be on a branch or tag of its repository.
    """

    constraints: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    pythons: tuple[str, ...] = ()
    network: bool = False
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class OrderKey:
    """What makes two orders the same work. `python` is an interpreter such as `3.12`, or empty: the server's own."""

    index: str
    project: str
    commit: str
    version: str
    subdirectory: str
    python: str

    @property
    def id(self) -> str:
        """A short name of this work, the same on every server: 12 hex digits."""
        parts = (self.index, self.project, self.commit, self.version, self.subdirectory, self.python)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]

    @property
    def group(self) -> OrderKey:
        """The key without the interpreter: the first build of a group may turn out to serve all of it."""
        return OrderKey(self.index, self.project, self.commit, self.version, self.subdirectory, "")


@dataclass(frozen=True, slots=True)
class Order:
    """A pin of an index (`user/name`) to be built for an interpreter, with the settings that shape the result.

    `requirements_url` is the simple index that build requirements come from; empty: the public index. `pins_url`, if
    there is one, is a simple index that has only pinned projects and is asked before it. `ahead` are interpreters that
    the pin is built for as well when its wheel turns out to be made for one interpreter. `diagnose`: when it fails, the
    settings that would make it build are looked for. `urgency` says who waits for it; it does not shape the result.
    """

    index: str
    pin: Pin
    versions: Versions = Versions.STAMPED
    recipe: Recipe = Recipe()
    python: str = ""
    requirements_url: str = ""
    pins_url: str = ""
    ahead: tuple[str, ...] = ()
    diagnose: bool = False
    urgency: int = field(default=0, compare=False)

    @property
    def key(self) -> OrderKey:
        """What this order is filed under."""
        pin = self.pin
        return OrderKey(self.index, pin.name, pin.commit, pin.version or "", pin.subdirectory or "", self.python)

    def fingerprint(self, builder: str) -> str:
        """A digest of pin, settings and `builder` (its tools and their versions): a failure holds while it is equal."""
        parts = (str(self.pin), self.versions.value, repr(self.recipe), self.python, builder)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()
