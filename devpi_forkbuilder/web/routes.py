"""Which view answers which URL."""

from __future__ import annotations

from typing import Any

from devpi_forkbuilder.devpi.lookup import CACHED
from devpi_forkbuilder.web.api import ApiError, ForksView, api_error
from devpi_forkbuilder.web.devpiweb import released_only
from devpi_forkbuilder.web.logs import LogsView
from devpi_forkbuilder.web.metrics import metrics_view
from devpi_forkbuilder.web.source import SourceView

FORKS = "/{user:[^+/]+}/{index:[^+/]+}/+forks"
PROJECT = FORKS + "/{project:[^+/]+}"
COMMIT = PROJECT + "/{commit:[0-9a-f]+}"
READING = ("GET", "HEAD")
VIEWS: tuple[tuple[str, str, object, str | None, str | tuple[str, ...]], ...] = (
    ("forks", FORKS, ForksView, "states", READING),
    ("forks/", FORKS + "/", ForksView, "states", READING),
    ("forks-project", PROJECT, ForksView, "states", READING),
    ("forks-build", PROJECT + "/build", ForksView, "build", "POST"),
    ("forks-miss", PROJECT + "/miss", ForksView, "miss", "POST"),
    ("forks-log", COMMIT + "/log", LogsView, "log", READING),
    ("forks-source", COMMIT + "/source", SourceView, "source", READING),
    ("forks-failed", COMMIT + "/failed/{stage}/{filename}", LogsView, "failed", READING),
    ("forkbuilder-metrics", "/+forkbuilder/metrics", metrics_view, None, READING),
)
"""Route name, pattern, view, the view class's method, request methods."""


def includeme(config: Any) -> None:
    """Routes, views and tweens; pyramid's `config.include` contract."""
    for name, pattern, view, attribute, methods in VIEWS:
        config.add_route(name, pattern)
        config.add_view(view, attr=attribute, route_name=name, request_method=methods)
    # The tween serves these. devpi's +authcheck, which login pages in front of devpi ask, forbids what has no route.
    config.add_route("forks-cached", f"/{{user:[^+/]+}}/{{index:[^+/]+}}/{CACHED}{{rest:(/.*)?}}")
    config.add_view_deriver(released_only)
    config.add_exception_view(api_error, context=ApiError)
    for tween in (
        "readonly.tween_readonly",
        "tween.tween_miss",
        "offline.tween_offline",
        "ranges.tween_ranges",
        "longpoll.tween_longpoll",
        "forward.tween_forward",
    ):
        config.add_tween(
            f"devpi_forkbuilder.web.{tween}",
            over="devpi_server.views.tween_keyfs_transaction",
            under="devpi_server.views.tween_request_logging",
        )
    # metadata of a wheel that is not here is here all the same, and offline as well
    config.add_tween(
        "devpi_forkbuilder.web.metadata.tween_metadata",
        over="devpi_forkbuilder.web.offline.tween_offline",
        under="devpi_server.views.tween_request_logging",
    )
