"""The style sheet and the script of our pages, at `/+forkbuilder/static/{name}`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response

FOLDER = Path(__file__).parent.parent / "static"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
YEAR = 365 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Asset:
    """A file; `version` changes with its content."""

    content: bytes
    content_type: str
    version: str


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(content, TYPES[path.suffix], hashlib.sha256(content).hexdigest()[:12])


ASSETS = {path.name: _read(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


def asset_url(request: Any, name: str) -> str:
    """The URL under which browsers may keep the file `name` for good."""
    return f"{request.application_url}/+forkbuilder/static/{name}?v={ASSETS[name].version}"


def asset_view(request: Any) -> Any:
    """The file; kept by browsers only under the version that it has."""
    asset = ASSETS.get(request.matchdict["name"])
    if asset is None:
        raise HTTPNotFound("There is no such file.")
    response = Response(asset.content, content_type=asset.content_type, charset="utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.etag = asset.version
    if request.params.get("v") == asset.version:
        response.cache_control = f"public, max-age={YEAR}, immutable"
    else:
        response.cache_control = "no-cache"
    response.conditional_response = True
    return response
