"""The command line: help, wrong usage, and how errors look."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from devpi_forkbuilder import __version__
from devpi_forkbuilder.commands import main as command_line
from devpi_forkbuilder.commands.main import main
from devpi_forkbuilder.errors import InfrastructureError, RefusedError


class Command:
    """A command that ends as it is told."""

    def __init__(self, error: BaseException | None = None, status: int = 0) -> None:
        self.error = error
        self.status = status

    def add_parser(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        commands.add_parser("up").set_defaults(run=self.run)

    def run(self, arguments: argparse.Namespace, more: list[str]) -> int:  # noqa: ARG002  (a command's contract)
        if self.error is not None:
            raise self.error
        return self.status


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException | None = None, status: int = 0) -> int:
    monkeypatch.setattr(command_line, "COMMANDS", (Command(error, status),))
    return main(["up"])


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["doctor", "--help"]])
def test_main__help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: devpi-forkbuilder")


def test_main__version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"devpi-forkbuilder {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["up", "--port", "many"],
        ["doctor", "--threads", "4"],
        ["doctor", "--forkbuilder-sandbox", "chroot"],
        ["doctor", "--forkbuilder-workers", "0"],
        ["doctor", "--forkbuilder-hold", "-1"],
        ["doctor", "--forkbuilder-allow-url", "ext::sh"],
    ],
)
def test_main__wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: devpi-forkbuilder" in capsys.readouterr().err


def test_main__gives_the_status_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, status=7) == 7


def test_main__tells_what_happened_and_the_next_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = RefusedError("a-reference", "It did not work.", next_step="Do this.")
    assert ended(monkeypatch, error) == 1
    assert capsys.readouterr().err == "devpi-forkbuilder up: It did not work. Do this.\n"
    assert ended(monkeypatch, InfrastructureError("a-reference", "It did not work.")) == 1
    assert capsys.readouterr().err == "devpi-forkbuilder up: It did not work.\n"


def test_main__interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("missing", ["devpi_server", "devpi_server.config", "uv"])
def test_main__without_the_extra_server(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, ModuleNotFoundError("no", name=missing)) == 1
    told = capsys.readouterr().err
    assert f"{missing.partition('.')[0]} is not installed" in told
    assert "devpi-forkbuilder[server]" in told


def test_main__a_module_of_somebody_else_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModuleNotFoundError):
        ended(monkeypatch, ModuleNotFoundError("no", name="other"))


@pytest.mark.parametrize("name", ["forks", "a/b/c", "/b", "a/", "a b/c", "+a/b"])
def test_up__what_is_no_index(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--index", name, "--serverdir", str(tmp_path / "server")]) == 1
    assert "Write USER/NAME" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_up__a_file_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "-r", str(tmp_path / "github.txt"), "--serverdir", str(tmp_path / "server")]) == 1
    assert "github.txt: cannot be read" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_up__all_lines_that_are_no_pins_are_told_and_nothing_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "github.txt"
    file.write_text("git+https://host/org/a.git@main#egg=a\n# fine\ngit+https://host/org/b.git@abc1234#egg=b\n")
    assert main(["up", "-r", str(file), "--serverdir", str(tmp_path / "server")]) == 1
    told = capsys.readouterr().err
    assert "github.txt:1" in told
    assert "github.txt:3" in told
    assert not (tmp_path / "server").exists()
