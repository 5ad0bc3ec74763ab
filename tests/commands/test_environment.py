"""Options from the environment."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from devpi_forkbuilder.commands.main import _with_environment, parser
from devpi_forkbuilder.commands.up import server_words
from devpi_forkbuilder.commands.up.environment import (
    MORE,
    REQUIREMENTS,
    UP,
    UP_SWITCHES,
    server_options,
    unknown_variables,
    words_for_doctor,
    words_for_up,
)
from devpi_forkbuilder.commands.up.secretfiles import read_secret, storage_words
from devpi_forkbuilder.errors import RefusedError


def parsed(environ: dict[str, str], *words: str) -> tuple[argparse.Namespace, list[str]]:
    argv = ["up", *words]
    return _with_environment(*parser().parse_known_args(argv), argv, environ)


def test_words__each_variable_is_its_option() -> None:
    environ = {"FORKBUILDER_PORT": "4141", "FORKBUILDER_REPLICA_OF": "http://p:3141", "FORKBUILDER_SECRET_FILE": "/s"}
    known, more = parsed(environ)
    assert (known.port, known.replica_of, known.secretfile, more) == (4141, "http://p:3141", "/s", [])


def test_words__the_command_line_wins_and_files_add_up() -> None:
    known, _ = parsed({"FORKBUILDER_PORT": "4141", "FORKBUILDER_REQUIREMENTS": "a.txt b.txt"}, "--port", "5", "-r", "c")
    assert (known.port, known.requirement) == (5, ["a.txt", "b.txt", "c"])


def test_words__options_of_the_server() -> None:
    environ = {
        "FORKBUILDER_ALLOW_URL": "https://a.example\n  https://b.example/org",
        "FORKBUILDER_HOLD": "5",
        "FORKBUILDER_CACHED_ONLY": "yes",
        "FORKBUILDER_PYTHON_DOWNLOADS": "0",
        "FORKBUILDER_OPTIONS": "--threads 8 --outside-url 'http://a b'",
    }
    _, more = parsed(environ)
    assert " ".join(more).count("--forkbuilder-allow-url https://") == 2
    assert "--forkbuilder-hold 5" in " ".join(more)
    assert "--forkbuilder-cached-only" in more
    assert "--forkbuilder-python-downloads" not in more
    assert parsed(environ)[0].outside_url == "http://a b"
    assert more[-2:] == ["--threads", "8"]


def test_words__every_option_of_the_server_has_a_variable() -> None:
    assert {"FORKBUILDER_SANDBOX", "FORKBUILDER_LIMIT_OPEN_FILES"} <= set(server_options())
    assert not unknown_variables(dict.fromkeys(server_options(), "1"))


def test_words__empty_variables_say_nothing() -> None:
    assert words_for_up({"FORKBUILDER_PORT": "", "FORKBUILDER_HOLD": " ", "FORKBUILDER_CACHED_ONLY": ""}) == []


def test_words__a_kubernetes_service_is_no_port() -> None:
    link = {"FORKBUILDER_PORT": "tcp://10.0.0.1:3141", "FORKBUILDER_SERVICE_HOST": "10.0.0.1"}
    assert words_for_up(link) == []
    assert unknown_variables({**link, "FORKBUILDER_PORT_3141_TCP": "tcp://10.0.0.1:3141"}) == []


def test_words__a_switch_that_is_neither_is_refused() -> None:
    with pytest.raises(RefusedError, match="FORKBUILDER_CACHED_ONLY"):
        words_for_up({"FORKBUILDER_CACHED_ONLY": "maybe"})


def test_words__doctor_knows_the_server_but_no_command_line_of_up() -> None:
    environ = {"FORKBUILDER_SERVERDIR": "/data", "FORKBUILDER_PORT": "1", "FORKBUILDER_SANDBOX": "none"}
    assert words_for_doctor(environ) == ["--serverdir", "/data", "--forkbuilder-sandbox", "none"]


def test_unknown__is_what_was_misspelt() -> None:
    assert unknown_variables({"FORKBUILDER_ALOW_URL": "x", "FORKBUILDER_GIT_CREDENTIALS_FILE": "/c", "HOME": "/"}) == [
        "FORKBUILDER_ALOW_URL"
    ]


def test_devpis_own_variables__replace_defaults_too() -> None:
    assert server_words._given_to_devpi(
        {"DEVPISERVER_CONNECTION_LIMIT": "9", "DEVPISERVER_THREADS": "", "HOME": "/"}
    ) == {"--connection-limit"}


def secret(folder: Path, content: str) -> str:
    path = folder / "secret"
    path.write_text(content)
    return str(path)


@pytest.mark.parametrize(
    ("storage", "whole"),
    [
        ("pg8000:host=db,user=devpi", "pg8000:host=db,user=devpi,password=a=b"),
        ("pg8000", "pg8000:password=a=b"),
    ],
)
def test_storage__the_password_comes_from_its_file(tmp_path: Path, storage: str, whole: str) -> None:
    known, _ = parsed({}, "--storage", storage, "--storage-password-file", secret(tmp_path, "a=b\n"))
    assert storage_words(known) == ["--storage", whole]


def test_storage__none_is_devpis_default() -> None:
    assert storage_words(parsed({})[0]) == []


def test_storage__a_comma_would_be_read_as_the_next_setting(tmp_path: Path) -> None:
    known, _ = parsed({}, "--storage", "pg8000", "--storage-password-file", secret(tmp_path, "very,secret"))
    with pytest.raises(RefusedError) as refused:
        storage_words(known)
    assert "very" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "\n", "\r\n"])
def test_secret__empty_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(RefusedError, match="empty"):
        read_secret(secret(tmp_path, content), "--root-password-file")


def test_secret__missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="cannot be read"):
        read_secret(str(tmp_path / "nothing"), "--root-password-file")


def test_variables__each_has_a_row_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    missing = [name for name in (*UP, *UP_SWITCHES, REQUIREMENTS, MORE) if f"\n| `{name}` |" not in page]
    assert not missing


def test_words_for_up__switches() -> None:
    assert words_for_up({"FORKBUILDER_RESOLVE": "1", "FORKBUILDER_KEEP_GOING": "no"}) == ["--resolve"]
