"""The pages of public projects: which mirrors one depends on, and how they are fetched.

devpi waits `--request-timeout` seconds (5) for a page of a mirror, leaves the mirror out when that was too short, and
answers 404 when nothing else has the project (seen with 6.20.3): installers go on to another index, or fail. Here a
page is fetched in a thread of its own for as long as it takes, and a mirror that has not answered is known as such.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from devpi_server.replica import H_REPLICA_UUID

from devpi_forkbuilder.devpi.batched_postgres import batch
from devpi_forkbuilder.devpi.mirror_files import has_page
from devpi_forkbuilder.devpi.names import SEVEN, UpstreamError, UpstreamNotFoundError, is_mirror, mirrored_url
from devpi_forkbuilder.errors import InfrastructureError

log = logging.getLogger(__name__)

PATIENCE = 60.0
"""Seconds for one try: until the first byte, between two bytes, and until a replica has the page's transaction."""
QUICK = 2.0
"""A try that fails within so many seconds was refused; one that took longer ran into some time-out, and is repeated."""
REMEMBERED = 60.0
"""Seconds for which "there is no such project" counts as an answer, whatever the mirror's expiry."""


def is_replicas(request: Any) -> bool:
    """Whether a replica asks, which needs the serial in the answer's head: it cannot be given a stream."""
    return H_REPLICA_UUID in request.headers


class Fetch:
    """One fetch of a mirror's page, which any number of requests may wait for."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self.error: InfrastructureError | None = None

    def wait(self, seconds: float) -> bool:
        """Whether it has ended, within that time."""
        return self._ended.wait(max(0.0, seconds))

    def end(self, error: InfrastructureError | None = None) -> None:
        """Tell everybody who waits."""
        self.error = error
        self._ended.set()


class MirrorPages:
    """Pages of mirrors, each fetched once for all who ask at the same time. May be used by several threads.

    `limit` is the longest time of a fetch, in seconds; `most` how many run at once.
    """

    def __init__(self, xom: Any, limit: float, most: int) -> None:
        self._xom = xom
        self._limit = limit
        self._most = most
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], Fetch] = {}

    def needed(self, user: str, index: str, project: str, *, chained: bool = False) -> tuple[str, ...]:
        """Names of the mirrors that a page (of a normalized name) depends on. Needs a transaction.

        Follows devpi's rule: a project of an index of our own hides those of mirrors. These are mirrors of public
        indexes, or with `chained` those of another devpi's, see `web.waiting.chain`.
        """
        stage = self._xom.model.getstage(user, index)
        bases = list(stage.sro()) if stage is not None else []
        own = (base for base in bases if not is_mirror(base))
        if any(base.has_project_perstage(project) for base in own):
            return ()
        mirrors = (base for base in bases if is_mirror(base))
        return tuple(base.name for base in mirrors if _chained(base) == chained)

    def unheard(self, mirrors: tuple[str, ...], project: str) -> tuple[str, ...]:
        """Those of the mirrors that have said nothing of the project yet. Needs a transaction."""
        return tuple(name for name in mirrors if not _heard(self._xom.model.getstage(name), project))

    def fetch(self, mirror: str, project: str) -> Fetch | None:
        """Start or join the fetch of a page; None when too many are running."""
        key = (mirror, project)
        with self._lock:
            fetch = self._running.get(key)
            if fetch is not None:
                return fetch
            if len(self._running) >= self._most:
                return None
            fetch = self._running[key] = Fetch()
        threading.Thread(target=self._run, args=(key, fetch), name=f"forkbuilder-mirror-{project}", daemon=True).start()
        return fetch

    def _run(self, key: tuple[str, str], fetch: Fetch) -> None:
        error: InfrastructureError | None = None
        try:
            repeat(lambda: self._try(*key), self._limit)
        except UpstreamError as cause:
            error = _silent(*key, str(cause))
        except Exception as cause:
            log.exception("the page of %s could not be fetched from %s", key[1], key[0])
            error = _silent(*key, type(cause).__name__)
        finally:
            with self._lock:
                del self._running[key]
            fetch.end(error)

    def _try(self, mirror: str, project: str) -> None:
        with self._xom.keyfs.read_transaction():
            stage = self._xom.model.getstage(mirror)
            if stage is None or not is_mirror(stage):
                return
            stage.timeout = min(PATIENCE, self._limit)  # this transaction's stage alone
            stage.http.http = _PatientClient(stage.http.http, stage.timeout)
            if not SEVEN:  # which stores a page's links together itself
                stage._update_simplelinks = partial(self._store, stage._update_simplelinks)
            stage.get_simplelinks_perstage(project)

    def _store(self, store: Callable[..., Any], project: str, info: Any, *links: Any) -> Any:
        """devpi's storing of a page that has come, its links together where that is faster."""
        if self._xom.is_replica():
            return store(project, info, *links)
        with self._xom.keyfs.write_transaction(allow_restart=True) as transaction:
            batch(transaction, {href.partition("#")[0] for _, href in info.key_hrefs})
            return store(project, info, *links)


class _PatientClient:
    """devpi's HTTP client with another time-out between two bytes than `--request-timeout`."""

    def __init__(self, client: Any, timeout: float) -> None:
        self._client = client
        self._timeout = timeout

    async def async_get(self, url: Any, **more: Any) -> Any:
        """As devpi's."""
        return await self._client.async_get(url, **{**more, "timeout": self._timeout})


def repeat(work: Callable[[], None], limit: float) -> None:
    """Do `work` again while it ends by a time-out, `limit` seconds at most. Raises its UpstreamError."""
    deadline = monotonic() + limit
    while True:
        begun = monotonic()
        try:
            return work()
        except UpstreamNotFoundError:
            return None
        except UpstreamError:
            now = monotonic()
            if now - begun < QUICK or now > deadline:
                raise


def _heard(mirror: Any, project: str) -> bool:
    if not mirror.cache_retrieve_times.is_expired(project, max(REMEMBERED, mirror.cache_expiry)):
        return True  # in memory, where the links of a large project take milliseconds to be read
    return has_page(mirror, project)


def _chained(mirror: Any) -> bool:
    return "/+simple" in mirrored_url(mirror)


def _silent(mirror: str, project: str, cause: str) -> InfrastructureError:
    log.warning("the page of %s could not be fetched from %s: %s", project, mirror, cause)
    what = f"The page of {project} did not come from what {mirror} mirrors."
    return InfrastructureError("upstream-silent", what, next_step="Check the upstream server, and ask again.")
