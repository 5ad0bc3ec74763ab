"""Where a build's files come from: git on this machine, or what a primary sends to a builder without git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, MismatchError
from devpi_forkbuilder.pipeline.checkout.archive_writer import keep
from devpi_forkbuilder.pipeline.checkout.checkout import Checkout, checkout
from devpi_forkbuilder.pipeline.checkout.pretend_version import place_tags, pretend_tags, pretend_version
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.git.client import TRACE
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import sweep_leftovers
from devpi_forkbuilder.pipeline.protocols import BuildProgress


class BuildSource(Protocol):
    """Places an order's files. One object serves all builds; threads may share it."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """The tools that it works with, for the provenance of what is built."""

    def place(self, order: Order, into: Path, progress: BuildProgress) -> Checkout:
        """Put the files of `order` into the folder `into`, which is made. May be called again for the same order.

        Raises ForkbuilderError, and CancelledError when `progress` says so.
        """

    def variables(self, order: Order, source: Checkout, watch: TransferWatch) -> tuple[tuple[str, str], ...]:
        """KEY/VALUE pairs that the back end needs in order to know its version, for the project's own environment."""

    def judge_version(self, order: Order, source: Checkout, version: str) -> None:
        """Raise MismatchError when `version`, which was built, cannot be that of `source`."""

    def keep(self, order: Order, source: Checkout, built: Built, progress: BuildProgress) -> None:
        """Keep what `built` was built from, where sources are kept. Raises nothing of its own."""

    def sweep(self) -> tuple[Path, ...]:
        """Remove what a process that crashed has left; what was removed."""


class NoSource:
    """The source of a builder that is given another one for each order."""

    provenance: Mapping[str, str] = MappingProxyType({})

    def place(self, order: Order, into: Path, progress: BuildProgress) -> Checkout:  # noqa: ARG002  (BuildSource)
        """Raise InfrastructureError: there is none."""
        raise InfrastructureError("no-source", "This builder has no source of its own.")

    def variables(self, order: Order, source: Checkout, watch: TransferWatch) -> tuple[tuple[str, str], ...]:  # noqa: ARG002  (BuildSource)
        """None."""
        return ()

    def judge_version(self, order: Order, source: Checkout, version: str) -> None:
        """Any will do."""

    def keep(self, order: Order, source: Checkout, built: Built, progress: BuildProgress) -> None:
        """Nothing is kept."""

    def sweep(self) -> tuple[Path, ...]:
        """Nothing is left."""
        return ()


@dataclass(frozen=True, slots=True)
class GitSource:
    """The repositories of pins (the protocol `BuildSource`). `sources` keeps what was built; `git` is git's version."""

    mirrors: Mirrors
    sources: Sources | None = None
    git: str = ""

    @property
    def provenance(self) -> Mapping[str, str]:
        """See `BuildSource.provenance`."""
        return {"git": self.git} if self.git else {}

    def place(self, order: Order, into: Path, progress: BuildProgress) -> Checkout:
        """See `BuildSource.place`. Raises as `checkout` does."""
        watch = (progress.log, progress.cancelled)
        return checkout(self.mirrors, order.pin, into, *watch, anywhere=order.recipe.unreachable)

    def variables(self, order: Order, source: Checkout, watch: TransferWatch) -> tuple[tuple[str, str], ...]:
        """Tell a project that takes its version from tags what its tags do not say; see `BuildSource.variables`."""
        version = order.pin.version or self._known_version(order, source)
        if not source.untagged or version is None:
            return ()
        watch.log.say(f"no tag of this commit names its version: the back end gets {version}")
        place_tags(self.mirrors.git, source.root, pretend_tags(source.project, version), watch)
        return pretend_version(order.pin, version)

    def judge_version(self, order: Order, source: Checkout, version: str) -> None:
        """Raise MismatchError (`version-differs`) when files that were built from the archive have another version than
        before: the version came from commits that are gone.
        """
        known = self._known_version(order, source)
        if known is not None and known != version:
            raise MismatchError(
                "version-differs",
                f"Built from this server's archive the version is {version}, from the repository it was {known}.",
                next_step="Its back end takes the version from commits that are gone: put the repository back.",
            )

    def keep(self, order: Order, source: Checkout, built: Built, progress: BuildProgress) -> None:
        """Keep the sources of `built`. When that fails, the files are good all the same."""
        if self.sources is None or source.restored:
            return
        watch = TransferWatch(progress.log, progress.cancelled)
        versions = {order.pin.subdirectory or "": built.provenance["built_version"]}
        try:
            keep(self.sources, self.mirrors, source.parts, versions, watch)
        except (ForkbuilderError, OSError) as error:
            progress.log.say(f"the source could not be kept: {error}")

    def sweep(self) -> tuple[Path, ...]:
        """See `BuildSource.sweep`."""
        return sweep_leftovers(self.mirrors.git.home, prefix=TRACE)

    def _known_version(self, order: Order, source: Checkout) -> str | None:
        """What was built from the commit when its repository was there."""
        kept = self.sources.read(order.pin.url, order.pin.commit) if self.sources is not None else None
        return kept.versions.get(order.pin.subdirectory or "") if kept is not None and source.restored else None
