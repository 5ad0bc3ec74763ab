"""devpi-web's pages of an index, a project and a version: they lead to ours.

Its page of an index (`/{user}/{index}`) shows the newest release of each project.

A pinned project is registered before it has a release, and devpi-web 5.0 to 5.1 asks for the release anyway: 500. Its
view gets only projects that have one, where there is a view by that name; the list of projects in devpi's API is whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from devpi_forkbuilder.devpi.fork_indexes import fork_index_behind
from devpi_forkbuilder.devpi.index import RELEASED_ONLY
from devpi_forkbuilder.devpi.requests import may_read
from devpi_forkbuilder.web.api.states import record_for, state_of
from devpi_forkbuilder.web.context import REGISTRY, Context

View = Callable[[Any, Any], Any]
INDEX_VIEW = ("devpi_web.views", "index_get")
INDEX_TEMPLATE = "templates/index.pt"
PROJECT_TEMPLATES = frozenset({"templates/project.pt", "templates/version.pt"})
LINKED = "forkbuilder.linked"


def released_only(view: View, info: Any) -> View:
    """Mark the requests of devpi-web's index view; pyramid's contract of a view deriver."""
    original = info.original_view
    if (getattr(original, "__module__", ""), getattr(original, "__name__", "")) != INDEX_VIEW:
        return view

    def marked(context: Any, request: Any) -> Any:
        request.environ[RELEASED_ONLY] = True
        return view(context, request)

    return marked


def lead_to_forks(event: Any) -> None:
    """Add links to what devpi-web is about to show, in places that it has for them; pyramid's event `BeforeRender`.

    An index gets one more breadcrumb; a project and a version get one more link beside that to the simple index.
    """
    request, values, name = event.get("request"), event.rendering_val, event.get("renderer_name")
    if request is None or not isinstance(values, dict) or not hasattr(request, "navigation_info"):
        return
    if (name != INDEX_TEMPLATE and name not in PROJECT_TEMPLATES) or request.environ.setdefault(LINKED, name) != name:
        return
    user, index = (request.matchdict or {}).get("user"), (request.matchdict or {}).get("index")
    if user is None or index is None:
        return
    if name == INDEX_TEMPLATE:
        found = fork_index_behind(request.registry["xom"], user, index)
        if found is not None and may_read(request, *found.split("/")):
            path = request.navigation_info["path"]
            path.append({"url": f"{request.application_url}/{quote(found)}/+forks", "title": "forks"})
    elif isinstance(values.get("nav_links"), list):
        values["nav_links"] += _project_links(request, user, index)


def _project_links(request: Any, user: str, index: str) -> list[dict[str, str]]:
    """A link to each index that pins the project, with its state there."""
    context: Context = request.registry[REGISTRY]
    project, found = request.context.project, dict[str, list[str]]()
    for one in context.lookup.of_page(user, index, project):
        owner = one.order.index
        if may_read(request, *owner.split("/")):
            record = record_for(one, context.builds.records_of(owner, one.pin.name))
            found.setdefault(owner, []).append(state_of(one, record).value)
    return [
        {
            "url": f"{request.application_url}/{quote(owner)}/+forks/{quote(project)}",
            "title": f"Fork of {owner}: {', '.join(states)}",
        }
        for owner, states in found.items()
    ]
