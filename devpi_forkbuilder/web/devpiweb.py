"""devpi-web's page of an index (`/{user}/{index}`), which shows the newest release of each project.

A pinned project is registered before it has a release, and devpi-web 5.0 to 5.1 asks for the release anyway: 500. Its
view gets only projects that have one, where there is a view by that name; the list of projects in devpi's API is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devpi_forkbuilder.devpi.index import RELEASED_ONLY

View = Callable[[Any, Any], Any]
INDEX_VIEW = ("devpi_web.views", "index_get")


def released_only(view: View, info: Any) -> View:
    """Mark the requests of devpi-web's index view; pyramid's contract of a view deriver."""
    original = info.original_view
    if (getattr(original, "__module__", ""), getattr(original, "__name__", "")) != INDEX_VIEW:
        return view

    def marked(context: Any, request: Any) -> Any:
        request.environ[RELEASED_ONLY] = True
        return view(context, request)

    return marked
