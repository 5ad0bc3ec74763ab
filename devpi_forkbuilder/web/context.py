"""What the web layer works with; made once, in `plugin.py`, and kept in pyramid's registry as `forkbuilder`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from devpi_forkbuilder.devpi.lookup import Lookup
from devpi_forkbuilder.devpi.mirrors import MirrorPages
from devpi_forkbuilder.devpi.outlines import Outlines
from devpi_forkbuilder.devpi.pinned_builds import PinnedBuilds
from devpi_forkbuilder.devpi.replica_guard import ReplicaGuard
from devpi_forkbuilder.devpi.serial import LastSerial
from devpi_forkbuilder.devpi.server_facts import ServerFacts
from devpi_forkbuilder.domain.health import Health
from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.farm.desk import WorkDesk
from devpi_forkbuilder.pipeline.frontend.index_tokens import IndexTokens
from devpi_forkbuilder.service.changes import Changes
from devpi_forkbuilder.service.counters import BuildFigures
from devpi_forkbuilder.service.history import BuildHistory
from devpi_forkbuilder.service.identities import Identities
from devpi_forkbuilder.service.outlook import Outlook
from devpi_forkbuilder.service.overview import Overview
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.service.single_flight.flight import Flight
from devpi_forkbuilder.service.tidy.daily import DailyTidy
from devpi_forkbuilder.service.webhook import Webhook
from devpi_forkbuilder.web.page_cache.cache import PageCache
from devpi_forkbuilder.web.traffic import Traffic
from devpi_forkbuilder.web.waiting.client_address import ClientAddresses
from devpi_forkbuilder.web.waiting.seats import Seats

REGISTRY = "forkbuilder"


class Builds(Protocol):
    """The service as the web layer uses it; see `service.ForkService`."""

    @property
    def changes(self) -> Changes:
        """News of state changes."""

    @property
    def room_ahead(self) -> int:
        """How many orders may be asked for ahead of the clients now."""

    def ask(self, order: Order, *, force: bool = False, ahead: bool = False) -> Flight:
        """Join or start the work on an order, or leave it to idle workers. Never blocks, never raises."""

    def record(self, key: OrderKey) -> Record | None:
        """The latest snapshot."""

    def records_of(self, index: str, project: str | None = None) -> tuple[Record, ...]:
        """The latest snapshots of an index, or of one project on it."""

    def outlook(self, record: Record) -> Outlook:
        """The queue position of a build that has not ended, and the seconds until it does."""

    def overview(self) -> Overview:
        """What runs on which worker, and what waits, in turn."""

    def recent_failures(self, limit: int) -> tuple[Record, ...]:
        """The latest failures, the newest first."""

    def log_path(self, key: OrderKey) -> Path | None:
        """The log file, if there is one."""

    def tail(self, key: OrderKey, n_bytes: int) -> bytes:
        """The last whole lines of the log."""

    def stats(self) -> Mapping[str, int | float]:
        """Figures for metrics."""

    def figures(self) -> BuildFigures:
        """Figures with labels."""


class Forward(Protocol):
    """The primary, on a replica; see `devpi.primary.PrimaryServer`."""

    @property
    def url(self) -> str:
        """Its root, without credentials."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What devpi's own proxying of a write raises when the primary does not answer."""

    def forward(self, request: Any, patience: float) -> Any:
        """Its answer to a reading request that may wait for `patience` seconds; with 0 its `wait` is left out.

        Raises InfrastructureError.
        """

    def outside(self, request: Any) -> None:
        """Have the primary's answer to a write made with links to this server."""


class MetadataAnswers(Protocol):
    """Core metadata of wheels that are not here; see `devpi.simple.remote.RemoteMetadata`."""

    def find(self, path: str) -> Any | None:
        """The wheel at `path` (`USER/INDEX/+f/...`), if devpi has no metadata of it. Needs a transaction."""

    def get(self, wheel: Any) -> bytes | None:
        """Its metadata; None when only the whole wheel has it. Raises InfrastructureError."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long a request is kept, in seconds: without a byte, in all, and between two newlines."""

    hold: float = 3
    limit: float = 900
    beat: float = 5


@dataclass(frozen=True, slots=True)
class Context:
    """The parts that answer requests. `keyfs` is devpi's store, for transactions of our own, and `store` its serials.
    `pages` are kept pages.

    `metadata` is that of mirrors' wheels; `pinned` builds ahead of clients, where that is done. `forward`, `breaker`
    and `fetch`, which has the bytes of a file brought here, are there on a replica. `source` finds the archive of a
    URL's commit. `tier` says how builds are confined here, empty where none is run; `bounded` what is bounded for whole
    builds (`memory`, `pids`). `identities` computes names where builds are run. `index_tokens` are those of running
    builds, `farm` the desk for builders on other machines. `tidy` makes the passes of `gc`.
    `webhook` tells of builds that ended; `traffic` counts requests; `facts` are figures of disks and replicas;
    `history` is what charts are made of.
    """

    keyfs: Any
    store: LastSerial
    lookup: Lookup
    outlines: Outlines
    pages: PageCache
    builds: Builds
    policy: PinPolicy
    seats: Seats
    waiting: Waiting
    metadata: MetadataAnswers
    addresses: ClientAddresses = field(default_factory=ClientAddresses)
    cached_only: bool = False
    pinned: PinnedBuilds | None = None
    forward: Forward | None = None
    fetch: Callable[[str], None] | None = None
    mirrors: MirrorPages | None = None
    guard: ReplicaGuard | None = None
    health: Callable[[], Health] = lambda: Health(())
    breaker: Breaker | None = None
    source: Callable[[str, str], Path | None] = lambda _url, _commit: None
    tier: str = ""
    bounded: tuple[str, ...] = ()
    identities: Identities | None = None
    index_tokens: IndexTokens = field(default_factory=IndexTokens)
    farm: WorkDesk | None = None
    tidy: DailyTidy | None = None
    webhook: Webhook | None = None
    traffic: Traffic = field(default_factory=Traffic)
    facts: Callable[[], ServerFacts] = ServerFacts
    history: BuildHistory = field(default_factory=lambda: BuildHistory(None))

    def stopped(self) -> bool:
        """Whether this server has stopped serving: a replica whose history is not its primary's."""
        return self.guard is not None and self.guard.diverged
