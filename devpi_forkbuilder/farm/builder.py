"""The primary's builder where a farm builds: it fetches, offers, waits, and judges what comes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from devpi_forkbuilder import __version__
from devpi_forkbuilder.domain.compat.targets import Client, ServerTargets, client_of_user_agent
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.requirements_files.project_identity import Identity
from devpi_forkbuilder.domain.results import Built
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import InfrastructureError, LimitsError, MismatchError
from devpi_forkbuilder.farm import source_archive
from devpi_forkbuilder.farm.desk import WorkDesk
from devpi_forkbuilder.farm.order_document import order_document, queue_of
from devpi_forkbuilder.farm.parcel import Parcel, Sent
from devpi_forkbuilder.farm.recheck import as_refused, built_of, recheck
from devpi_forkbuilder.farm.supervision import FarmQueue, QueuedWork, Supervision
from devpi_forkbuilder.pipeline.build_source import BuildSource
from devpi_forkbuilder.pipeline.builder import disk_watched
from devpi_forkbuilder.pipeline.checkout.checkout import Checkout
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.pipeline.process.disk_space import FLOOR, check_space
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.process.work_dir import WorkFolder, owner_of, sweep_leftovers, work_folder
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from devpi_forkbuilder.pipeline.tracing import next_hop

BEAT = 0.5
"""Seconds between two looks at whether the server stops."""


class FarmBuilder:
    """Has orders built by workers (the protocol `Builder`), as many at once as threads ask it to.

    `source` fetches, in folders below `work`; `queue` is the engine; `desk` is where workers speak to it. `own_url` is
    how the primary reaches itself; `limit` is the longest that one attempt may take, in seconds.
    """

    def __init__(
        self,
        *,
        work: Path,
        source: BuildSource,
        queue: FarmQueue,
        desk: WorkDesk,
        own_url: str,
        own: ServerTargets,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.index_tokens: IndexTokens = desk.index_tokens
        self.desk = desk
        self.queue = queue
        self._work, self._source = work, source
        self._own_url, self._own, self._limit, self._clock = own_url, own, limit, clock

    @property
    def identity(self) -> str:
        """A remembered failure may be tried again when it changes; workers of other releases are refused."""
        return f"devpi-forkbuilder {__version__}, farm"

    def server_targets(self) -> ServerTargets:
        """What workers have said that they build for; before any has, what this server would build for itself."""
        return self.desk.targets(self._own)

    def sweep(self) -> tuple[Path, ...]:
        """Remove what builds of a server that crashed have left; what was removed."""
        return (*sweep_leftovers(self._work), *self._source.sweep())

    @contextlib.contextmanager
    def build(self, order: Order, progress: BuildProgress) -> Iterator[Built]:
        """See `Builder.build`."""
        with contextlib.ExitStack() as stack:
            with disk_watched(self._work, progress) as watched:
                folder = stack.enter_context(work_folder(self._work, owner_of(os.getpid())))
                progress.enter(State.FETCHING)
                check_space(folder.root, FLOOR)
                source = self._source.place(order, folder.source, watched)
                progress.commit_time(source.commit_time)
                built = self._built(order, watched, folder, source)
                self._source.judge_version(order, source, built.provenance["built_version"])
            yield built
            self._source.keep(order, source, built, progress)

    def identify(self, order: Order, progress: BuildProgress) -> Identity:  # noqa: ARG002  (Builder)
        """Raise InfrastructureError (`identity-needs-builder`): no code of projects runs on this server."""
        raise no_identity()

    def _built(self, order: Order, progress: BuildProgress, folder: WorkFolder, source: Checkout) -> Built:
        target = self._target(order)
        parcel = self._parcel(order, progress, folder, source)
        sent = self._sent(order, parcel, progress)
        progress.enter(State.CHECKING)
        version = sent.facts.get("built_version", "")
        files = tuple(sent.folder / file for file in sent.files)
        try:
            artefacts = recheck(
                order, files, target, source.commit_time, version, lambda part: folder.fresh(folder.root / part)
            )
        except (MismatchError, LimitsError) as error:
            raise as_refused(sent.worker, error) from error
        own = {
            "commit": source.commit,
            "tree": source.tree,
            "url": order.pin.url,
            "built_version": version,
            "commit_on_branch": "unchecked" if order.recipe.unreachable else "yes",
            "worker": sent.worker,
            "interpreter": order.python if " " in order.python else parcel.python,
            "plugin": __version__,
            **self._source.provenance,
        }
        return built_of(artefacts, source.commit_time, own, sent.facts)

    def _target(self, order: Order) -> Client | None:
        targets = self.server_targets()
        return client_of_user_agent(order.python or next(iter(targets.pythons), ""), targets)

    def _parcel(self, order: Order, progress: BuildProgress, folder: WorkFolder, source: Checkout) -> Parcel:
        watch = TransferWatch(progress.log, progress.cancelled)
        target = self._target(order)
        if target is None:
            what = f"No worker is known that could build {order.pin.project} for {order.python or 'any Python'}."
            raise InfrastructureError("no-worker", what, next_step="Start a worker for it.", retryable=True)
        variables = self._source.variables(order, source, watch)
        archive = folder.root / "source.tar.gz"
        source_archive.pack(source.root, archive)
        document = order_document(replace(order, python=target.interpreter), self._own_url) | {
            "source": {
                "commit": source.commit,
                "tree": source.tree,
                "commit_time": source.commit_time,
                "untagged": source.untagged,
                "variables": [list(pair) for pair in variables],
            },
            "limit": self._limit,
            "trace": str(next_hop()),
        }
        staging = folder.fresh(folder.root / "staging")
        return Parcel(secrets.token_hex(16), document, archive, staging, queue_of(target, target.interpreter))

    def _sent(self, order: Order, parcel: Parcel, progress: BuildProgress) -> Sent:
        """Offer `parcel` and serve it until a worker has sent its files. Raises what ended it otherwise."""
        key = hashlib.sha256(repr(order.key).encode()).hexdigest()
        group = hashlib.sha256(repr(order.key.group).encode()).hexdigest()
        work = QueuedWork(parcel.queue_name, key, group, {"offer": self.desk.offer(parcel)}, order.urgency)
        revoke = partial(self.desk.revoke, parcel)
        supervision = Supervision(self.queue, work, parcel, progress, revoke, self._limit, self._clock)
        with self.desk.open(parcel, order, progress):
            progress.enter(State.QUEUED)
            progress.log.say(f"offered to workers in the queue {parcel.queue_name}")
            try:
                supervision.offer()
                while (sent := self.desk.result(parcel)) is None:
                    if progress.cancelled():
                        raise CancelledError
                    parcel.run_calls(BEAT)
                    supervision.look()
            finally:
                supervision.end()
            return sent


def no_identity() -> InfrastructureError:
    """The failure of a name that only a project's own code could say."""
    return InfrastructureError(
        "identity-needs-builder",
        "The name of a project that no file of it says is computed by its own code, which does not run here.",
        next_step="Write the name, as #egg=NAME.",
    )
