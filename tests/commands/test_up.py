"""The parts of `up` that decide something; that it serves is tested with real processes."""

from __future__ import annotations

import argparse
import stat
from pathlib import Path

import pytest

from devpi_forkbuilder.commands import up
from devpi_forkbuilder.commands.main import parser
from devpi_forkbuilder.commands.passwords import Passwords


def arguments(*words: str) -> tuple[argparse.Namespace, list[str]]:
    return parser().parse_known_args(["up", *words])


def devpi_arguments(*words: str, owner: str = "main") -> list[str]:
    known, more = arguments(*words)
    defaults = {"--threads": "256", "--enable-core-metadata": None}
    return up._devpi_arguments(known, Path("/srv/devpi"), owner, defaults, more)


def test_arguments__what_is_unknown_is_handed_on_in_its_order() -> None:
    known, more = arguments("-r", "a.txt", "--role", "standalone", "-r", "b.txt", "--forkbuilder-hold=0")
    assert known.requirement == ["a.txt", "b.txt"]
    assert more == ["--role", "standalone", "--forkbuilder-hold=0"]


def test_devpi_arguments__defaults_and_the_owner() -> None:
    line = " ".join(devpi_arguments("--port", "4141"))
    assert line.startswith("--serverdir /srv/devpi --host localhost --port 4141 ")
    assert "--forkbuilder-allow-user root --forkbuilder-allow-user main" in line
    assert "--threads 256 --enable-core-metadata" in line


@pytest.mark.parametrize("given", [["--threads", "8"], ["--threads=8"]])
def test_devpi_arguments__what_is_given_replaces_the_default(given: list[str]) -> None:
    listed = devpi_arguments(*given)
    assert "256" not in listed
    assert listed[-len(given) :] == given


def test_devpi_arguments__root_is_allowed_once() -> None:
    assert devpi_arguments(owner="root").count("root") == 1


def test_passwords__are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    passwords = Passwords(tmp_path / "passwords")
    first = passwords.make("root")
    assert len(first) >= 32
    assert Passwords(tmp_path / "passwords").make("root") == first
    assert passwords.make("main") != first
    assert stat.S_IMODE(passwords.path("root").stat().st_mode) == 0o600
    assert stat.S_IMODE(passwords.folder.stat().st_mode) == 0o700
    assert passwords.secret().read_text() not in {first, passwords.make("main")}
