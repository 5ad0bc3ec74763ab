"""URLs of source archives that git hosts make of a commit: they name a repository and a commit as a git URL does.

An installer that is given one goes past the index, so they become git requirements. Forms, by the hosts' manuals:
GitHub `/archive/REF.zip`, `/zipball/REF`, `codeload.github.com/OWNER/NAME/zip/REF`; GitLab `/-/archive/REF/FILE`;
Bitbucket `/get/REF.zip`; Gitea and Forgejo `/archive/REF.tar.gz`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from devpi_forkbuilder.domain.pins.pins import COMMIT

ENDING = r"\.(?:zip|tar\.gz|tgz|tar\.bz2|tar)"
PUBLIC = frozenset({"github.com", "www.github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com"})
"""Hosts whose archive URLs are known to have these forms, so that a branch or tag is not taken for a path."""
CODELOAD = re.compile(r"/(?P<path>[^/]+/[^/]+)/(?:legacy\.)?(?:zip|tar\.gz)/(?P<ref>.+)")
GITLAB = re.compile(rf"/(?P<path>[^/]+(?:/[^/]+)+?)/-/archive/(?P<ref>.+)/[^/]+{ENDING}")
OTHERS = (
    re.compile(rf"/(?P<path>[^/]+/[^/]+)/archive/(?P<ref>.+?){ENDING}"),
    re.compile(r"/(?P<path>[^/]+/[^/]+)/(?:legacy\.)?(?:zipball|tarball)/(?P<ref>.+)"),
    re.compile(rf"/(?P<path>[^/]+/[^/]+)/get/(?P<ref>.+?){ENDING}"),
)


@dataclass(frozen=True, slots=True)
class Archive:
    """A repository's URL and the commit, tag or branch in it of which a host makes an archive."""

    url: str
    ref: str

    @property
    def note(self) -> str:
        """What is said about reading the one as the other."""
        return f"an archive of a git host goes past the index: read as git+{self.url}@{self.ref}"


def read_archive_url(text: str) -> Archive | None:
    """The repository and commit behind an https URL (without fragment); None for a URL of another kind.

    On a host that is not one of PUBLIC only a full commit is taken: anything else may be a file that somebody uploaded.
    """
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return None
    if parts.scheme not in {"https", "http"} or parts.query or parts.username is not None:
        return None
    if host == "codeload.github.com":
        found, netloc = CODELOAD.fullmatch(parts.path), "github.com"
    else:
        forms = (GITLAB, *OTHERS)
        found, netloc = next((one for form in forms if (one := form.fullmatch(parts.path))), None), parts.netloc
    if found is None:
        return None
    ref = unquote(found["ref"])
    if host not in PUBLIC and netloc != "github.com" and not COMMIT.fullmatch(ref.lower()):
        return None
    return Archive(f"{parts.scheme}://{netloc}/{found['path']}.git", ref)
