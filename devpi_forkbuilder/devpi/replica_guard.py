"""Before a replica fetches, it compares the last change that it has with the primary's: their histories must be one.

devpi compares identities and serials. A primary that was restored from an older backup has the same identity, and
after a while serials as high as before: replicas went on with other changes under the same numbers (seen with 6.20.3).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from devpi_server.fileutil import dumps, loads

from devpi_forkbuilder.devpi.names import SEVEN
from devpi_forkbuilder.domain.health import Check
from devpi_forkbuilder.service.replica.client import PrimaryUnreachableError

log = logging.getLogger(__name__)

RECENT = 1.0
"""Seconds after a good answer within which no other server can have come up in the primary's place."""
BEHIND = 60.0
"""Seconds for which a replica may lack what its primary has."""
ANEW = "Recreate this replica: stop it, remove its server directory, and start it with the same options."


class Changelog(Protocol):
    """The primary, as far as its history goes; see `devpi.primary.PrimaryServer`."""

    @property
    def url(self) -> str:
        """Its root."""

    def change(self, serial: int) -> tuple[int, bytes]:
        """Status and body of the answer to the question for one change. Raises UnreachableError."""


@dataclass(frozen=True, slots=True)
class HistoryVerdict:
    """What the last look at the primary said: `following`, `unknown`, `unreachable`, `refused` or `diverged`."""

    kind: str
    message: str = ""


class ReplicaGuard:
    """Stands in front of `fetch_multi` of devpi's replica thread, which is the only user of `fetch`."""

    def __init__(self, xom: Any, primary: Changelog, clock: Callable[[], float] = time.monotonic) -> None:
        self._xom = xom
        self._primary = primary
        self._clock = clock
        self._good = float("-inf")
        self._fetch: Callable[[int], Any] = lambda _serial: False
        self.verdict = HistoryVerdict("unknown", "The primary was not asked yet.")

    @property
    def diverged(self) -> bool:
        """Whether this replica has another history than its primary."""
        return self.verdict.kind == "diverged"

    def install(self) -> None:
        """Take the place of devpi's `fetch_multi`. Nothing where another process replicates."""
        thread = getattr(self._xom, "replica_thread", None)
        if thread is not None:
            self._fetch, thread.fetch_multi = thread.fetch_multi, self.fetch

    def fetch(self, serial: int) -> bool:
        """devpi's contract: fetch the changes from `serial` on; False when there was an error."""
        if self._clock() - self._good > RECENT:
            self._tell(self._look(serial - 1))
            if self.verdict.kind != "following":
                return False
        fetched = bool(self._fetch(serial))
        self._good = self._clock() if fetched else float("-inf")
        return fetched

    def check(self) -> Check:
        """Whether requests should be sent here: not to one that was refused, diverged, lags, or has nothing yet.

        A primary that cannot be reached is not a reason: what is here is served without it.
        """
        verdict = self.verdict
        if verdict.kind in {"refused", "diverged"}:
            return Check("replica", ok=False, message=verdict.message)
        thread = getattr(self._xom, "replica_thread", None)
        own = self._xom.keyfs.get_current_serial()
        known = None if thread is None else thread.get_primary_serial()
        if own < 0 or (thread is not None and self._catching_up(thread, own, known)):
            return Check("replica", ok=False, message=f"What {self._primary.url} has is still on its way here.")
        lag = time.time() - max(_moments(thread), default=0.0)
        if known is not None and own < known and lag > BEHIND and verdict.kind == "following":
            what = f"{known - own} changes of {self._primary.url} have not come for {lag:.0f} seconds."
            return Check("replica", ok=False, message=what)
        return Check("replica", ok=True, message=verdict.message)

    def _catching_up(self, thread: Any, own: int, known: int | None) -> bool:
        """Whether this replica was never as far as its primary since its start, and can still get there."""
        if self.verdict.kind == "unknown":
            return True
        behind = known is None or own < known
        return self.verdict.kind == "following" and behind and thread.replica_metadata_in_sync_at is None

    def _look(self, serial: int) -> HistoryVerdict:
        try:
            status, body = self._primary.change(max(serial, 0))
        except PrimaryUnreachableError as error:
            return HistoryVerdict("unreachable", error.what)
        if status in {400, 401, 403}:
            return HistoryVerdict("refused", self._refusal(status, body))
        if serial >= 0 and status in {202, 404}:
            what = f"The primary at {self._primary.url} has fewer changes than this replica ({serial}): it was restored"
            return HistoryVerdict("diverged", f"{what} from an older backup, or another server was promoted. {ANEW}")
        if serial >= 0 and status == 200 and not self._same(serial, body):
            what = f"Change {serial} of the primary at {self._primary.url} is not the one that this replica has."
            return HistoryVerdict("diverged", f"{what} {ANEW}")
        return HistoryVerdict("following")

    def _same(self, serial: int, theirs: bytes) -> bool:
        if not theirs:
            return False
        with self._xom.keyfs.get_connection() as connection:
            own = stored_change(connection, serial)
        return own is None or own == theirs or bool(loads(own)[0] == loads(theirs)[0])

    def _refusal(self, status: int, body: bytes) -> str:
        if status == 400 and b"primary_uuid" in body:
            return (
                f"The server at {self._primary.url} is another one than this replica's primary was. A replica that was"
                f" made the primary keeps the identity with `devpi-forkbuilder promote`. {ANEW}"
            )
        return (
            f"The server at {self._primary.url} does not take this one for a replica ({status}): it has another secret,"
            " or is not a primary."
        )

    def _tell(self, verdict: HistoryVerdict) -> None:
        if verdict != self.verdict and verdict.message:
            log.error("%s", verdict.message)
        self.verdict = verdict


def stored_change(connection: Any, serial: int) -> bytes | None:
    """Return a change as devpi sends it to a replica; None when it is not here."""
    if SEVEN:
        changes = list(connection.iter_serializable_changes(serial))
        return bytes(dumps((changes, []))) if changes else None
    raw: bytes | None = connection.get_raw_changelog_entry(serial)
    return raw


def _moments(thread: Any) -> list[float]:
    """When this replica was, for all it knew, as far as its primary, and when it began."""
    return [at for at in (thread.replica_metadata_in_sync_at, thread.started_at) if at is not None]
