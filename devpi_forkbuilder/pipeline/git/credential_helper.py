"""Passwords for git hosts: the administrator's file (git-credential-store(1), "STORAGE FORMAT"), and git's way to it.

A line is `https://USER:PASSWORD@HOST[:PORT][/PATH]`, percent-encoded. Without a path it is for the whole host; with one
for that repository, or for everything below it. The longest path that fits is taken.

git asks by its credential protocol (gitcredentials(7)) and starts this file as a program of its own, so the server
itself never holds a password while it fetches, and no argument, environment or file but the given one has it. As a
program it runs in an isolated interpreter, so it imports nothing but the standard library.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

HIDDEN = "***"
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Secret:
    """A text that is printed only by who asks for it by name: `str`, `repr`, formats and pickles do not have it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return HIDDEN

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not written down"
        raise TypeError(msg)


@dataclass(frozen=True, slots=True)
class Credential:
    """One line. `host` has the port if the line has one; `path` is a tuple of folders, empty for the whole host."""

    protocol: str
    host: str
    path: tuple[str, ...]
    username: str
    password: Secret


def parse(text: str) -> tuple[tuple[Credential, ...], tuple[int, ...]]:
    """The credentials of a file, and the numbers (from 1) of lines that are neither those nor blank nor a comment."""
    found, bad = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        credential = _parse_line(line.strip())
        if credential is None:
            bad.append(number)
        else:
            found.append(credential)
    return tuple(found), tuple(bad)


def best(credentials: Iterable[Credential], protocol: str, host: str, path: str) -> Credential | None:
    """The credential for a repository: same protocol and host, and the longest path that is the beginning of `path`."""
    wanted = _folders(path)
    fitting = [
        one
        for one in credentials
        if (one.protocol, one.host) == (protocol, host.lower()) and wanted[: len(one.path)] == one.path
    ]
    return max(fitting, key=lambda one: len(one.path), default=None)


def helper(file: Path) -> str:
    """The value of git's `credential.helper` that makes it ask this program, which reads `file`."""
    words = (sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(file))
    return "!" + shlex.join(words)


def answer_git(file: Path, description: str) -> str:
    """What git is given for `description`, its `key=value` lines; nothing when the file has nothing for it."""
    asked = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    found, _ = parse(file.read_text(encoding="utf-8"))
    one = best(found, asked.get("protocol", ""), asked.get("host", ""), asked.get("path", ""))
    return "" if one is None else f"username={one.username}\npassword={one.password.reveal()}\n"


def _parse_line(line: str) -> Credential | None:
    try:
        parts = urlsplit(line)
        login, at, host = parts.netloc.rpartition("@")
    except ValueError:
        return None
    name, colon, password = login.partition(":")
    values = (parts.scheme, host.lower(), unquote(name), unquote(password))
    # a line end in a value would be another line of the protocol
    if not (at and colon and all(values)) or CONTROL.search("".join((*values, unquote(parts.path)))):
        return None
    return Credential(values[0], values[1], _folders(unquote(parts.path)), values[2], Secret(values[3]))


def _folders(path: str) -> tuple[str, ...]:
    return tuple(folder for folder in path.removesuffix(".git").split("/") if folder)


def main(arguments: list[str]) -> int:
    """`FILE get`; other requests of git, to store or to erase, are not for this file."""
    file, action = arguments
    if action == "get":
        sys.stdout.write(answer_git(Path(file), sys.stdin.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
