"""A git requirement as people write it, wherever it stands: a requirements file, a lock file, a project file.

What a pin may be is decided by `pins`; here its parts are taken from looser forms, each repair with a note.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name

from devpi_forkbuilder.domain.pins.pins import COMMIT, Fault, Pin, PinsRefusedError, redacted
from devpi_forkbuilder.domain.pins.urls import Problem, url_faults

ANY_COMMIT = "0" * 40
"""Stands in for the commit while the rest of a requirement is judged."""
EXTRA = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
SCP = re.compile(r"(?P<login>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:]+)")
SSH_WITH_COLON = re.compile(
    r"ssh://(?P<login>[A-Za-z0-9_][A-Za-z0-9_.-]*)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^0-9/].*)"
)
FOLDER = "subdirectory="
OLD_EGG_VERSION = re.compile(r"#(?:[^\s#]*&)?egg=[^&\s;#]*==")
GIT_LOGIN = re.compile(r"https://git@(?=[^/@]+/)")
NO_LONGER_SERVED = re.compile(r"(?:git|http)://(?P<host>(?:www\.)?github\.com|gitlab\.com|bitbucket\.org)/")
NOT_IN_REFS = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class LinePlace:
    """Where a requirement stands: file, first and last line (from 1), the text itself, its offsets in the file."""

    file: str = ""
    line: int = 1
    last: int = 1
    text: str = ""
    span: tuple[int, int] = (0, 0)

    def faults(self, problems: list[Problem]) -> tuple[Fault, ...]:
        """`problems` as faults of this place; no secret of the text is in them."""
        return tuple(Fault(self.line, redacted(self.text), problem, fix, self.file) for problem, fix in problems)


@dataclass(frozen=True, slots=True)
class GitLine:
    """A git requirement. `project` is empty when only the repository knows it.

    `url` has no `git+`, no ref and no user info but an ssh login; `ref` is a commit, branch or tag, or None for the
    repository's default branch; `version`, `subdirectory` and `marker` are None when not given; `comment` has its `#`;
    `notes` say what was read otherwise than written.
    """

    project: str
    url: str
    ref: str | None = None
    version: str | None = None
    subdirectory: str | None = None
    extras: tuple[str, ...] = ()
    marker: str | None = None
    editable: bool = False
    comment: str = ""
    notes: tuple[str, ...] = ()
    place: LinePlace = LinePlace()

    @property
    def name(self) -> str:
        """The normalized project name (PEP 503)."""
        return canonicalize_name(self.project)

    @property
    def commit(self) -> str | None:
        """The full commit, or None when `ref` has to be resolved first."""
        ref = (self.ref or "").lower()
        return ref if COMMIT.fullmatch(ref) else None

    @property
    def nameless(self) -> bool:
        """Whether the project's name has to be read from the repository."""
        return not self.project

    @property
    def label(self) -> str:
        """How messages call the requirement."""
        return self.project or f"git+{self.url}"

    @property
    def old_egg(self) -> bool:
        """Whether it is written as `#egg=NAME==VERSION`, which new pip refuses (an egg is a name by PEP 508)."""
        return OLD_EGG_VERSION.search(self.place.text) is not None

    def pin(self, commit: str) -> Pin:
        """The pin of this requirement at `commit`; raises PinsRefusedError when that is not a full commit."""
        return Pin.parse(str(Pin(self.project, self.url, commit, self.version, self.subdirectory)), self.place.line)


@dataclass(frozen=True, slots=True)
class Written:
    """A git requirement before it is judged: `fragment` holds `egg` and `subdirectory` as a pin has them."""

    location: str
    ref: str | None
    fragment: str
    extras: tuple[str, ...] = ()
    marker: str | None = None
    editable: bool = False
    comment: str = ""
    notes: tuple[str, ...] = ()
    nameless: bool = False


