"""A response from a template (Chameleon, which escapes what is put into it), framed as devpi-web frames its pages."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from cachetools import LRUCache, cached
from chameleon import PageTemplateLoader
from pyramid.response import Response

from devpi_forkbuilder.web.html.assets import asset_url
from devpi_forkbuilder.web.html.rows import PinRow

TEMPLATES = PageTemplateLoader(str(Path(__file__).parent.parent / "templates"), ".pt")
MOST = 32 * 2**20
"""Characters of rows that are kept."""
DISPLAY_NONE = "'unsafe-hashes' 'sha256-ZdHxw9eWtnxUb3mk6tBS+gIiVUPE3pGM470keHPDFlE='"
"""Allows the attribute `style="display: none"`, which devpi-web's header has, and no other."""
HEADERS = {
    # Should anything of a fork get through the escaping, it is still no script and sends nothing anywhere.
    "Content-Security-Policy": (
        f"default-src 'none'; script-src 'self'; style-src 'self' {DISPLAY_NONE}; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
    "Vary": "Accept, Authorization, Cookie",
}


def page(request: Any, template: str, title: str, **values: Any) -> Any:
    """The whole page: `template` (a name in `web/templates`, without `.pt`) with `values`."""
    macros = request.registry.get("macros")
    body = partial(part, template, request=request, **values)
    text = TEMPLATES["frame"].render(
        request=request, macros=macros, title=title, body=body, asset=partial(asset_url, request)
    )
    return _html(text)


def partial_page(request: Any, template: str, **values: Any) -> Any:
    """A part of a page, for the script to put in its place."""
    return _html(part(template, request=request, **values))


def part(template: str, **values: Any) -> str:
    """The HTML of a template in another one, which has to put it in as `structure`."""
    return TEMPLATES[template].render(include=part, **values)


@cached(LRUCache(MOST, getsizeof=len), lock=Lock())
def row_html(row: PinRow, columns: tuple[str, ...], may_build: bool) -> str:
    """The HTML of a pin's row; what was rendered for an equal one is taken again."""
    return part("row", row=row, columns=columns, may_build=may_build)


def _html(text: str) -> Any:
    response = Response(text, content_type="text/html", charset="utf-8")
    response.headers.update(HEADERS)
    return response
