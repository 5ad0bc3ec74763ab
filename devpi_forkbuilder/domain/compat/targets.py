"""Targets: what a client runs, which wheels fit it, and what a server builds for.

pip and uv say in the JSON part of their User-Agent what they install for (pip's manual, "User agent"; uv copies it).
Which wheels fit is decided by the compatibility tags of `packaging.tags`, worked out from what the client says and
never from the machine that this runs on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from packaging.tags import Tag, compatible_tags, cpython_tags, generic_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

LONGEST = 8192
INTERPRETER = re.compile(r"(?P<family>[a-z]*)(?P<major>[2-9])\.(?P<minor>\d{1,2})(?P<threads>t?)")
NUMBERS = re.compile(r"(\d{1,3})(?:\.(\d{1,3}))?")
WORD = re.compile(r"[a-z0-9_]{1,20}")
FAMILIES = {"cpython": "", "pypy": "pypy"}
PYPY_ABI = (7, 3)
"""The ABI of every PyPy since 2020; clients are asked for nothing older."""
WINDOWS = {"amd64": "win_amd64", "x86_64": "win_amd64", "arm64": "win_arm64", "x86": "win32", "i386": "win32"}
ALIASES = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
"""PEP 600: the names that glibc versions had before it."""
SINCE = {"x86_64": (2, 5), "i686": (2, 5)}
"""The oldest glibc that any manylinux tag of a CPU means; (2, 17) for all others."""
COMPATIBLE = {"armv8l": ("armv8l", "armv7l")}


@dataclass(frozen=True, slots=True)
class Client:
    """What an installer installs for; all words are lower case.

    `python` is (major, minor). `libc` is `glibc` or `musl` on Linux and else empty; `release` is the version of the
    libc, or of macOS.
    """

    implementation: str
    python: tuple[int, int]
    system: str = ""
    machine: str = ""
    libc: str = ""
    release: tuple[int, int] = (0, 0)
    free_threaded: bool = False

    @classmethod
    def of_user_agent(cls, text: str | None) -> Client | None:
        """What a User-Agent says; None when it does not say it, or not in a form that is known."""
        return _of_user_agent(text) if text is not None and len(text) <= LONGEST else None

    @classmethod
    def parse(cls, text: str) -> Client | None:
        """The client that `str` of one describes; None for any other text."""
        words = text.split(" ") if len(text) <= 200 else []
        if len(words) != 5:
            return None
        return _client(words[0], words[1], words[2], words[3], words[4])

    @property
    def interpreter(self) -> str:
        """What users call the interpreter: `3.12`, `3.13t`, `pypy3.10`."""
        family = FAMILIES.get(self.implementation, self.implementation)
        return f"{family}{self.python[0]}.{self.python[1]}{'t' if self.free_threaded else ''}"

    @property
    def platform(self) -> str:
        """Where it runs, in words: `linux x86_64 (glibc 2.36)`."""
        said = " ".join(filter(None, (self.system, self.machine)))
        number = ".".join(map(str, self.release))
        detail = " ".join(filter(None, (self.libc, number if any(self.release) else "")))
        return f"{said} ({detail})" if detail else said

    def accepts(self, filename: str) -> bool:
        """Whether the file is a wheel that it can install; False for anything that is not a wheel."""
        return not _tags_of(filename).isdisjoint(_tags(self))

    def rank(self, filename: str) -> int | None:
        """How well a wheel fits, 0 best, in the order of pip and uv (PEP 425); None: it does not, or is not a wheel."""
        ranks = _ranks(self)
        return min((ranks[tag] for tag in _tags_of(filename) if tag in ranks), default=None)

    def lives_with(self, other: Client) -> bool:
        """Whether both have one platform: what is compiled for the one is made for the other."""
        return (self.system, self.machine, self.libc) == (other.system, other.machine, other.libc)

    def __str__(self) -> str:
        """All of it in one line: `3.12 linux x86_64 glibc 2.36`; `-` for what is not known."""
        release = ".".join(map(str, self.release)) if any(self.release) else ""
        return " ".join(word or "-" for word in (self.interpreter, self.system, self.machine, self.libc, release))


@dataclass(frozen=True, slots=True)
class ServerTargets:
    """What a server builds for: interpreters by their names, its own first, and the platform.

    `platform` is a client on the server's own machine, with its own interpreter. Nothing at all: nobody knows.
    `others` are the same for other platforms, where others build for the server. What is built there is called by `str`
    of a client: `3.12 linux aarch64 glibc 2.36`.
    """

    pythons: tuple[str, ...] = ()
    platform: Client | None = None
    others: tuple[ServerTargets, ...] = ()

    def client(self, interpreter: str) -> Client | None:
        """A client of this server's platform that runs `interpreter` (empty: the server's own), or the one it says."""
        if " " in interpreter:
            return Client.parse(interpreter)
        platform, parts = self.platform, INTERPRETER.fullmatch(interpreter)
        if platform is None or (interpreter and parts is None):
            return None
        if parts is None:
            return platform
        python = (int(parts["major"]), int(parts["minor"]))
        return Client(
            _implementation(parts["family"]),
            python,
            platform.system,
            platform.machine,
            platform.libc,
            platform.release,
            bool(parts["threads"]),
        )

    def python_for(self, client: Client) -> str | None:
        """What makes files for `client`: an interpreter, or `str` of a client of another platform; None: nothing."""
        if self.platform is None:
            return client.interpreter
        if client.lives_with(self.platform):
            return client.interpreter if client.interpreter in self.pythons else None
        made = (other.client(client.interpreter) for other in self.others if other.python_for(client) is not None)
        return next((str(one) for one in made), None)

    def __str__(self) -> str:
        """What it builds for, as a phrase."""
        names = ", ".join(self.pythons) or "no Python"
        own = f"{names} on {self.platform.platform}" if self.platform is not None else names
        return "; ".join([own, *map(str, self.others)])


@dataclass(frozen=True, slots=True)
class TargetChoice:
    """How a pin without a fitting file is served: by a build with the interpreter `python`, or not at all."""

    python: str
    served: bool = True


def choose_targets(
    client: Client | None, server_targets: ServerTargets, only: Sequence[str], built_by: Collection[str]
) -> TargetChoice:
    """Who builds for `client`, for which no file of a pin fits.

    `only` are the interpreters that may build the pin (none: any), `built_by` those that have built its files (a file
    may have been built by an interpreter that is not known: an empty name). As long as nothing is built, the wheel may
    turn out to serve everybody, so it is built whoever asks.
    """
    first = only[0] if only else ""
    if client is None:
        return TargetChoice(first)
    if server_targets.platform is None:
        return TargetChoice(str(client))
    python = server_targets.python_for(client)
    if python is None or (only and client.interpreter not in only):
        return TargetChoice(first, served=not built_by)
    return TargetChoice(python, served=python not in built_by)


def client_of_user_agent(python: str, server_targets: ServerTargets) -> Client | None:
    """The client that an order's `python` means: what `str` of one said, or an interpreter of the server's own."""
    return Client.parse(python) or (server_targets.client(python) if python else None)


def is_interpreter(text: str) -> bool:
    """Whether `text` names an interpreter as users write it: `3.12`, `3.13t`, `pypy3.10`."""
    parts = INTERPRETER.fullmatch(text)
    return parts is not None and parts["family"] in FAMILIES.values()


@lru_cache(maxsize=1024)
def _of_user_agent(text: str) -> Client | None:
    name, brace, rest = text.partition(" {")
    try:
        said = json.loads(brace.strip() + rest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or not name:
        return None
    system = _word(_at(said, "system", "name"))
    number = _at(said, "distro", "version") if system == "darwin" else _at(said, "distro", "libc", "version")
    libc = _word(_at(said, "distro", "libc", "lib")) if system == "linux" else ""
    family = _word(_at(said, "implementation", "name"))
    found = NUMBERS.match(_word(said.get("python"), dots=True))
    if not found or found[2] is None:
        return None
    interpreter = f"{FAMILIES.get(family, family)}{found[1]}.{found[2]}"
    return _client(interpreter, system, _word(said.get("cpu")), libc, _word(number, dots=True))


def _at(said: Mapping[str, Any], *path: str) -> object:
    found: object = said
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _word(value: object, *, dots: bool = False) -> str:
    """A value as a lower-case word; anything odd is nothing."""
    text = value.lower() if isinstance(value, str) else ""
    return text if dots or WORD.fullmatch(text) else ""


def _client(interpreter: str, system: str, machine: str, libc: str, release: str) -> Client | None:
    parts = INTERPRETER.fullmatch(interpreter)
    words = tuple("" if word == "-" else word for word in (system, machine, libc))
    if parts is None or not all(word == "" or WORD.fullmatch(word) for word in words):
        return None
    python = (int(parts["major"]), int(parts["minor"]))
    where = (words[0], words[1], words[2], _release(release))
    return Client(_implementation(parts["family"]), python, *where, bool(parts["threads"]))


def _implementation(family: str) -> str:
    return family or "cpython"


def _release(text: str) -> tuple[int, int]:
    found = NUMBERS.match(text)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


@lru_cache(maxsize=4096)
def _tags_of(filename: str) -> frozenset[Tag]:
    try:
        return parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return frozenset()


@lru_cache(maxsize=256)
def _tags(client: Client) -> frozenset[Tag]:
    return frozenset(_ranks(client))


@lru_cache(maxsize=256)
def _ranks(client: Client) -> Mapping[Tag, int]:
    """The tags that a client takes, to their places in its order of preference."""
    platforms = tuple(_platforms(client))
    number = f"{client.python[0]}{client.python[1]}"
    if client.implementation == "cpython":
        interpreter = f"cp{number}"
        abi = f"cp{number}{'m' if client.python < (3, 8) else ''}{'t' if client.free_threaded else ''}"
        own = cpython_tags(client.python, [abi], platforms)
    elif client.implementation == "pypy":
        interpreter = f"pp{number}"
        own = generic_tags(interpreter, [f"pypy{number}_pp{PYPY_ABI[0]}{PYPY_ABI[1]}"], platforms)
    else:
        interpreter = f"{client.implementation}{number}"
        own = generic_tags(interpreter, [], platforms)
    tags = dict.fromkeys((*own, *compatible_tags(client.python, interpreter, platforms)))
    return {tag: place for place, tag in enumerate(tags)}


def _platforms(client: Client) -> Iterable[str]:
    """The platform tags that a client takes; never none, for `packaging` would then look at this machine."""
    if client.system == "linux" and client.machine:
        return _linux_platforms(client)
    if client.system == "darwin" and client.machine and client.release != (0, 0):
        return [*mac_platforms((min(client.release[0], 99), min(client.release[1], 99)), client.machine), "any"]
    if client.system == "windows" and client.machine in WINDOWS:
        return [WINDOWS[client.machine]]
    return ["any"]


def _linux_platforms(client: Client) -> Iterable[str]:
    machines = COMPATIBLE.get(client.machine, (client.machine,))
    major, minor = client.release
    for machine in machines:
        if client.libc == "glibc" and major == 2:
            for older in range(minor, SINCE.get(machine, (2, 17))[1] - 1, -1):
                yield f"manylinux_2_{older}_{machine}"
                if (2, older) in ALIASES:
                    yield f"{ALIASES[2, older]}_{machine}"
        elif client.libc == "musl" and major == 1:
            yield from (f"musllinux_1_{older}_{machine}" for older in range(minor, -1, -1))
        yield f"linux_{machine}"
