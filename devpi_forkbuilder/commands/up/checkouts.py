"""The checkouts that `up` is given: their HEADs as pins, and the URLs that the server has to allow for them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.pipeline.checkout.local_checkout import LocalCheckout, read_checkout
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.process.programs import SilentWatch, find_git
from devpi_forkbuilder.pipeline.process.watch import TransferWatch

FILE = "checkouts"


@dataclass(frozen=True, slots=True)
class Checkouts:
    """What the command line names, and the URLs that earlier starts were given."""

    found: tuple[LocalCheckout, ...] = ()
    earlier: tuple[str, ...] = ()

    @property
    def pins(self) -> tuple[Pin, ...]:
        """The HEAD of each."""
        return tuple(one.pin for one in self.found)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The URLs to allow: pins of an earlier start are still there, and may have to be built again."""
        return tuple(dict.fromkeys([*self.earlier, *(one.prefix for one in self.found)]))

    @property
    def notes(self) -> list[str]:
        """A line for each checkout whose HEAD is not what its folder shows."""
        return [
            f"{one.pin.project}: uncommitted changes are left out; what is pinned is HEAD, {one.pin.commit7}"
            for one in self.found
            if one.changed
        ]

    def keep(self, folder: Path) -> None:
        """Remember the URLs in `folder` for later starts."""
        if self.found:
            (folder / FILE).write_text("".join(f"{prefix}\n" for prefix in self.prefixes), encoding="ascii")


def find_checkouts(names: Sequence[str], folder: Path) -> Checkouts:
    """Return the checkouts `names`; `folder` is the server's own. Raises what `read_checkout` and `find_git` raise."""
    earlier = tuple((folder / FILE).read_text(encoding="ascii").split()) if (folder / FILE).is_file() else ()
    if not names:
        return Checkouts(earlier=earlier)
    find_git(os.environ.get("PATH", os.defpath))
    silence = SilentWatch()
    with tempfile.TemporaryDirectory(prefix="forkbuilder-up-") as home:
        git, watch = Git(Path(home), os.environ), TransferWatch(silence, silence.cancelled)
        found = [read_checkout(Path(name).expanduser().absolute(), git, watch) for name in names]
    return Checkouts(tuple(found), earlier)
