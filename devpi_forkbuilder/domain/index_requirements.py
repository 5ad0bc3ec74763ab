"""What requirements files ask an index for: git lines as releases, hashes apart, and nothing of other places.

Source: pip's manual, "Requirements File Format".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.compat.choice import WantedRelease
from devpi_forkbuilder.domain.pins.pins import redacted
from devpi_forkbuilder.domain.requirements_files.gitlines import GitLine
from devpi_forkbuilder.domain.requirements_files.lines import logical_lines
from devpi_forkbuilder.domain.requirements_files.requirements import Line, RequirementsFile

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
HASH = re.compile(r"\s--hash(?:\s*=\s*|\s+)(?P<kind>[a-z0-9]+):(?P<digest>[0-9A-Fa-f]+)")
PLACES = re.compile(
    r"(?:--(?:index-url|extra-index-url|pypi-url|find-links|no-index|trusted-host)|-[if])(?![A-Za-z-]).*"
)
HARMLESS = re.compile(r"--(?:require-hashes|prefer-binary|use-feature|pre)\b.*")
EDITABLE = re.compile(r"(?:-e|--editable)[\s=].*", re.DOTALL)
URL = re.compile(r"(?:[^@]+?@\s*)?(?!file:)[a-z+]+://.*", re.DOTALL)
LOCAL = re.compile(
    r"(?:[^@]+?@\s*)?file:.*|\.|\.{0,2}/.*|\.\[.*|[^\s@;<>=!~]+/.*|[^\s@;<>=!~]+\.(?:whl|tar\.gz|zip)\b.*", re.DOTALL
)
RELEASE = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[^\s;\\]+)")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that does not ask the index. `elsewhere`: an installer fetches it from another place, past the index."""

    place: str
    text: str
    why: str
    elsewhere: bool = False

    def __str__(self) -> str:
        return f"{self.place}: {self.text}: {self.why}"


def asked(file: RequirementsFile, without: Collection[GitLine] = ()) -> str:
    """The file's text as it asks an index alone: what it includes, hashes, options and `without` are left out."""
    return "".join(f"{text}\n" for line in file.lines if line.git not in without and (text := _asked(line, file)))


def left_out(files: Iterable[RequirementsFile]) -> tuple[LeftOut, ...]:
    """The lines that `asked` leaves out and that whoever warms a cache should know of."""
    return tuple(found for file in files for line in file.lines if (found := _left_out(line, file)) is not None)


def hashes_of(files: Iterable[RequirementsFile]) -> Mapping[str, frozenset[str]]:
    """The SHA-256 (hex) that lines allow, by normalized project name; projects without any are not in it."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for text in map(_text, file.lines):
            name = NAME.match(text)
            digests = {one["digest"].lower() for one in HASH.finditer(text) if one["kind"] == "sha256"}
            if name is not None and digests:
                found[canonicalize_name(name[0])] |= digests
    return {name: frozenset(digests) for name, digests in found.items()}


def releases_of(text: str) -> tuple[WantedRelease, ...]:
    """The releases in the text that a resolver writes: `NAME==VERSION` at the begin of lines."""
    return tuple(_releases(text))


def _releases(text: str) -> Iterator[WantedRelease]:
    for line in text.splitlines():
        found = RELEASE.match(line)
        if found is not None:
            try:
                yield WantedRelease(canonicalize_name(found["name"]), Version(found["version"]))
            except InvalidVersion:
                continue


def git_requirement(line: GitLine, *, extras: bool = True) -> str:
    """A git line as it asks an index: `NAME[EXTRAS]==VERSION ; MARKER`; pip takes no `extras` in a constraint."""
    names = f"[{','.join(line.extras)}]" if line.extras and extras else ""
    version = f"=={line.version}" if line.version else ""
    marker = f" ; {line.marker}" if line.marker else ""
    return f"{line.project}{names}{version}{marker}"


def _asked(line: Line, file: RequirementsFile) -> str:
    if line.git is not None:
        return git_requirement(line.git, extras=not file.constraint)
    text = _text(line)
    if not text or line.include is not None or text.startswith("-") or _left_out(line, file) is not None:
        return ""
    return HASH.sub("", text).strip()


def _left_out(line: Line, file: RequirementsFile) -> LeftOut | None:
    text = _text(line)
    if not text or line.git is not None or line.include is not None:
        return None
    place = f"{file.name}:{line.number}"
    shown = redacted(text.partition(" --hash")[0])
    if URL.fullmatch(text):
        why = "an installer fetches it from there, past the index; ask for a release of it"
        return LeftOut(place, shown, why, elsewhere=True)
    if EDITABLE.fullmatch(text) or LOCAL.fullmatch(text):
        return LeftOut(place, shown, "not from an index; name what it requires in a file")
    if text.startswith("-") and not PLACES.fullmatch(text) and not HARMLESS.fullmatch(text):
        return LeftOut(place, shown, "this option is not followed")
    return None


def _text(line: Line) -> str:
    """A line as pip reads it: continuations joined, without comment."""
    return " ".join(one.text for one in logical_lines(line.text))
