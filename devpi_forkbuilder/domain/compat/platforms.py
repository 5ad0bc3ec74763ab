"""What a cache is warmed for: an interpreter and a platform, in the words of users and of uv.

Platforms are called as uv's option `--python-platform` calls them (uv's manual, "Platform-specific resolution"), with
the versions of libc and macOS that uv takes for those that name none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from devpi_forkbuilder.domain.compat.targets import Client

ALIASES = {
    "linux": "x86_64-unknown-linux-gnu",
    "macos": "aarch64-apple-darwin",
    "windows": "x86_64-pc-windows-msvc",
}
GLIBC = (2, 28)
MUSL = (1, 2)
MACOS = (13, 0)
MANYLINUX = re.compile(r"(?P<machine>x86_64|aarch64)-manylinux(?:_2_(?P<minor>\d{1,2})|2014)")
TRIPLE = re.compile(
    r"(?P<machine>x86_64|aarch64|i686)-(?P<rest>unknown-linux-gnu|unknown-linux-musl|apple-darwin|pc-windows-msvc)"
)
WINDOWS_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86"}
PYTHON = re.compile(r"(?P<major>3)\.(?P<minor>\d{1,2})")


@dataclass(frozen=True, slots=True)
class Target:
    """An interpreter (`3.11`) and a platform (uv's name; empty: this machine's), and the installer they make."""

    python: str
    platform: str
    client: Client

    def __str__(self) -> str:
        return f"Python {self.python} on {self.client.platform}"


def targets(pythons: Sequence[str], platforms: Sequence[str], own: Client) -> tuple[Target, ...]:
    """Every interpreter on every platform, `own` where nothing is named. Raises ValueError with a sentence."""
    names = pythons or (f"{own.python[0]}.{own.python[1]}",)
    places = platforms or ("",)
    found = (Target(python, place, client(python, place, own)) for place in places for python in names)
    return tuple(dict.fromkeys(found))


def client(python: str, platform: str, own: Client) -> Client:
    """The installer that runs `python` on `platform`; empty is the platform of `own`. Raises ValueError."""
    parts = PYTHON.fullmatch(python)
    if parts is None:
        raise ValueError(f"{python!r} is not an interpreter: write for example 3.11.")
    number = (int(parts["major"]), int(parts["minor"]))
    if not platform:
        return replace(own, python=number)
    return _on(number, ALIASES.get(platform, platform))


def user_agent(program: str, client: Client) -> str:
    """A User-Agent that says what is installed for, as pip's and uv's do (`Client.of_user_agent` reads it)."""
    facts: dict[str, object] = {
        "implementation": {"name": client.implementation},
        "python": f"{client.python[0]}.{client.python[1]}{'t' if client.free_threaded else ''}",
        "system": {"name": client.system},
        "cpu": client.machine,
    }
    release = ".".join(map(str, client.release))
    if client.system == "darwin":
        facts["distro"] = {"version": release}
    elif client.libc:
        facts["distro"] = {"libc": {"lib": client.libc, "version": release}}
    return f"{program} {json.dumps(facts, separators=(',', ':'), sort_keys=True)}"


def _on(python: tuple[int, int], platform: str) -> Client:
    many, triple = MANYLINUX.fullmatch(platform), TRIPLE.fullmatch(platform)
    if many is not None:
        return Client("cpython", python, "linux", many["machine"], "glibc", (2, int(many["minor"] or 17)))
    if triple is None:
        known = "linux, macos, windows, x86_64-manylinux_2_28, aarch64-unknown-linux-musl"
        raise ValueError(f"{platform!r} is not a platform that this command knows: write for example {known}.")
    machine, rest = triple["machine"], triple["rest"]
    if rest == "unknown-linux-gnu":
        return Client("cpython", python, "linux", machine, "glibc", GLIBC)
    if rest == "unknown-linux-musl":
        return Client("cpython", python, "linux", machine, "musl", MUSL)
    if rest == "apple-darwin":
        return Client("cpython", python, "darwin", "arm64" if machine == "aarch64" else machine, "", MACOS)
    return Client("cpython", python, "windows", WINDOWS_NAMES[machine])
