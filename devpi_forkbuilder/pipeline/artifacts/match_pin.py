"""Whether what was built is what was pinned."""

from __future__ import annotations

import re
from typing import Protocol

from packaging.utils import canonicalize_name
from packaging.version import Version

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.versions import satisfies_pin
from devpi_forkbuilder.errors import MismatchError


class Named(Protocol):
    """A file that says what it is: a wheel or a source distribution."""

    @property
    def project(self) -> str:
        """The name as the metadata writes it."""

    @property
    def version(self) -> Version:
        """The version in the metadata."""


def agree(found: Named, pin: Pin) -> None:
    """Raise MismatchError unless `found`, as built, has the pin's name and, if the pin names one, its version."""
    if canonicalize_name(found.project) != pin.name:
        raise MismatchError(
            "name-differs",
            f"The fork's build made {found.project}, the pin says {pin.project}.",
            next_step=f"Write #egg={found.project} in the pin.",
        )
    if not satisfies_pin(found.version, pin.release):
        raise MismatchError(
            "version-differs",
            f"The fork's build made version {found.version}, the pin says {pin.version}.",
            next_step=f"Write =={found.version} in the pin, or drop =={pin.version}.",
        )


def is_stamped(version: Version, pin: Pin) -> bool:
    """Whether `version` is what stamping makes of the pin's version at the pin's commit."""
    if version.local is None or not re.fullmatch(rf"\d{{14}}\.g{pin.commit[:12]}", version.local):
        return False
    return pin.release is None or (pin.release.local is None and Version(version.public) == pin.release)
