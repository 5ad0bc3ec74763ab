"""What `up -r` pins: as written, resolved, asked for, written back."""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from devpi_forkbuilder.commands.main import main, parser
from devpi_forkbuilder.commands.up.pinfiles import read_pins
from devpi_forkbuilder.errors import RefusedError
from tests.gitserver import GitServer
from tests.platform_file import ENVIRON, FILES, make_platform, platform_files
from tests.repositories import Repositories
from tests.surroundings import clean_environment

A, B = "a" * 40, "b" * 40
HOST = "https://h.example.com"
OPEN = f"git+{HOST}/a@v1#egg=a\ngit+{HOST}/b@{B}\nc @ git+{HOST}/c@{A}\nd @ git+{HOST}/d\n"


class Terminal(io.StringIO):
    """Somebody who types an answer."""

    def isatty(self) -> bool:
        return True


def arguments(*words: object) -> argparse.Namespace:
    return parser().parse_known_args(["up", *map(str, words)])[0]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], GitServer]]:
    """The commits of the platform's repositories, and their host."""
    folder = tmp_path_factory.mktemp("platform")
    commits = make_platform(Repositories(folder))
    with GitServer(folder) as server:
        yield commits, server


@pytest.fixture
def file(platform: tuple[dict[str, str], GitServer], tmp_path: Path) -> Path:
    """The platform's file, with those that it includes beside it."""
    commits, server = platform
    for name, text in platform_files(commits, server.url).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path / FILES[0]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**clean_environment(tmp_path), **ENVIRON}


def test_up__without_resolve_every_open_line_is_a_fault_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "github.txt"
    file.write_text(OPEN)
    assert main(["up", "-r", str(file), "--serverdir", str(tmp_path / "server")]) == 1
    first, *faults, last = capsys.readouterr().err.splitlines()
    assert first == "devpi-forkbuilder up: 3 faults:"
    assert [fault.partition(f"{file}:")[2][:2] for fault in faults] == ["1:", "2:", "4:"]
    assert f"'devpi-forkbuilder up -r {file} --resolve' resolves it" in faults[0]
    assert "--resolve" in last
    assert "--keep-going" in last
    assert not (tmp_path / "server").exists(), "nothing is written before the files are right"


def test_up__keep_going_pins_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "github.txt"
    file.write_text(OPEN)
    pins = read_pins(arguments("-r", file, "--keep-going"), {}, None)
    assert [pin.project for pin in pins] == ["c"]
    assert "3 faults; starting without these lines:" in capsys.readouterr().err


def test_up__one_fault_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        read_pins(arguments("-r", tmp_path / "none.txt"), {}, None)
    assert "\n" not in refused.value.what
    assert f"{tmp_path}/none.txt: cannot be read (No such file or directory)" in refused.value.what
    assert "--resolve" not in refused.value.next_step


@pytest.mark.parametrize(("answer", "asked"), [("\n", True), ("y\n", True), ("n\n", False), ("", False)])
def test_up__asks_on_a_terminal(
    answer: str, asked: bool, file: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    if asked:
        assert len(read_pins(arguments("-r", file), environ, Terminal(answer))) == 32
    else:
        with pytest.raises(RefusedError):
            read_pins(arguments("-r", file), environ, Terminal(answer))
    question = capsys.readouterr().err.splitlines()[0]
    assert question.startswith(
        "13 lines name a tag or branch or no project or several commits of one project: resolve them now? [Y/n] "
    )


def test_up__resolve_reads_tags_branches_names_and_versions(
    file: Path, platform: tuple[dict[str, str], GitServer], environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    commits, server = platform
    before = {path: path.read_bytes() for path in file.parent.rglob("*.txt")}
    pins = {(pin.project, pin.version): pin for pin in read_pins(arguments("-r", file, "--resolve"), environ, None)}
    assert len(pins) == 32
    assert pins["modern", None].url == f"{server.url}/modern.git"
    assert pins["nested", None].subdirectory == "packages/nested"
    assert pins["drag-and-drop", None].commit == commits["drag_and_drop"]
    assert pins["lti-consumer", "1.0.1"].commit == commits["lti_old"]
    assert pins["lti-consumer", "1.0.2"].commit == commits["lti_new"]
    assert pins["staticfiles", None].commit == commits["staticfiles"]
    told = capsys.readouterr()
    assert f"{file}:12: ora-client main -> {commits['ora_client']}\n" in told.out
    assert told.out.count(" -> ") == 13
    assert not told.err
    assert {path: path.read_bytes() for path in file.parent.rglob("*.txt")} == before


def test_up__write_gives_files_that_need_no_repository(
    file: Path, platform: tuple[dict[str, str], GitServer], environ: dict[str, str]
) -> None:
    commits, server = platform
    pins = read_pins(arguments("-r", file, "--resolve", "--write"), environ, None)
    text = file.read_text()
    assert f"rate-xblock.git@{commits['rate_xblock']}#egg=rate-xblock==1.0.2   # the release of the spring\n" in text
    assert f"ora-client.git@{commits['ora_client']}#egg=ora-client  # main\n" in text
    assert f"\nmodern @ git+{server.url}/modern.git@{commits['modern']}\n" in text
    assert f"safe @ git+{server.url}/monorepo.git@{commits['monorepo']}#subdirectory=packages/safe" not in text
    assert f'{commits["olxcleaner"]} ; python_version >= "3"  # v1.0.2\n' in text
    assert "# eggs, editable and not\n" in text
    assert f"upsilon.git@{commits['upsilon']}  # v1.0.2" in (file.parent / FILES[2]).read_text()
    assert set(read_pins(arguments("-r", file), environ, None)) == set(pins)


def test_up__a_repository_that_is_gone_is_a_fault_and_the_others_are_pinned(
    file: Path, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(file.read_text().replace("/modern.git", "/gone.git"))
    with pytest.raises(RefusedError) as refused:
        read_pins(arguments("-r", file, "--resolve", "--write"), environ, None)
    assert "gone.git gave no answer" in refused.value.what
    assert "@main" in file.read_text(), "nothing is written when the start is refused"
    assert len(read_pins(arguments("-r", file, "--resolve", "--keep-going"), environ, None)) == 31
    assert "gone.git gave no answer" in capsys.readouterr().err


def test_written_file__has_direct_references_as_pep_508_has_them(file: Path, environ: dict[str, str]) -> None:
    read_pins(arguments("-r", file, "--resolve", "--write"), environ, None)
    lines = [
        line.partition("  #")[0]
        for line in file.read_text().splitlines()
        if " @ git+" in line and not line.endswith("\\")
    ]
    assert {Requirement(line).name for line in lines} >= {"modern", "nested", "drag-and-drop", "olxcleaner"}


def test_up__a_split_project_can_be_resolved_too(file: Path, environ: dict[str, str]) -> None:
    lines = [line for line in file.read_text().splitlines() if line.startswith("lti-consumer")]
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(RefusedError) as refused:
        read_pins(arguments("-r", file), environ, None)
    assert "give each line the version of its commit" in refused.value.what
    assert "--resolve" in refused.value.next_step
    assert len(read_pins(arguments("-r", file, "--resolve", "--write"), environ, None)) == 2
    assert "#egg=lti-consumer==1.0.1 ; python_version" in file.read_text()
    assert len(read_pins(arguments("-r", file), environ, None)) == 2
