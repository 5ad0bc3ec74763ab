"""Repositories that were renamed: where a host sends git, and whether git may follow.

Code hosts answer the old URL of a renamed repository or organization with a redirect to the new one, which git follows
for its first request (git-config(1), `http.followRedirects`). Here git follows none by itself, for a redirect can lead
into a private network; one that stays on scheme, host and port of the pinned URL is followed, if policy allows its URL.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from devpi_forkbuilder.domain.pins.urls import url_faults

LOCATION = re.compile(rb"<= [Rr]ecv header: [Ll]ocation: (\S+)")
DISCOVERY = "/info/refs?service=git-upload-pack"
"""What git adds to a repository's URL in its first request (gitprotocol-http(5), "Smart Clients")."""
MOST = 3
"""Redirects in a row: renamed, then moved to another organization, then renamed again."""


def moved_to(url: str, trace: bytes) -> str | None:
    """Return the URL to which the host of `url` sends git, from git's trace; None when it is not one of its own."""
    found = LOCATION.findall(trace)
    location = found[-1].decode("latin-1") if found else ""
    if location.startswith("/"):
        location = "{0.scheme}://{0.netloc}{1}".format(urlsplit(url), location)
    if not location.endswith(DISCOVERY):
        return None
    target = location.removesuffix(DISCOVERY)
    if target == url or url_faults(target) or urlsplit(target)[:2] != urlsplit(url)[:2]:
        return None
    return target
