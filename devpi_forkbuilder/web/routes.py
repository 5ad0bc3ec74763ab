"""Which view answers which URL, and which tween stands where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyramid.events import BeforeRender
from pyramid.tweens import MAIN

from devpi_forkbuilder.devpi.lookup import CACHED
from devpi_forkbuilder.web.api.badge import BadgeView
from devpi_forkbuilder.web.api.identity import identity_view
from devpi_forkbuilder.web.api.logs import LogsView
from devpi_forkbuilder.web.api.metrics import metrics_view
from devpi_forkbuilder.web.api.source import SourceView
from devpi_forkbuilder.web.api.views import ApiError, ForksView, api_error
from devpi_forkbuilder.web.devpiweb import lead_to_forks, released_only
from devpi_forkbuilder.web.health import live_view, ready_view
from devpi_forkbuilder.web.html.assets import asset_view
from devpi_forkbuilder.web.html.build import BuildPage
from devpi_forkbuilder.web.html.forks import HTML, ForksPage
from devpi_forkbuilder.web.html.operators import OperatorsPage

FORKS = "/{user:[^+/]+}/{index:[^+/]+}/+forks"
PROJECT = FORKS + "/{project:[^+/]+}"
COMMIT = PROJECT + "/{commit:[0-9a-f]+}"
READING = ("GET", "HEAD")
VIEWS: tuple[tuple[str, str, object, str | None, str | tuple[str, ...]], ...] = (
    ("forks", FORKS, ForksView, "states", READING),
    ("forks/", FORKS + "/", ForksView, "states", READING),
    ("forks-identity", FORKS + "/+identity", identity_view, None, "POST"),
    ("forks-project", PROJECT, ForksView, "states", READING),
    ("forks-badge", PROJECT + "/badge.svg", BadgeView, "badge", READING),
    ("forks-build", PROJECT + "/build", ForksView, "build", "POST"),
    ("forks-again", PROJECT + "/again", ForksPage, "again", "POST"),
    ("forks-miss", PROJECT + "/miss", ForksView, "miss", "POST"),
    ("forks-log", COMMIT + "/log", LogsView, "log", READING),
    ("forks-live", COMMIT + "/live", BuildPage, "live", READING),
    ("forks-commit-badge", COMMIT + "/badge.svg", BadgeView, "badge", READING),
    ("forks-source", COMMIT + "/source", SourceView, "source", READING),
    ("forks-failed", COMMIT + "/failed/{stage}/{filename}", LogsView, "failed", READING),
    ("forkbuilder-live", "/+forkbuilder/live", live_view, None, READING),
    ("forkbuilder-ready", "/+forkbuilder/ready", ready_view, None, READING),
    ("forkbuilder-metrics", "/+forkbuilder/metrics", metrics_view, None, READING),
    ("forkbuilder", "/+forkbuilder", OperatorsPage, "operators", READING),
    ("forkbuilder-static", "/+forkbuilder/static/{name}", asset_view, None, READING),
)
"""Route name, pattern, view, the view class's method, request methods."""
PAGES: tuple[tuple[str, type, str], ...] = (
    ("forks", ForksPage, "index_page"),
    ("forks/", ForksPage, "index_page"),
    ("forks-project", BuildPage, "project_page"),
    ("forks-log", BuildPage, "log_page"),
)
"""Route name, view and its method, for browsers: who asks for HTML."""


@dataclass(frozen=True, slots=True)
class Tween:
    """A tween by its dotted name, and why it stands where it does."""

    name: str
    reason: str


LOGGING = "devpi_server.views.tween_request_logging"
TRANSACTION = "devpi_server.views.tween_keyfs_transaction"
INNERMOST = Tween(
    "devpi_forkbuilder.web.page_cache.finished.tween_note",
    "inside devpi's transaction, where everything that the view reads can be seen",
)
TWEENS = (
    Tween(
        "devpi_forkbuilder.web.health.tween_health",
        "before everything: it answers when the rest cannot, and keeps a replica that has diverged from serving",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.work.tween_work",
        "before everything that looks at changes or opens a transaction: files of builders come in over minutes",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.trace.tween_trace",
        "before everything that may start a build, so that its log lines have the request's trace",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.forward.tween_forward",
        "first: what the primary answers to a view of builds is not touched on a replica",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.readonly.tween_readonly",
        "before everything that may start or change something here",
    ),
    Tween(
        "devpi_forkbuilder.web.waiting.longpoll.tween_longpoll",
        "outside the transaction: a wait inside would keep a snapshot of the past open",
    ),
    Tween(
        "devpi_forkbuilder.web.page_cache.validators.tween_pages",
        "outside all that changes a page: its ETag is of the body that goes out, and so is the page that is kept",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.metadata.tween_metadata",
        "outside the transaction: it asks upstream or the primary; outside offline: what was read once is here",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.ranges.tween_ranges",
        "outside the view: it sends a part of the file that the view has opened",
    ),
    Tween(
        "devpi_forkbuilder.web.tweens.offline.tween_offline",
        "outside the miss: a page with placeholders also says which public files are not here",
    ),
    Tween(
        "devpi_forkbuilder.web.public_pages.tween_public_pages",
        "outside the miss, so that the page that it waits for may have pins too",
    ),
    Tween(
        "devpi_forkbuilder.web.miss.tween.tween_miss",
        "just outside the transaction: it waits for builds, and lets devpi's view answer in a fresh transaction",
    ),
    INNERMOST,
)
"""From the request inwards. All but the last are between devpi's request log and devpi's transaction."""


def includeme(config: Any) -> None:
    """Routes, views and tweens; pyramid's `config.include` contract."""
    for name, pattern, view, attribute, methods in VIEWS:
        config.add_route(name, pattern)
        config.add_view(view, attr=attribute, route_name=name, request_method=methods)
    for name, page, attribute in PAGES:
        config.add_view(page, attr=attribute, route_name=name, request_method=READING, header=HTML)
    # The tween serves these. devpi's +authcheck, which login pages in front of devpi ask, forbids what has no route.
    config.add_route("forks-cached", f"/{{user:[^+/]+}}/{{index:[^+/]+}}/{CACHED}{{rest:(/.*)?}}")
    config.add_view_deriver(released_only)
    config.add_subscriber(lead_to_forks, BeforeRender)
    config.add_exception_view(api_error, context=ApiError)
    add_tweens(config)


def add_tweens(config: Any) -> None:
    """Add the tweens in the order of TWEENS; pyramid puts each as near to the request as its constraints allow."""
    outer = LOGGING
    for place, tween in enumerate(TWEENS):
        inside = place >= TWEENS.index(INNERMOST)
        below = (TRANSACTION, MAIN) if not inside else (MAIN,)
        config.add_tween(tween.name, under=(outer, TRANSACTION) if inside else outer, over=below)
        outer = tween.name
