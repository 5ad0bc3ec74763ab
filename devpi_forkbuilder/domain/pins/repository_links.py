"""Where a browser finds a repository and its commit, for the hosts that many use (pure)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

GITHUB = "{repository}/commit/{commit}"
GITLAB = "{repository}/-/commit/{commit}"
BITBUCKET = "{repository}/commits/{commit}"
HOSTS = (
    (re.compile(r"github\.com|github\..+"), GITHUB),
    (re.compile(r"gitlab\.com|gitlab\..+"), GITLAB),
    (re.compile(r"bitbucket\.org"), BITBUCKET),
    (re.compile(r"codeberg\.org|(gitea|forgejo)\..+"), GITHUB),
)
"""Host names (of self-hosted servers, those that say what runs there) and their pattern of a commit's page."""


@dataclass(frozen=True, slots=True)
class RepositoryLinks:
    """URLs of web pages; None where the host is not known to have one."""

    repository: str | None = None
    commit: str | None = None


def repository_links(url: str, commit: str) -> RepositoryLinks:
    """Return the pages of the repository at `url` (a pin's, without `git+`) and of its `commit`."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return RepositoryLinks()
    path = parts.path.strip("/").removesuffix(".git")
    pattern = next((pattern for name, pattern in HOSTS if name.fullmatch(host)), None)
    if pattern is None or parts.scheme not in {"https", "http", "ssh"} or "/" not in path:
        return RepositoryLinks()
    scheme = "http" if parts.scheme == "http" else "https"
    served = f":{port}" if port is not None and parts.scheme != "ssh" else ""
    repository = f"{scheme}://{host}{served}/{quote(path, safe='/~+%')}"
    return RepositoryLinks(repository, pattern.format(repository=repository, commit=commit))


def readable_repository(url: str) -> str:
    """Return `url` as people read it: host and path, without scheme, user and `.git`."""
    return re.sub(r"^[a-z+]+://([^/@]*@)?", "", url).removesuffix(".git").strip("/")
