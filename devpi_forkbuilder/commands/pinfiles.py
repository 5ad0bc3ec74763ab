"""Requirements, lock and project files into pins, for commands."""

from __future__ import annotations

import os
from collections.abc import Sequence

from devpi_forkbuilder.client.files import read_all
from devpi_forkbuilder.domain.pins import Pin
from devpi_forkbuilder.domain.requirements import pins_of


def read_pins(files: Sequence[str]) -> tuple[Pin, ...]:
    """The pins in the git lines of files and of what they include.

    Raises PinsRefusedError with the faults of all files, those that cannot be read among them.
    """
    return pins_of(read_all(files, os.environ))
