"""The primary's desk for workers: who has which order, what they may do with it, and which workers there are.

All members may be called by any thread; what changes a parcel runs in the thread of the builder that waits for it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from devpi_forkbuilder import __version__
from devpi_forkbuilder.domain.compat.targets import ServerTargets
from devpi_forkbuilder.domain.pins.orders import Order, OrderKey
from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.farm.farm_targets import farm_targets
from devpi_forkbuilder.farm.order_document import Announcement, failure_in
from devpi_forkbuilder.farm.parcel import LOG_LIMIT, MOST_FILES, SHA256, Attempt, Parcel, Sent
from devpi_forkbuilder.farm.recheck import refused
from devpi_forkbuilder.farm.tickets import NOBODY, OFFER, Ticket, TicketKey, WorkRefusedError
from devpi_forkbuilder.pipeline.artifacts.collect import FILENAME
from devpi_forkbuilder.pipeline.frontend.index_tokens import USER, IndexTokens
from devpi_forkbuilder.pipeline.protocols import BuildProgress

FORGOTTEN = 90.0
"""Seconds after which a worker that was not heard of is none."""
ALIVE = 15.0
"""Seconds since the last word of a worker, which speaks three times as often, in which nobody takes its order: the
engine may queue an order again only because a database was away."""
OFFER_LIFE = 10 * 365 * 24 * 3600
"""Seconds that an offer is good for; it ends with its order, however long that waits."""
ENTERED = frozenset({State.BUILDING})
"""States that a worker may tell of; the others are the primary's own."""


@dataclass(slots=True)
class _Open:
    """A parcel that somebody waits for, `since` a moment of the monotonic clock. `sent` is its result, `failure` what a
    worker says instead.
    """

    parcel: Parcel
    order: Order
    progress: BuildProgress
    since: float
    tokens: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    sent: Sent | None = None
    failure: ForkbuilderError | None = None

    @property
    def target(self) -> str:
        """What builds it, as `ServerTargets` calls it."""
        return self.order.python if " " in self.order.python else self.parcel.python


@dataclass(frozen=True, slots=True)
class KnownWorker:
    """A worker that was heard of; `seen` in seconds of the monotonic clock."""

    announcement: Announcement
    seen: float


@dataclass(frozen=True, slots=True)
class FarmFigures:
    """Workers, orders that they build, and the seconds that each other order has waited, by its queue."""

    workers: int
    building: int
    waits: Mapping[str, tuple[float, ...]]


