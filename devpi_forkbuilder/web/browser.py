"""What a browser gets at `/` and `/{user}/{index}` where devpi-web is not installed: the way to our pages.

devpi-server itself answers 404 there, since its views give JSON only.
"""

from __future__ import annotations

from html import escape
from typing import Any

from pyramid.httpexceptions import HTTPFound, HTTPNotFound
from pyramid.response import Response

from devpi_forkbuilder.devpi.fork_indexes import fork_indexes, is_fork_index
from devpi_forkbuilder.devpi.requests import may_read

WEB = "devpi-web"
BROWSERS = "Accept:.*text/html"
"""Only who names HTML: `*/*`, as curl sends it, keeps getting devpi's JSON."""
PAGE = """\
<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>
{body}
<p>pip install --index-url {root}/USER/INDEX/+simple/ NAME</p>
</body></html>
"""


def includeme(config: Any) -> None:
    """Views for devpi's own routes; pyramid's `config.include` contract."""
    common = {"request_method": ("GET", "HEAD"), "header": BROWSERS, "accept": "text/html"}
    config.add_view(root_view, route_name="/", **common)
    config.add_view(index_view, route_name="/{user}/{index}", **common)


def root_view(request: Any) -> Any:
    """The one index of forks, or a list of those that the request's user may read."""
    found = [f"{user}/{name}" for user, name in fork_indexes(_xom(request)) if may_read(request, user, name)]
    if len(found) == 1:
        return _away(f"{request.application_url}/{found[0]}/+forks")
    links = "".join(f'<li><a href="{escape(name)}/+forks">{escape(name)}</a></li>\n' for name in found)
    body = f"<ul>\n{links}</ul>" if found else "<p>There is no index of forks that you may read.</p>"
    return _page(request, "Indexes of forks", body)


def index_view(request: Any) -> Any:
    """The forks of an index; of any other one its simple page. Users who may not read it get an error there."""
    user, index = request.matchdict["user"], request.matchdict["index"]
    if _xom(request).model.getstage(user, index) is None:
        raise HTTPNotFound(f"There is no index {user}/{index}.")
    page = "+forks" if is_fork_index(_xom(request), user, index) else "+simple/"
    return _away(f"{request.application_url}/{user}/{index}/{page}")


def _xom(request: Any) -> Any:
    return request.registry["xom"]


def _away(url: str) -> Any:
    response = HTTPFound(location=url)
    response.cache_control = "no-cache"
    return response


def _page(request: Any, title: str, body: str) -> Any:
    text = PAGE.format(title=escape(title), body=body, root=escape(request.application_url))
    response = Response(text, content_type="text/html", charset="utf-8")
    response.headers["Content-Security-Policy"] = "default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.cache_control = "no-cache"
    return response
