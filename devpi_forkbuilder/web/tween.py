"""The miss: a request for a project's simple page for which a pin has no usable file.

The tween stands outside devpi's transaction, so it can wait for a build and then let devpi's own view answer from a
fresh one. A request that has nothing to do with a pin goes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pyramid.httpexceptions import HTTPException, HTTPServiceUnavailable

from devpi_forkbuilder.devpi.lookup import CACHED, Pinned
from devpi_forkbuilder.devpi.offline import is_offline
from devpi_forkbuilder.devpi.requests import (
    by_installer,
    caching_devpi,
    client_of,
    everybody_reads,
    forbidden,
    may_read,
    wants_json,
)
from devpi_forkbuilder.domain.placeholders import Placeholder
from devpi_forkbuilder.web.ahead import read_ahead
from devpi_forkbuilder.web.chain import chained_page
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.hold import HeldPage
from devpi_forkbuilder.web.kept import KEEP, UNPINNED
from devpi_forkbuilder.web.outcome import Miss, never_built, placeholders_of, unservable
from devpi_forkbuilder.web.pages import with_placeholders
from devpi_forkbuilder.web.paths import PageRequest, as_simple, page_request

Handler = Callable[[Any], Any]
RETRY_AFTER = 5


def tween_miss(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract: called once with the next handler, gives the handler to use."""
    context: Context = registry[REGISTRY]

    def answer(request: Any) -> Any:
        asked = page_request(request.path_info, by_installer(request)) if request.method == "GET" else None
        simple = as_simple(request.path_info)
        if simple != request.path_info:
            return _cached(context, handler, request, simple, asked)
        if asked is None or request.environ.get(UNPINNED):
            return handler(request)
        return _page(context, handler, request, asked)

    def refusing(request: Any) -> Any:
        """devpi raises what it has to say to a login that is none; nothing above this tween would answer with it."""
        try:
            return answer(request)
        except HTTPException as refusal:
            return refusal

    return refusing


def _cached(context: Context, handler: Handler, request: Any, simple: str, asked: PageRequest | None) -> Any:
    """`+cached` is `+simple` to devpi; a redirect to a project's normalized name stays on `+cached`."""
    request.path_info = simple
    response = handler(request) if asked is None else _page(context, handler, request, asked)
    if response.location is not None:
        response.location = response.location.replace("/+simple", f"/{CACHED}", 1)
    return response


def _page(context: Context, handler: Handler, request: Any, asked: PageRequest) -> Any:
    with context.keyfs.read_transaction():
        pinned = context.lookup.of_page(asked.user, asked.index, asked.name, client_of(request))
        readable = _readable(request, asked, pinned)
        if pinned and not readable:
            return forbidden(request)
        missing = [one for one in readable if one.missing]
        chained = not pinned and context.lookup.chained(asked.user, asked.index)
        settled = not missing and context.lookup.settled(asked.user, asked.index, asked.name)
        # who asks is no part of what a kept page is filed under
        settled = settled and all(everybody_reads(request, *index) for index in _indexes(asked, pinned))
    request.environ[UNPINNED] = not pinned and not chained
    request.environ[KEEP] = settled and (by_installer(request) or wants_json(request))
    if chained:
        return chained_page(context, handler, request, (asked.user, asked.index, asked.name))
    if not missing:
        return _finished(handler, request, unservable(readable), pinned=bool(pinned))
    unbuilt = [one for one in missing if not one.built]
    if unbuilt and (asked.cached_only or context.cached_only):
        if caching_devpi(request):
            return _busy(f"{unbuilt[0].pin.project} is not built.")
        return _finished(
            handler, request, never_built(unbuilt, offline=is_offline(request.registry)) + unservable(readable)
        )
    misses = [Miss(one, context.builds.ask(one.order)) for one in missing]
    if context.builds.room_ahead:
        with context.keyfs.read_transaction():
            read_ahead(context, misses)
    ended = partial(_ended, context, handler, request, asked, misses)
    return _missed(context, request, misses, ended)


def _readable(request: Any, asked: PageRequest, pinned: Iterable[Pinned]) -> list[Pinned]:
    """The pins that the request's user may know of: an open index does not open its bases. Needs a transaction."""
    if not may_read(request, asked.user, asked.index):
        return []
    return [one for one in pinned if may_read(request, *one.order.index.split("/"))]


def _indexes(asked: PageRequest, pinned: Iterable[Pinned]) -> set[tuple[str, ...]]:
    """The indexes, as user and name, that a page tells of."""
    return {(asked.user, asked.index), *(tuple(one.order.index.split("/")) for one in pinned)}


def _missed(context: Context, request: Any, misses: list[Miss], ended: Callable[[], Any]) -> Any:
    """Wait in a seat. `ended` gives the answer when there is nothing to wait for any more."""
    if all(miss.flight.done for miss in misses):
        return ended()
    if not context.seats.take():
        return _busy("Too many requests wait for builds.")
    return HeldPage(context, request, misses, ended).answer(ended)


def _ended(context: Context, handler: Handler, request: Any, asked: PageRequest, misses: list[Miss]) -> Any:
    with context.keyfs.read_transaction():
        # what was built may turn out not to fit: only a build tells whether a wheel serves everybody
        pinned = context.lookup.of_page(asked.user, asked.index, asked.name, client_of(request))
        readable = _readable(request, asked, pinned)
    placeholders = placeholders_of(misses) + unservable(readable)
    if placeholders and caching_devpi(request):
        # a devpi that caches this page would keep the failure for half an hour after it was mended
        return _busy(f"The build of {misses[0].pinned.pin.project} failed.")
    return _finished(handler, request, placeholders)


def _finished(handler: Handler, request: Any, placeholders: list[Placeholder], *, pinned: bool = True) -> Any:
    response = handler(request)
    if pinned and response.status_int == 200:
        response.cache_control = "no-cache"
        if placeholders:
            response.body = with_placeholders(response.body, response.content_type, request.path_info, placeholders)
    return response


def _busy(reason: str) -> Any:
    response = HTTPServiceUnavailable(f"{reason} Ask again.")
    response.retry_after = RETRY_AFTER
    return response
