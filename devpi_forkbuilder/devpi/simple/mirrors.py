"""Listens to devpi's reading of upstream's simple pages, and keeps what devpi itself does not.

devpi 6 and 7 keep the links, `requires-python` and `yanked`. The page is read once: `_async_fetch_releaselinks` of
devpi's mirror is wrapped, because devpi has no hook for it. A devpi without that method is left as it is.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from devpi_forkbuilder.devpi.names import MirrorStage, read_url
from devpi_forkbuilder.devpi.simple.catalog import catalog_of
from devpi_forkbuilder.domain.simple.file_facts import read_facts

log = logging.getLogger(__name__)

FETCH = "_async_fetch_releaselinks"


class ListeningClient:
    """A mirror's HTTP client that remembers the last page that it read."""

    def __init__(self, client: Any, *, whole: bool) -> None:
        self._client = client
        self._whole = whole
        self.page: tuple[str, str, str] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def async_get(self, url: Any, **more: Any) -> Any:
        """The client's answer. With `whole`, one that is "not modified" is not asked for."""
        if self._whole:
            headers = more.get("extra_headers") or {}
            more["extra_headers"] = {name: value for name, value in headers.items() if name != "If-None-Match"}
        response, text = await self._client.async_get(url, **more)
        if response.status_code == 200 and text is not None:
            self.page = (text, response.headers.get("content-type", ""), str(response.url))
        return response, text


def listen() -> None:
    """Wrap devpi's mirror class, once in each process."""
    original = getattr(MirrorStage, FETCH, None)
    if original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    async def fetch(stage: Any, future: Any, project: str, *more: Any, **named: Any) -> None:
        catalog = catalog_of(stage.xom)
        if catalog is None:
            await _read(original, stage, future, project, *more, **named)
            return
        page = (stage.name, str(project))
        client = ListeningClient(stage.http, whole=not catalog.store.revision(page))
        stage.http = client
        try:
            await _read(original, stage, future, project, *more, **named)
        finally:
            stage.http = client._client
        if client.page is not None:
            learn(catalog, page, client.page)

    setattr(MirrorStage, FETCH, fetch)


async def _read(original: Any, stage: Any, *more: Any, **named: Any) -> None:
    """devpi's own reading; an answer that is not a simple page is the upstream server's fault, not a 500 of this one.

    Raises UpstreamError for it, as for a status that says so.
    """
    try:
        await original(stage, *more, **named)
    except stage.UpstreamNotModified as error:
        if error.etag is not None:
            raise
        raise stage.UpstreamError("304 status without anything to be the same as") from error
    except (ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        raise stage.UpstreamError(f"the answer of {read_url(stage)} is not a simple page") from error


def learn(catalog: Any, page: tuple[str, str], answer: tuple[str, str, str]) -> None:
    """Keep what upstream's page says. Never raises: devpi's own reading must not suffer from ours."""
    try:
        catalog.store.set_page(page, read_facts(*answer))
    except ValueError as error:
        log.warning("what %s says of %s was not kept: %s", answer[2], page[1], error)
