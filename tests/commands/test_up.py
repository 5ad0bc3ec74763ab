"""The parts of `up` that decide something; that it serves is tested with real processes."""

from __future__ import annotations

import argparse
import re
import stat
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.main import parser
from devpi_forkbuilder.commands.up.passwords import Passwords
from devpi_forkbuilder.commands.up.server_words import server_words
from devpi_forkbuilder.commands.up.words import split_words
from devpi_forkbuilder.devpi.command_line import option_names
from devpi_forkbuilder.errors import RefusedError


def arguments(*words: str) -> tuple[argparse.Namespace, list[str]]:
    return parser().parse_known_args(["up", *words])


def devpi_arguments(*words: str) -> list[str]:
    known, more = arguments(*words)
    defaults = {"--threads": "256", "--enable-core-metadata": None}
    return server_words(known, Path("/srv/devpi"), defaults, more, ["file:///src/fork"])


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
    assert devpi_arguments("--index", "root/forks").count("root") == 1


def test_devpi_arguments__urls_of_checkouts_are_allowed_in_any_case() -> None:
    assert "--forkbuilder-also-allow-url file:///src/fork" in " ".join(devpi_arguments())


OPTIONS = {"--threads": True, "--role": True, "--offline-mode": False, "--forkbuilder-hold": True}


@pytest.mark.parametrize(
    ("words", "checkouts", "server"),
    [
        (["."], ["."], []),
        (["--threads", "8", ".", "--offline-mode", "../b"], [".", "../b"], ["--threads", "8", "--offline-mode"]),
        (["--threads=8", "."], ["."], ["--threads=8"]),
        (["--thr", "8", "."], ["."], ["--thr", "8"]),
        (["--offline-mode", "--", "-odd"], ["-odd"], ["--offline-mode"]),
        (["--role"], [], ["--role", ""]),
    ],
)
def test_split_words__tells_folders_from_options_and_their_values(
    words: list[str], checkouts: list[str], server: list[str]
) -> None:
    found = split_words(words, OPTIONS)
    assert (list(found.checkouts), list(found.server)) == (checkouts, server)


@pytest.mark.parametrize(
    ("word", "near"),
    [("--forkbuilder-hodl", "Did you mean --forkbuilder-hold?"), ("--prot", "Did you mean --port?"), ("-z", "--help")],
)
def test_split_words__an_unknown_option_is_refused_with_the_nearest(word: str, near: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(near)) as caught:
        split_words([word, "1"], OPTIONS, ["--port", "--host"])
    assert caught.value.reference == "option-unknown"


def test_option_names__are_devpis_and_ours() -> None:
    names = option_names()
    assert (names["--threads"], names["--offline-mode"], names["--forkbuilder-hold"]) == (True, False, True)


def test_help__lists_the_options_of_the_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments("--help")
    said = capsys.readouterr().out
    assert "[CHECKOUT]..." in said
    assert "--forkbuilder-sandbox" in said
    _, more = arguments("--forkbuilder-sandbox", "none")
    assert more == ["--forkbuilder-sandbox", "none"]  # shown, and still handed on


def test_passwords__are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    passwords = Passwords(tmp_path / "passwords")
    first = passwords.make("root")
    assert len(first) >= 32
    assert Passwords(tmp_path / "passwords").make("root") == first
    assert passwords.make("main") != first
    assert stat.S_IMODE(passwords.path("root").stat().st_mode) == 0o600
    assert stat.S_IMODE(passwords.folder.stat().st_mode) == 0o700
    assert passwords.secret().read_text() not in {first, passwords.make("main")}
