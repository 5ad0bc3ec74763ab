"""A worker: it takes orders of the queue, builds them as a primary would, and sends what comes of it."""

from __future__ import annotations

import contextlib
import logging
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.domain.trace import TraceParent
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError
from devpi_forkbuilder.farm import source_archive
from devpi_forkbuilder.farm.order_document import Announcement, failure_document, order_of
from devpi_forkbuilder.farm.primary_client import PrimaryClient
from devpi_forkbuilder.farm.recheck import FACTS
from devpi_forkbuilder.farm.remote_progress import RemoteLog, RemoteProgress
from devpi_forkbuilder.farm.tickets import WorkRefusedError
from devpi_forkbuilder.pipeline.build_source import NoSource
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.checkout.checkout import Checkout
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.pipeline.git.credential_helper import Secret
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.protocols import BuildProgress, CancelledError
from devpi_forkbuilder.pipeline.tracing import current_trace, traced

OLD_RELEASE = 426
log = logging.getLogger(__name__)


class HandedBackError(Exception):
    """This worker does not build the order; it is queued again."""


class GivenToken(IndexTokens):
    """The login that the primary gave for one attempt; it ends with that."""

    def __init__(self, password: str) -> None:
        super().__init__()
        self._secret = Secret(password)

    @contextlib.contextmanager
    def issue(self, index: str) -> Iterator[Secret]:  # noqa: ARG002  (IndexTokens)
        """The login, whatever the index: the primary knows which one it is good for."""
        yield self._secret


class ShippedSource(NoSource):
    """What the primary has fetched (the protocol `BuildSource`); `facts` are what its git knows of the commit.

    Versions are judged, and sources are kept, by the primary.
    """

    def __init__(self, client: PrimaryClient, facts: Mapping[str, Any]) -> None:
        self.client, self.facts = client, facts

    def place(self, order: Order, into: Path, progress: BuildProgress) -> Checkout:  # noqa: ARG002  (BuildSource)
        """See `BuildSource.place`. Raises InfrastructureError (`source-broken`)."""
        try:
            with self.client.source() as archive:
                source_archive.unpack(archive, into)
        except WorkRefusedError:
            raise CancelledError from None
        except tarfile.TarError as error:
            what = f"The source that the primary sent cannot be unpacked: {error}."
            raise InfrastructureError("source-broken", what, retryable=True) from error
        project = into / order.pin.subdirectory if order.pin.subdirectory else into
        seconds, untagged = int(self.facts["commit_time"]), bool(self.facts["untagged"])
        return Checkout(into, project, str(self.facts["commit"]), str(self.facts["tree"]), seconds, untagged)

    def variables(self, order: Order, source: Checkout, watch: TransferWatch) -> tuple[tuple[str, str], ...]:  # noqa: ARG002  (BuildSource)
        """What the primary found that the back end has to know."""
        return tuple((str(key), str(value)) for key, value in self.facts["variables"])


class FarmWorker:
    """Builds what it is offered, with `builder`, for the primary at the URL `primary`. Threads may share it."""

    def __init__(
        self, primary: str, announcement: Announcement, builder: WheelBuilder, stopping: threading.Event
    ) -> None:
        self._primary, self._announcement, self._builder = primary, announcement, builder
        self._stopping = stopping
        self.refused = ""
        """Why the primary does not want this worker at all."""

    def build(self, offer: str) -> None:
        """Take the order of `offer`, build it and send the result. Raises HandedBackError when somebody else has to."""
        if self._stopping.is_set():
            raise HandedBackError
        try:
            client = PrimaryClient(self._primary, offer, self._stopping.is_set).take(self._announcement.document())
        except WorkRefusedError as refused:
            if refused.status == OLD_RELEASE:
                self.refused = refused.message
                self._stopping.set()
                raise HandedBackError from None
            log.info("an offer was left: %s", refused.message)
            return
        except ForkbuilderError as fault:
            log.warning("%s", fault)
            raise HandedBackError from None
        self._attempt(client)

    def _attempt(self, client: PrimaryClient) -> None:
        over, began = threading.Event(), time.monotonic()
        try:
            document = client.order()
            order = order_of(document, self._primary)
            with traced(TraceParent.parse(str(document.get("trace", "")))):
                trace = current_trace().trace_id
                log.info("building %s at %s, trace %s", order.pin.name, order.pin.commit7, trace)
                with RemoteLog(client, over) as lines:
                    self._make(client, document, order, RemoteProgress(client, lines, over, self._stopping))
                log.info("sent %s after %.0f seconds, trace %s", order.pin.name, time.monotonic() - began, trace)
        except (WorkRefusedError, CancelledError) as ended:
            self._given_up(client, over, ended)
        except ForkbuilderError as error:
            log.info("failed: %s", error.what)
            with contextlib.suppress(WorkRefusedError, ForkbuilderError):
                client.failed(failure_document(error))

    def _given_up(self, client: PrimaryClient, over: threading.Event, ended: Exception) -> None:
        if self._stopping.is_set() and not over.is_set():
            with contextlib.suppress(WorkRefusedError, ForkbuilderError):
                client.handed_back()
            raise HandedBackError
        log.info("given up: %s", ended if isinstance(ended, WorkRefusedError) else "the primary wants it no more")

    def _make(self, client: PrimaryClient, document: Mapping[str, Any], order: Order, progress: RemoteProgress) -> None:
        builder = replace(
            self._builder,
            source=ShippedSource(client, document["source"]),
            index_tokens=GivenToken(str(document["login"]["password"])),
        )
        progress.log.say(f"worker {self._announcement.name}, {builder.identity}")
        with builder.build(order, progress) as built:
            progress.log.flush()
            for artefact in built.artefacts:
                client.file(artefact.path)
            known = built.provenance
            facts = {name: known[name] for name in (*FACTS, "built_version") if name in known}
            client.done(facts)
