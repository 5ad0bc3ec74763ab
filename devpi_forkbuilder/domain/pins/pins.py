"""A pin: one line of an index's `forks` setting.

`git+URL@COMMIT#egg=NAME[==VERSION][&subdirectory=DIR]`

Parsing judges each part on its own and collects every fault before it raises, so that a user fixes a file once.
A pin prints as the line it was parsed from: `Pin.parse(str(pin)) == pin`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.pins.urls import url_faults
from devpi_forkbuilder.errors import RefusedError

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # packaging.python.org, "Name format"
DIRECTORY = re.compile(r"[A-Za-z0-9_.+@ -]+(?:/[A-Za-z0-9_.+@ -]+)*")
SYNTAX = "git+URL@COMMIT#egg=NAME[==VERSION][&subdirectory=DIR]"
KEYS = ("egg", "subdirectory")
USER_INFO = re.compile(
    r"//[^/\s@:]*:(?!\d+/)[^\s@]*@(?:[^/\s]*@)?|//[^/\s]*@"
)  # the first form: a password may hold a slash


def redacted(text: str) -> str:
    """`text` fit to be shown: user info in a URL may be a password, so it is left out; 300 characters at most."""
    return without_user_info(text)[:300]


def without_user_info(text: str) -> str:
    """`text` with `***` in place of user info in URLs."""
    return USER_INFO.sub("//***@", text)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one line, and how to fix it.

    `line` counts from 1 and is 0 when the fault is the file's; `where` names a file, or is empty.
    """

    line: int
    text: str
    problem: str
    fix: str
    where: str = ""

    def __str__(self) -> str:
        line = f"line {self.line}" if self.line else ""
        place = f"{self.where}:{self.line}" if self.where and self.line else self.where or line
        quoted = repr(self.text) if self.text else ""
        return ": ".join(part for part in (place, self.problem, quoted, self.fix) if part)


class PinsRefusedError(RefusedError):
    """One or more lines are not pins; `faults` has them all."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("pins-refused", "; ".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Pin:
    """Project, optional version, git URL (without `git+`), full commit, optional subdirectory (POSIX, relative)."""

    project: str
    url: str
    commit: str
    version: str | None = None
    subdirectory: str | None = None

    @property
    def name(self) -> str:
        """The normalized project name (PEP 503)."""
        return canonicalize_name(self.project)

    @property
    def release(self) -> Version | None:
        """The pinned version as a value, or None when the pin names none."""
        return Version(self.version) if self.version is not None else None

    @property
    def commit7(self) -> str:
        """The commit as people read it: its first seven digits."""
        return self.commit[:7]

    def __str__(self) -> str:
        version = f"=={self.version}" if self.version is not None else ""
        folder = f"&subdirectory={self.subdirectory}" if self.subdirectory is not None else ""
        return f"git+{self.url}@{self.commit}#egg={self.project}{version}{folder}"

    @classmethod
    def parse(cls, text: str, line: int = 1) -> Pin:
        """The pin in `text`; raises PinsRefusedError with every fault of the line."""
        location, _, fragment = text.partition("#")
        url, commit, faults = _parse_location(location)
        values, more = _parse_fragment(fragment)
        faults += more
        if faults:
            raise PinsRefusedError(Fault(line, redacted(text), problem, fix) for problem, fix in faults)
        return cls(url=url, commit=commit, **values)


def parse_pins(lines: Iterable[str]) -> tuple[Pin, ...]:
    """The pins of a setting's lines; blank lines and `#` comments are skipped, identical lines collapse.

    Raises PinsRefusedError with the faults of all lines, among them two pins for one project and version.
    """
    faults: list[Fault] = []
    pins: dict[Pin, int] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            pins.setdefault(Pin.parse(text, number), number)
        except PinsRefusedError as refused:
            faults.extend(refused.faults)
    faults.extend(_conflicts(pins))
    if faults:
        raise PinsRefusedError(sorted(faults, key=lambda fault: fault.line))
    return tuple(pins)


def _conflicts(pins: dict[Pin, int]) -> Iterable[Fault]:
    first: dict[tuple[str, Version | None], Pin] = {}
    for pin, line in pins.items():
        other = first.setdefault((pin.name, pin.release), pin)
        if other is not pin:
            what = f"{pin.project} {pin.version or '(no version)'} is pinned in line {pins[other]} already"
            yield Fault(line, redacted(str(pin)), what, "keep one commit for each project and version")


def _parse_location(location: str) -> tuple[str, str, list[tuple[str, str]]]:
    if not location.startswith("git+"):
        return "", "", [("not a git requirement", f"write {SYNTAX}")]
    url, at, commit = location[4:].rpartition("@")
    if not at or "/" in commit or "://" not in url:
        return "", "", [*url_faults(location[4:]), ("no commit", "end the URL with @ and the full commit id")]
    faults = url_faults(url)
    if not COMMIT.fullmatch(commit):
        faults.append(("not a full commit id", _fix_commit(commit)))
    return url, commit, faults


def _fix_commit(commit: str) -> str:
    if COMMIT.fullmatch(commit.lower()):
        return "write the commit in lower case"
    if re.fullmatch(r"[0-9a-fA-F]{4,63}", commit):
        return "write all 40 (or 64) hex digits; 'devpi forks pin' completes it"
    return "a branch or tag can move: 'devpi forks pin' resolves it to a commit"


def _parse_fragment(fragment: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    values: dict[str, str] = {}
    faults: list[tuple[str, str]] = []
    for part in fragment.split("&") if fragment else ():
        key, _, value = part.partition("=")
        if key not in KEYS:
            faults.append((f"unknown fragment key {key!r}", _fix_key(key, values)))
        elif key in values:
            faults.append((f"{key} is given twice", "keep one"))
        else:
            values[key] = value
    egg = values.pop("egg", None)
    if egg is None:
        faults.append(("no project name", "add #egg=NAME, or use 'devpi forks pin', which finds it"))
    else:
        values.update(_parse_egg(egg, faults))
    folder = values.get("subdirectory")
    if folder is not None and (not DIRECTORY.fullmatch(folder) or {".", ".."} & set(folder.split("/"))):
        faults.append((f"subdirectory {folder!r} is not a plain relative path", "name a folder inside the repository"))
    return values, faults


def _fix_key(key: str, values: dict[str, str]) -> str:
    close = difflib.get_close_matches(key, KEYS, n=1)
    if close:
        return f"did you mean {close[0]}?"
    if "egg" not in values and NAME.fullmatch(key):
        return f"write #egg={key}"
    return "only egg and subdirectory are known"


def _parse_egg(egg: str, faults: list[tuple[str, str]]) -> dict[str, str]:
    name, equals, version = egg.partition("==")
    if "[" in name:
        faults.append((f"extras in {name!r}", "extras belong to the requirement, not to the pin: leave them out"))
    elif not NAME.fullmatch(name):
        faults.append((f"{name!r} is not a valid project name", "use letters, digits, '.', '-' and '_'"))
    if not equals:
        return {"project": name}
    try:
        Version(version)
    except InvalidVersion:
        faults.append((f"{version!r} is not a version", _fix_version(version)))
    if version != version.strip():
        faults.append((f"white space around {version!r}", "remove it"))
    return {"project": name, "version": version}


def _fix_version(version: str) -> str:
    public, _, local = version.partition("-")
    try:
        server_targets = str(Version(f"{public}+{local}"))
    except InvalidVersion:
        return "write a PEP 440 version such as 1.0.2 or 1.0.2+local"
    return f"write {server_targets}, or leave the version out if the fork calls itself otherwise"
