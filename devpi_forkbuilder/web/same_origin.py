"""Requests that change something have to come from our own pages, or from no browser at all.

Browsers send a login that they know (HTTP basic, a cookie) with forms of any site. They also say where one came from:
`Sec-Fetch-Site` (Fetch Metadata), and `Origin` where that is not known (RFC 6454). Programs send neither.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

OWN = frozenset({"same-origin", "none"})


def from_elsewhere(request: Any) -> bool:
    """Whether a browser sends the request for a page of another site."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in OWN
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    own = {urlsplit(request.application_url).netloc, request.host}
    return urlsplit(origin).netloc not in own
