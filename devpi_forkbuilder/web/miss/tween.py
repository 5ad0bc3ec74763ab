"""The miss: a request for a project's simple page for which a pin has no usable file.

The tween stands outside devpi's transaction, so it can wait for a build and then let devpi's own view answer from a
fresh one. A request that has nothing to do with a pin goes through untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyramid.httpexceptions import HTTPException

from devpi_forkbuilder.devpi.lookup import CACHED, Pinned
from devpi_forkbuilder.devpi.offline import is_offline
from devpi_forkbuilder.devpi.requests import (
    by_installer,
    caching_devpi,
    client_of,
    forbidden,
    may_read,
)
from devpi_forkbuilder.devpi.store_facts import Facts, Reading
from devpi_forkbuilder.domain.simple.placeholders import Placeholder
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.miss.outcome import Miss, never_built, placeholders_of, unservable, waiting_in_line
from devpi_forkbuilder.web.miss.read_ahead import read_ahead
from devpi_forkbuilder.web.page_cache.finished import rest_on
from devpi_forkbuilder.web.pages import with_placeholders
from devpi_forkbuilder.web.paths import PageRequest, as_simple, page_request
from devpi_forkbuilder.web.waiting.busy import busy_unavailable
from devpi_forkbuilder.web.waiting.chain import ChainedPage
from devpi_forkbuilder.web.waiting.hold import HeldPage
from devpi_forkbuilder.web.waiting.waiter import answer

Handler = Callable[[Any], Any]


def tween_miss(handler: Handler, registry: Any) -> Handler:
    """The tween; pyramid's contract: called once with the next handler, gives the handler to use."""
    context: Context = registry[REGISTRY]

    def respond(request: Any) -> Any:
        asked = page_request(request.path_info, by_installer(request)) if request.method == "GET" else None
        simple = as_simple(request.path_info)
        if simple != request.path_info:
            return _cached(context, handler, request, simple, asked)
        return handler(request) if asked is None else _page(context, handler, request, asked)

    def refusing(request: Any) -> Any:
        """devpi raises what it has to say to a login that is none; nothing above this tween would answer with it."""
        try:
            return respond(request)
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
    outline = context.outlines.of(asked.user, asked.index)
    if outline is None:
        return handler(request)
    if not outline.pins(asked.name):
        if outline.chained:
            page = ChainedPage(context, request, handler, (asked.user, asked.index, asked.name), outline.facts)
            return answer(context, context.addresses.of(request.environ), page, page.hold)
        return _resting_on(handler(request), outline.facts)
    return _pinned_page(context, handler, request, asked)


def _pinned_page(context: Context, handler: Handler, request: Any, asked: PageRequest) -> Any:
    look = _look(context, request, asked)
    if look.pinned and not look.readable:
        return forbidden(request)
    missing = [one for one in look.readable if one.missing]
    unbuilt = [one for one in missing if not one.built]
    if not missing:
        context.traffic.hit()
        return _finished(handler, request, unservable(look.readable), look)
    context.traffic.miss()
    if unbuilt and (asked.cached_only or context.cached_only):
        if caching_devpi(request):
            return busy_unavailable(context, f"{unbuilt[0].pin.project} is not built.")
        placeholders = never_built(unbuilt, offline=is_offline(request.registry)) + unservable(look.readable)
        return _finished(handler, request, placeholders, look)
    misses = [Miss(one, context.builds.ask(one.order)) for one in missing]
    if context.builds.room_ahead:
        with context.keyfs.read_transaction():
            read_ahead(context, misses)
    return _missed(context, handler, request, asked, look, misses)


@dataclass(frozen=True, slots=True)
class _Look:
    """The pins behind a page, those of them that the request's user may know of, and what that rests on."""

    pinned: tuple[Pinned, ...]
    readable: list[Pinned]
    facts: Facts | None


def _look(context: Context, request: Any, asked: PageRequest) -> _Look:
    with context.keyfs.read_transaction():
        reading = Reading(context.keyfs)
        pinned = context.lookup.of_page(asked.user, asked.index, asked.name, client_of(request))
        return _Look(pinned, _readable(request, asked, pinned), reading.facts())


def _resting_on(response: Any, facts: Facts | None) -> Any:
    rest_on(response, facts)
    return response


def _readable(request: Any, asked: PageRequest, pinned: Iterable[Pinned]) -> list[Pinned]:
    """The pins that the request's user may know of: an open index does not open its bases. Needs a transaction."""
    if not may_read(request, asked.user, asked.index):
        return []
    return [one for one in pinned if may_read(request, *one.order.index.split("/"))]


def _missed(
    context: Context, handler: Handler, request: Any, asked: PageRequest, look: _Look, misses: list[Miss]
) -> Any:
    """Wait for the builds in a seat."""

    def busy() -> Any:
        if caching_devpi(request):
            return busy_unavailable(context, "Too many requests wait for builds.")
        return _finished(handler, request, waiting_in_line(misses) + unservable(look.readable), look)

    ended = partial(_ended, context, handler, request, asked, misses)
    if all(miss.flight.done for miss in misses):
        return ended()
    page = HeldPage(context, request, misses, ended=ended, busy=busy)
    return answer(context, context.addresses.of(request.environ), page, page.hold)


def _ended(context: Context, handler: Handler, request: Any, asked: PageRequest, misses: list[Miss]) -> Any:
    # what was built may turn out not to fit: only a build tells whether a wheel serves everybody
    look = _look(context, request, asked)
    # a flight of the same group may have been joined, and what it made may not fit
    followed = {miss.flight.key for miss in misses}
    lacking = [one for one in look.readable if one.missing and one.order.key not in followed]
    misses = [*misses, *(Miss(one, context.builds.ask(one.order)) for one in lacking)]
    placeholders = placeholders_of(misses) + unservable(look.readable)
    if placeholders and caching_devpi(request):
        # a devpi that caches this page would keep the failure for half an hour after it was fixed
        return busy_unavailable(context, f"The build of {misses[0].pinned.pin.project} failed.")
    return _finished(handler, request, placeholders, look)


def _finished(handler: Handler, request: Any, placeholders: list[Placeholder], look: _Look) -> Any:
    response = handler(request)
    if response.status_int == 200:
        response.headers["Cache-Control"] = "no-store" if placeholders else "no-cache"
        if placeholders:
            response.body = with_placeholders(response.body, response.content_type, request.path_info, placeholders)
    return _resting_on(response, None if placeholders else look.facts)