class WorkDesk:
    """Knows what is out, and judges every ticket. `limit` is the longest that one attempt may take, in seconds."""

    def __init__(self, key: bytes, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.index_tokens = IndexTokens()
        self._key, self._limit, self._clock = TicketKey(key), limit, clock
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._workers: dict[str, KnownWorker] = {}

    def offer(self, parcel: Parcel) -> str:
        """What the queue is given for `parcel`: it lets a worker take it."""
        return self._key.sign(Ticket(parcel.number, OFFER, NOBODY, int(self._clock()) + OFFER_LIFE))

    @contextlib.contextmanager
    def open(self, parcel: Parcel, order: Order, progress: BuildProgress) -> Iterator[None]:
        """Answer workers for `parcel` until the context ends."""
        entry = _Open(parcel, order, progress, self._clock())
        with self._lock:
            self._open[parcel.number] = entry
        try:
            yield
        finally:
            with self._lock:
                del self._open[parcel.number]
            parcel.close()
            entry.tokens.close()

    def result(self, parcel: Parcel) -> Sent | None:
        """What was sent for `parcel`, when a worker says that it is done. Raises the failure that it tells instead."""
        entry = self._open[parcel.number]
        if entry.failure is not None:
            raise entry.failure
        return entry.sent

    def heard(self, announcement: Announcement) -> None:
        """A worker says of itself that it is there."""
        with self._lock:
            self._workers[announcement.name] = KnownWorker(announcement, self._clock())

    def workers(self) -> tuple[Announcement, ...]:
        """Those that were heard of lately, of this release."""
        since = self._clock() - FORGOTTEN
        with self._lock:
            return tuple(
                one.announcement
                for _, one in sorted(self._workers.items())
                if one.seen >= since and one.announcement.release == __version__
            )

    def building(self) -> Mapping[str, tuple[Order, ...]]:
        """What each worker builds now."""
        found: dict[str, tuple[Order, ...]] = {}
        with self._lock:
            for entry in self._open.values():
                if (attempt := entry.parcel.current) is not None:
                    found[attempt.worker] = (*found.get(attempt.worker, ()), entry.order)
        return found

    def builder_of(self, key: OrderKey) -> str:
        """The worker that builds the order of `key` now; empty when none does."""
        return next((name for name, orders in self.building().items() if any(one.key == key for one in orders)), "")

    def targets(self, own: ServerTargets) -> ServerTargets:
        """What the workers build for: `own` platform with their interpreters, or `own` as long as there is none, and
        others.
        """
        return farm_targets(own, self.workers())

    def figures(self) -> FarmFigures:
        """How much is out now."""
        with self._lock:
            entries = list(self._open.values())
        workers = self.workers()
        waits: dict[str, list[float]] = {queue: [] for worker in workers for queue in worker.queues}
        for entry in entries:
            if entry.parcel.current is None:
                waits.setdefault(entry.parcel.queue_name, []).append(self._clock() - entry.since)
        building = sum(entry.parcel.current is not None for entry in entries)
        return FarmFigures(len(workers), building, {queue: tuple(found) for queue, found in sorted(waits.items())})

    def take(self, text: str, document: object) -> dict[str, Any]:
        """Give the order of an offer to the worker that `document` announces; whoever had it has it no more."""
        ticket = self._key.read(text, self._clock())
        try:
            announcement = Announcement.read(document)
        except ValueError as error:
            raise WorkRefusedError(422, str(error)) from None
        if announcement.release != __version__:
            raise WorkRefusedError(
                426,
                f"This server runs devpi-forkbuilder {__version__}, the worker {announcement.name} has "
                f"{announcement.release}: install the same release there.",
            )
        entry = self._entry(ticket)
        if ticket.attempt != OFFER:
            raise WorkRefusedError(403, "An order is taken with its offer.")
        if entry.parcel.queue_name not in announcement.queues:
            raise WorkRefusedError(422, f"{announcement.name} does not build for {entry.parcel.queue_name}.")
        self.heard(announcement)
        return entry.parcel.call(lambda: self._begin(entry, announcement.name))

    def order(self, text: str) -> dict[str, Any]:
        """The order of a ticket, with a login for the index that has its requirements."""
        entry, ticket = self._known(text)
        attempt = entry.parcel.attempt_of(ticket)
        return {**entry.parcel.document, "login": {"user": USER, "password": attempt.secret}}

    def source(self, text: str) -> Path:
        """The archive of the order's source."""
        entry, ticket = self._known(text)
        entry.parcel.attempt_of(ticket)
        return entry.parcel.archive

    def log(self, text: str, data: bytes) -> None:
        """Append `data` to the build's log; without any, the worker says that it lives."""

        def append(entry: _Open, attempt: Attempt) -> None:
            if not data:
                return
            attempt.log += len(data)
            if attempt.log > LOG_LIMIT:
                raise WorkRefusedError(413, "The log of this build is longer than this server keeps.")
            entry.progress.log.write(entry.parcel.masked(attempt, data))

        self._act(text, append)

    def state(self, text: str, state: str) -> None:
        """The build goes to `state`."""

        def enter(entry: _Open, _attempt: Attempt) -> None:
            if state not in {one.value for one in ENTERED}:
                raise WorkRefusedError(422, f"A worker does not say when a build is {state[:20]!r}.")
            try:
                entry.progress.enter(State(state))
            except ValueError as error:
                raise WorkRefusedError(422, str(error)) from None

        self._act(text, enter)

    def needs(self, text: str, requirements: tuple[str, ...]) -> None:
        """The build will install `requirements`; refused (409) when pins among them have to be built first."""
        self._act(text, lambda entry, _attempt: entry.progress.needs(requirements, entry.target))

    def health(self, text: str, requirements: tuple[str, ...], constraints: tuple[str, ...]) -> dict[str, Any]:
        """What the indexes say of `requirements`, which could not be installed."""

        def ask(entry: _Open, _attempt: Attempt) -> dict[str, Any]:
            found = entry.progress.index_health(requirements, constraints, entry.target)
            return {"fault": found.fault, "unmet": list(found.unmet)}

        return cast("dict[str, Any]", self._act(text, ask))

    def place_for(self, text: str, name: str) -> Path:
        """Where a file of the build's is written to before it is one: see `file`."""
        entry, ticket = self._known(text)
        attempt = entry.parcel.attempt_of(ticket)
        if not FILENAME.fullmatch(name) or not name.endswith((".whl", ".tar.gz")):
            raise WorkRefusedError(422, "The name is not that of a wheel or of a source distribution.")
        if len(attempt.files) >= MOST_FILES or name in attempt.files:
            raise WorkRefusedError(413, "A build has one wheel and at most one source distribution, each sent once.")
        return attempt.folder

    def file(self, text: str, name: str, part: Path, announced: str, sha256: str) -> None:
        """`part`, which is complete, is the file `name`. The attempt fails when its hash is not the `announced` one."""

        def add(entry: _Open, attempt: Attempt) -> None:
            if not SHA256.fullmatch(announced) or announced != sha256:
                self.revoke(entry.parcel)
                raise refused(attempt.worker, f"{name} has another hash than was announced.")
            if len(attempt.files) >= MOST_FILES or name in attempt.files:
                raise WorkRefusedError(413, "A build has one wheel and at most one source distribution.")
            part.replace(attempt.folder / name)
            attempt.files[name] = sha256

        self._act(text, add)

    def done(self, text: str, facts: object) -> None:
        """All files are sent."""

        def end(entry: _Open, attempt: Attempt) -> None:
            if not attempt.files or not isinstance(facts, dict):
                raise WorkRefusedError(422, "Nothing was sent.")
            reported = {str(name): str(value) for name, value in facts.items()}
            entry.sent = Sent(attempt.worker, attempt.folder, tuple(sorted(attempt.files)), reported)
            self.revoke(entry.parcel)

        self._act(text, end)

    def failed(self, text: str, document: object) -> None:
        """The build failed, as `document` says."""

        def end(entry: _Open, _attempt: Attempt) -> None:
            try:
                error = failure_in(document)
            except ValueError as odd:
                raise WorkRefusedError(422, str(odd)) from None
            entry.failure = error
            self.revoke(entry.parcel)

        self._act(text, end)

    def handed_back(self, text: str) -> None:
        """The worker stops, and does not build the order."""

        def back(entry: _Open, attempt: Attempt) -> None:
            entry.progress.log.say(f"the worker {attempt.worker} stops: another one builds it")
            self.revoke(entry.parcel)
            entry.progress.enter(State.QUEUED)

        self._act(text, back)

    def revoke(self, parcel: Parcel) -> None:
        """The current attempt of `parcel` is over. In the builder's thread only."""
        parcel.current = None
        entry = self._open.get(parcel.number)
        if entry is not None:
            entry.tokens.close()

    def _begin(self, entry: _Open, worker: str) -> dict[str, Any]:
        parcel, now = entry.parcel, self._clock()
        if parcel.over or entry.sent is not None or entry.failure is not None:
            raise WorkRefusedError(409, "The order of this ticket has ended.")
        if (before := parcel.current) is not None:
            if now - before.seen < ALIVE:
                raise WorkRefusedError(409, f"{before.worker} builds this order.")
            entry.progress.log.say(f"{worker} takes over from {before.worker}, which has it no more")
            self.revoke(parcel)
            entry.progress.enter(State.QUEUED)
        parcel.attempts += 1
        folder = parcel.staging / str(parcel.attempts)
        folder.mkdir()
        secret = entry.tokens.enter_context(self.index_tokens.issue(entry.order.index))
        parcel.current = Attempt(parcel.attempts, worker, folder, now, now, secret.reveal())
        entry.progress.log.say(f"taken by the worker {worker} (attempt {parcel.attempts})")
        entry.progress.enter(State.FETCHING)
        ticket = Ticket(parcel.number, parcel.attempts, worker, int(now + self._limit))
        return {"ticket": self._key.sign(ticket), "limit": self._limit}

    def _entry(self, ticket: Ticket) -> _Open:
        with self._lock:
            entry = self._open.get(ticket.order)
        if entry is None:
            raise WorkRefusedError(409, "The order of this ticket has ended.")
        return entry

    def _known(self, text: str) -> tuple[_Open, Ticket]:
        ticket = self._key.read(text, self._clock())
        return self._entry(ticket), ticket

    def _act(self, text: str, action: Callable[[_Open, Attempt], Any]) -> Any:
        """Run `action` in the builder's thread if the attempt of the ticket is the current one there."""
        entry, ticket = self._known(text)

        def run() -> Any:
            attempt = entry.parcel.attempt_of(ticket)
            attempt.seen = self._clock()
            return action(entry, attempt)

        return entry.parcel.call(run)
