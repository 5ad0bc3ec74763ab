"""Orders, announcements and failures as JSON, between a primary and its workers. What is read is judged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from devpi_forkbuilder.domain.compat.targets import Client, is_interpreter
from devpi_forkbuilder.domain.pins.orders import Order, Recipe, Versions
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import (
    BuildError,
    ForkbuilderError,
    InfrastructureError,
    Kind,
    LimitsError,
    MismatchError,
    RefusedError,
    SourceError,
)
from devpi_forkbuilder.farm.tickets import NAME

OURS = "+primary"
"""How a URL of the primary's own begins in a document: workers have another way to it than it has itself."""
REFERENCE = re.compile(r"[a-z0-9-]{1,60}")
LONGEST = 4000
MOST_LINES = 50
KINDS: Mapping[Kind, type[ForkbuilderError]] = {
    Kind.SOURCE: SourceError,
    Kind.BUILD: BuildError,
    Kind.MISMATCH: MismatchError,
    Kind.LIMITS: LimitsError,
    Kind.REFUSED: RefusedError,
    Kind.INFRASTRUCTURE: InfrastructureError,
}


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a worker says of itself: its name, its release, its platform, its interpreters, how many builds at once."""

    name: str
    release: str
    platform: Client
    pythons: tuple[str, ...]
    builds: int = 1

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that it takes orders from."""
        return tuple(queue_of(self.platform, python) for python in self.pythons)

    def document(self) -> dict[str, Any]:
        """This as JSON."""
        return {
            "name": self.name,
            "release": self.release,
            "platform": str(self.platform),
            "pythons": list(self.pythons),
            "builds": self.builds,
        }

    @classmethod
    def read(cls, document: object) -> Announcement:
        """The announcement in `document`. Raises ValueError."""
        if not isinstance(document, dict):
            raise ValueError("an announcement is an object")
        name, release = str(document.get("name")), str(document.get("release"))[:40]
        platform = Client.parse(str(document.get("platform")))
        pythons = document.get("pythons")
        if platform is None or not NAME.fullmatch(name) or not isinstance(pythons, list) or len(pythons) > MOST_LINES:
            raise ValueError("the name, the platform or the interpreters of an announcement cannot be read")
        known = tuple(python for python in pythons if isinstance(python, str) and is_interpreter(python))
        builds = document.get("builds")
        return cls(name, release, platform, known, builds if isinstance(builds, int) and 0 < builds < 1000 else 1)


def queue_of(platform: Client, python: str) -> str:
    """The queue for builds with the interpreter `python` on `platform`, whose libc's release does not count."""
    words = (platform.system, platform.machine, platform.libc)
    return "-".join(["forkbuilder", *filter(None, words), f"py{python}"])


def order_document(order: Order, own_url: str) -> dict[str, Any]:
    """`order` as JSON; URLs that begin with `own_url` are the primary's own."""
    return {
        "index": order.index,
        "pin": str(order.pin),
        "versions": order.versions.value,
        "recipe": asdict(order.recipe),
        "python": order.python,
        "requirements_url": _relative(order.requirements_url, own_url),
        "pins_url": _relative(order.pins_url, own_url),
        "diagnose": order.diagnose,
    }


def order_of(document: Mapping[str, Any], primary: str) -> Order:
    """The order in the document of a primary that is at the URL `primary`. Raises KeyError, TypeError and ValueError,
    and PinsRefusedError.
    """
    recipe = dict(document["recipe"])
    recipe["env"] = tuple((str(key), str(value)) for key, value in recipe["env"])
    recipe["constraints"], recipe["pythons"] = tuple(recipe["constraints"]), tuple(recipe["pythons"])
    return Order(
        index=document["index"],
        pin=Pin.parse(document["pin"]),
        versions=Versions(document["versions"]),
        recipe=replace(Recipe(), **recipe),
        python=document["python"],
        requirements_url=_absolute(document["requirements_url"], primary),
        pins_url=_absolute(document["pins_url"], primary),
        diagnose=bool(document["diagnose"]),
    )


def failure_document(error: ForkbuilderError) -> dict[str, Any]:
    """`error` as JSON."""
    return {
        "kind": error.kind.value,
        "reference": error.reference,
        "what": error.what,
        "next_step": error.next_step,
        "retryable": error.retryable,
        "remedy": list(error.remedy) if isinstance(error, BuildError) else [],
    }


def failure_in(document: object) -> ForkbuilderError:
    """The failure that a worker's document tells; nothing in it can be longer than a message. Raises ValueError."""
    if not isinstance(document, dict) or not REFERENCE.fullmatch(str(document.get("reference"))):
        raise ValueError("a failure has a kind, a reference and a sentence")
    error = KINDS[Kind(document.get("kind"))]
    what, step = str(document.get("what"))[:LONGEST], str(document.get("next_step") or "")[:LONGEST]
    retryable, reference = document.get("retryable") is True, str(document["reference"])
    remedy = document.get("remedy")
    if error is BuildError and isinstance(remedy, list):
        lines = tuple(str(line)[:LONGEST] for line in remedy[:MOST_LINES])
        return BuildError(reference, what, next_step=step, retryable=retryable, remedy=lines)
    return error(reference, what, next_step=step, retryable=retryable)


def _relative(url: str, own_url: str) -> str:
    own = own_url.rstrip("/") + "/"
    return f"{OURS}/{url.removeprefix(own)}" if own_url and url.startswith(own) else url


def _absolute(url: str, primary: str) -> str:
    return f"{primary.rstrip('/')}{url.removeprefix(OURS)}" if url.startswith(f"{OURS}/") else url