def judged(written: Written, place: LinePlace, problems: tuple[Problem, ...] = ()) -> GitLine | tuple[Fault, ...]:
    """The requirement, or every fault of it; `problems` are those found while it was read."""
    url, notes = plain_url(written.location)
    found = [*problems, *ref_problems(written.ref), *_extra_problems(written.extras), *_marker_problems(written.marker)]
    try:
        pin = Pin.parse(f"git+{url}@{ANY_COMMIT}#{_plain_subdirectory(written.fragment)}")
    except PinsRefusedError as refused:
        return place.faults([*found, *((fault.problem, fault.fix) for fault in refused.faults)])
    if found:
        return place.faults(found)
    return GitLine(
        project="" if written.nameless else pin.project,
        url=pin.url,
        ref=written.ref,
        version=pin.version,
        subdirectory=pin.subdirectory,
        extras=written.extras,
        marker=written.marker or None,
        editable=written.editable,
        comment=written.comment,
        notes=(*written.notes, *notes),
        place=place,
    )


def fragment(project: str, version: str | None = None, subdirectory: str | None = None) -> str:
    """A pin's fragment, from its parts."""
    egg = f"egg={project}" + (f"=={version}" if version else "")
    return egg + (f"&subdirectory={subdirectory}" if subdirectory else "")


def _plain_subdirectory(text: str) -> str:
    """The fragment without what pip ignores in `subdirectory`: `dir/` is `dir`; `.` and `` are the root."""
    parts = []
    for part in text.split("&"):
        folder = re.sub(r"^(?:\./+)+|(?:/+\.?)+$", "", part.removeprefix(FOLDER))
        if not part.startswith(FOLDER):
            parts.append(part)
        elif folder not in {"", "."}:
            parts.append(f"{FOLDER}{folder}")
    return "&".join(parts)


def plain_url(location: str) -> tuple[str, tuple[str, ...]]:
    """The URL of a repository: scp's form and what public hosts no longer serve converted, with a note for each."""
    url = location.removeprefix("git+")
    if GIT_LOGIN.match(url):  # git's own login of ssh URLs, which is not a credential over https
        return GIT_LOGIN.sub("https://", url), ("the login name git@ means nothing over https: left out",)
    gone = NO_LONGER_SERVED.match(url)
    if gone:
        converted = f"https://{gone['host']}/{url[gone.end() :]}"
        return converted, (f"{gone['host']} serves https only: read as git+{converted}",)
    found = SSH_WITH_COLON.fullmatch(url) or (SCP.fullmatch(url) if "://" not in url else None)
    if found is None:
        return url, ()
    converted = f"ssh://{found['login']}@{found['host']}/{found['path'].lstrip('/')}"
    return converted, (f"scp's form host:path is not a URL, pip refuses it: read as git+{converted}",)


def split_ref(location: str) -> tuple[str, str | None]:
    """A location and its ref, which follows the last `@` of the path (pip's manual, "VCS Support")."""
    scheme, separator, rest = location.rpartition("://")
    start = rest.find("/") if separator else rest.find(":")
    path, at, ref = rest[max(start, 0) :].rpartition("@")
    if start < 0 or not at:
        return location, None
    return f"{scheme}{separator}{rest[:start]}{path}", ref


def repository_name(url: str) -> str:
    """What the repository is called: the last part of its path, without `.git`; empty when the URL is faulty."""
    if url_faults(url):  # the last part of a misread URL may be part of a password
        return ""
    return urlsplit(url).path.rstrip("/").rpartition("/")[2].removesuffix(".git")


def ref_problems(ref: str | None) -> list[Problem]:
    """What keeps `ref` from being a commit, branch or tag (git's manual page check-ref-format)."""
    if ref is None:
        return []
    if not ref:
        return [("nothing follows the @", "write a commit, tag or branch after it, or remove it")]
    # a ref that begins with "-" would be an option to git
    if ref.startswith(("-", "/")) or ref.endswith(("/", ".", ".lock")) or NOT_IN_REFS.search(ref):
        return [(f"{redacted(ref)!r} is not a commit, tag or branch", "write a name that git accepts")]
    return []


def _extra_problems(extras: tuple[str, ...]) -> list[Problem]:
    wrong = [extra for extra in extras if not EXTRA.fullmatch(extra)]
    return [(f"{extra!r} is not a valid extra", "write [name] or [name,name]") for extra in wrong]


def _marker_problems(marker: str | None) -> list[Problem]:
    if marker is None:
        return []
    try:
        Marker(marker)
    except InvalidMarker:
        return [(f"{marker!r} is not an environment marker", "write for example ; python_version >= '3.10'")]
    return []
