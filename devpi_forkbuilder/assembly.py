"""The one place where the parts are put together."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from devpi_forkbuilder.commands.up.secretfiles import read_secret
from devpi_forkbuilder.devpi.answers import own_url
from devpi_forkbuilder.devpi.cluster_lock import ClusterLocks
from devpi_forkbuilder.devpi.health import HealthProbes, Probe, disk_probe, store_probe, tier_probe, worker_probe
from devpi_forkbuilder.devpi.lookup import Lookup
from devpi_forkbuilder.devpi.mirrors import MirrorPages
from devpi_forkbuilder.devpi.outlines import Outlines
from devpi_forkbuilder.devpi.pinned_builds import PinnedBuilds
from devpi_forkbuilder.devpi.primary import PrimaryServer
from devpi_forkbuilder.devpi.releases import Releases
from devpi_forkbuilder.devpi.replica_guard import ReplicaGuard
from devpi_forkbuilder.devpi.replication import Replication
from devpi_forkbuilder.devpi.server_facts import server_facts
from devpi_forkbuilder.devpi.simple.catalog import equip
from devpi_forkbuilder.devpi.simple.remote import RemoteMetadata
from devpi_forkbuilder.devpi.tidy.shelves import daily_tidy
from devpi_forkbuilder.domain.pins.orders import OrderKey
from devpi_forkbuilder.farm.builder import FarmBuilder
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.git.archive_store import Sources
from devpi_forkbuilder.pipeline.late_builder import LateBuilder, Unable
from devpi_forkbuilder.pipeline.process.build_log import BuildLog
from devpi_forkbuilder.pipeline.process.private import closed, private_file, private_folder
from devpi_forkbuilder.pipeline.protocols import Builder
from devpi_forkbuilder.pipeline.sandbox.cgroup_box import bounded
from devpi_forkbuilder.service.clock import SystemClock
from devpi_forkbuilder.service.history import BuildHistory
from devpi_forkbuilder.service.identities import Identities
from devpi_forkbuilder.service.records import Record, Records
from devpi_forkbuilder.service.replica.breaker import Breaker
from devpi_forkbuilder.service.replica.service import RemoteService
from devpi_forkbuilder.service.service import ForkService
from devpi_forkbuilder.service.webhook import Webhook
from devpi_forkbuilder.web.context import Builds, Context, Waiting
from devpi_forkbuilder.web.page_cache.cache import PageCache
from devpi_forkbuilder.web.waiting.client_address import ClientAddresses
from devpi_forkbuilder.web.waiting.seats import Seats

log = logging.getLogger(__name__)

LAST_ANSWERS = 5.0
"""Seconds that held requests have for their last page when the server stops."""
LAST_BYTES = 0.2
PRIVATE = ("logs", "mirrors", "sources", "uv-cache", "git-home")
"""Folders of --forkbuilder-dir that no build and no other user has to enter."""
CONNECTIONS = 100
"""Open connections that waitress allows by default (its argument `connection_limit`)."""


class Service(Protocol):
    """What is started and stopped with the server."""

    def start(self) -> Iterable[OrderKey]:
        """Begin; the keys of what an earlier end left undone."""

    def stop(self) -> None:
        """End; waiting requests are released."""


class ServiceThread:
    """The service under devpi's thread pool: started and stopped with the server.

    An exception that left `thread_run` would stop the server, and the pool joins nothing: so it only waits.
    """

    def __init__(self, service: Service, context: Context) -> None:
        self._service = service
        self._context = context
        self._over = threading.Event()

    def thread_run(self) -> None:
        """Start the workers, ask again for what was under way when the server ended, and wait for the end."""
        try:
            resume(self._context, self._service.start())
            if self._context.pinned is not None:
                self._context.pinned.start()
            if self._context.tidy is not None:
                self._context.tidy.start()
            if self._context.webhook is not None:
                self._context.webhook.start()
        except Exception:
            log.exception("the build service did not start")
        self._over.wait()

    def thread_shutdown(self) -> None:
        """Stop the workers: running builds are ended and will be wanted again; held answers get their end."""
        held = self._context.seats.taken > 0
        if self._context.pinned is not None:
            self._context.pinned.stop()
        if self._context.tidy is not None:
            self._context.tidy.stop()
        if self._context.webhook is not None:
            self._context.webhook.stop()
        if self._context.identities is not None:
            self._context.identities.stop()
        self._service.stop()
        if held and self._context.seats.wait_until_empty(LAST_ANSWERS):
            # devpi's server thread still runs, and writes the end of an answer after it has closed its body
            time.sleep(LAST_BYTES)
        self._context.store.close()
        self._context.history.add_pages(self._context.traffic.take_hours())
        self._context.history.close()
        self._over.set()


def resume(context: Context, keys: Iterable[OrderKey]) -> None:
    """Ask for the orders of `keys` that are still pinned and not built."""
    context.lookup.server_targets()  # interpreters are asked what they are before a request has to wait for that
    with context.keyfs.read_transaction():
        for key in keys:
            user, index = key.index.split("/")
            for one in context.lookup.of_index(user, index, key.project, key.python) or ():
                if one.order.key == key and one.missing and not context.cached_only:
                    context.builds.ask(one.order)


def assemble(xom: Any, options: Options, builder: Builder) -> tuple[Context, ForkService]:
    """The context of the web layer, and the service behind it, not started yet."""
    with suppress(OSError):  # the records say so, and do without
        options.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_folders(options.folder)
    lookup = Lookup(xom, own_url(xom.config.args), builder.server_targets)
    history = BuildHistory(options.folder / "history.sqlite")
    webhook = webhook_of(options)
    service = ForkService(
        builder=builder,
        publisher=Releases(xom, builder.server_targets, lookup.needs),
        records=Records(options.folder / "records.sqlite"),
        logs=options.folder / "logs",
        open_log=BuildLog,
        clock=SystemClock(),
        workers=options.workers,
        read_ahead=options.read_ahead,
        claim=ClusterLocks(xom),
        ended=_both(history.ended, webhook.ended) if webhook is not None else history.ended,
    )
    probes = [] if options.cached_only else [tier_probe(lambda: unable(builder)), worker_probe(lambda: service.working)]
    works = (builder.work,) if isinstance(builder, WheelBuilder) else ()
    context = _context(xom, options, service, lookup, *probes, works=works)
    pinned = None if options.cached_only else PinnedBuilds(xom, lookup, partial(service.ask, ahead=True))
    context = replace(context, tier=tier_of(builder), bounded=bounded_by(builder), pinned=pinned, webhook=webhook)
    context = replace(context, identities=Identities(builder.identify), history=history)
    if isinstance(builder, FarmBuilder):
        context = replace(context, farm=builder.desk)
    if isinstance(builder, (WheelBuilder, LateBuilder, FarmBuilder)):
        context = replace(context, index_tokens=builder.index_tokens)
    return context, service


def _both(first: Callable[[Record], None], second: Callable[[Record], None]) -> Callable[[Record], None]:
    """One call for two that hear of the same."""

    def ended(record: Record) -> None:
        first(record)
        second(record)

    return ended


def webhook_of(options: Options) -> Webhook | None:
    """What tells the operator's URL, where there is one. Its secret is made unless a file is named.

    Raises RefusedError when the file cannot be read, and OSError when none can be made.
    """
    if options.webhook is None:
        return None
    path = options.webhook_secret
    if path is None:
        path = private_file(options.folder / "webhook-secret")
        if not path.stat().st_size:
            path.write_text(f"{secrets.token_hex(32)}\n", encoding="ascii")
    return Webhook(options.webhook, read_secret(str(path), "--forkbuilder-webhook-secret").encode(), SystemClock())


def unable(builder: Builder) -> str:
    """Why `builder` builds nothing; empty when it does."""
    return builder.reason.what if isinstance(builder, (Unable, LateBuilder)) and builder.reason else ""


def tier_of(builder: Builder) -> str:
    """How `builder` confines builds, as shown in the status."""
    if isinstance(builder, FarmBuilder):
        return "farm"
    return builder.equipment.sandbox.name if isinstance(builder, WheelBuilder) else "unavailable"


def bounded_by(builder: Builder) -> tuple[str, ...]:
    """What `builder` bounds for whole builds, as shown in the status."""
    return bounded(builder.equipment.sandbox) if isinstance(builder, WheelBuilder) else ()


def assemble_replica(xom: Any, options: Options) -> tuple[Context, RemoteService]:
    """The same for a replica: its service builds nothing and talks to the primary."""
    primary, clock = PrimaryServer(xom), SystemClock()
    breaker = Breaker(clock)
    replication = Replication(xom)
    service = RemoteService(primary=primary, store=replication, clock=clock, breaker=breaker)
    lookup = Lookup(xom, own_url(xom.config.args))
    guard = ReplicaGuard(xom, primary)
    guard.install()
    context = _context(xom, options, service, lookup, guard.check)
    return replace(context, forward=primary, breaker=breaker, fetch=replication.fetch, guard=guard), service


def _context(
    xom: Any, options: Options, builds: Builds, lookup: Lookup, *probes: Probe, works: tuple[Path, ...] = ()
) -> Context:
    disk = disk_probe((xom.config.server_path, options.folder), options.disk_floor)
    store = lookup.store
    seats = Seats(seats_of(xom.config.args))
    return Context(
        keyfs=xom.keyfs,
        store=store,
        lookup=lookup,
        outlines=Outlines(xom, store),
        pages=PageCache(store),
        builds=builds,
        policy=options.policy,
        seats=seats,
        health=HealthProbes((store_probe(xom), disk, *probes)).health,
        mirrors=MirrorPages(xom, options.wait, seats.limit),
        waiting=Waiting(options.hold, options.wait),
        addresses=ClientAddresses(options.trusted_proxies),
        metadata=RemoteMetadata(xom, equip(xom, options.folder / "simple.sqlite")),
        cached_only=options.cached_only,
        source=Sources(options.folder / "sources").find,
        facts=partial(server_facts, xom, options.folder),
        tidy=daily_tidy(xom, options.folder, options.tidy, options.gc_interval, works),
    )


def seats_of(args: Any) -> int:
    """How many requests may be held, from devpi's arguments: half of what it serves at once.

    That is bounded by its threads and by its connections; at the limit of those it does not even listen.
    """
    connections = args.connection_limit or CONNECTIONS
    return max(1, int(min(args.threads, connections)) // 2)


def close_folders(folder: Path) -> None:
    """Close what is kept in `folder` to other users, also where --forkbuilder-dir is in a folder that is open to them.

    Not the folder itself: the tier `uid` lets builds pass through it, and an administrator may have made it.
    """
    try:
        for name in PRIVATE:
            private_folder(folder / name)
        private_file(folder / "records.sqlite")
        for more in folder.glob("records.sqlite-*"):
            closed(more)
    except OSError as error:
        log.warning("%s cannot be closed to other users: %s", folder, error.strerror)
