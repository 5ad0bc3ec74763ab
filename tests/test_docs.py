"""The documentation is complete and its links lead somewhere; nothing of anybody's machine is in the repository."""

from __future__ import annotations

import argparse
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devpi_forkbuilder import options
from devpi_forkbuilder.client.arguments import add_commands
from devpi_forkbuilder.commands.main import parser
from devpi_forkbuilder.domain.pins.settings import DEFAULTS
from devpi_forkbuilder.domain.states import TRANSITIONS, State
from devpi_forkbuilder.errors import Kind
from devpi_forkbuilder.web.routes import VIEWS
from tests.documentation import (
    blocks,
    commands_of,
    documented_references,
    headings,
    references,
    relative_links,
    replaced_phrases,
    shell_blocks,
)
from tests.functional.test_guides import FOLLOWED

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
REFERENCE = DOCS / "reference"


@cache
def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def code() -> dict[str, str]:
    package = ROOT / "devpi_forkbuilder"
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}


def test_errors__every_reference_of_the_code_is_documented() -> None:
    found = references(code())
    assert len(found) > 100
    documented = documented_references(page("states-and-errors.md"))
    missing = [f"{one.pattern} ({one.place})" for one in found if not one.is_in(documented)]
    assert not missing, "\n".join(missing)


def test_errors__what_is_documented_is_in_the_code() -> None:
    patterns = {one.pattern for one in references(code())}
    documented = documented_references(page("states-and-errors.md"))
    stale = [name for name in documented if not any(re.fullmatch(pattern, name) for pattern in patterns)]
    assert not stale, "\n".join(stale)


def test_errors__each_has_a_kind_a_meaning_and_a_next_step() -> None:
    for name, (_, kind, meaning, step) in documented_references(page("states-and-errors.md")).items():
        assert kind in {one.value for one in Kind}, name
        assert meaning.endswith("."), name
        assert step.endswith((".", ").")), name


def test_states__all_of_them_and_what_may_follow() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (`[a-z]+`.*) \|$", page("states-and-errors.md"), re.MULTILINE))
    for state in State:
        told = re.findall(r"`([a-z]+)`", rows[state.value])
        assert set(told) == {one.value for one in TRANSITIONS[state]}, state


class Names:
    """Collects the options that `options.add_options` adds."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def addgroup(self, name: str) -> Names:  # noqa: ARG002  (devpi's parser)
        return self

    def addoption(self, name: str, **settings: Any) -> None:  # noqa: ARG002  (devpi's parser)
        self.names.append(name)


def test_options__every_server_option_has_a_row() -> None:
    found = Names()
    options.add_options(found)
    assert "--forkbuilder-dir" in found.names
    missing = [name for name in found.names if f"\n| `{name}` |" not in page("server-options.md")]
    assert not missing


@pytest.mark.parametrize("setting", [name for name, _ in DEFAULTS])
def test_settings__every_setting_has_a_row_and_a_section(setting: str) -> None:
    assert f"\n| [`{setting}`](#{setting}) |" in page("index-settings.md")
    assert f"\n## {setting}\n" in page("index-settings.md")


def test_commands__every_option_is_documented() -> None:
    (commands,) = (one for one in parser()._actions if isinstance(one, argparse._SubParsersAction))
    for command, its in commands.choices.items():
        section = page("commands.md").partition(f"\n## devpi-forkbuilder {command}\n")[2].partition("\n## ")[0]
        own = [name for one in its._actions for name in one.option_strings if name not in {"-h", "--help"}]
        missing = [name for name in own if not name.startswith("--forkbuilder-") and f"`{name}`" not in section]
        assert not missing, f"{command}: {missing}"


@pytest.mark.parametrize("pattern", sorted({pattern.rstrip("/") for _, pattern, *_ in VIEWS}))
def test_http_api__every_route_has_a_row(pattern: str) -> None:
    plain = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", pattern)
    assert f"\n| `{plain}` |" in page("http-api.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links__lead_to_a_page_and_a_heading(path: Path) -> None:
    broken = []
    for link in relative_links(path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and not _has(target, anchor)):
            broken.append(link)
    assert not broken


def _has(target: Path, anchor: str) -> bool:
    return target.suffix != ".md" or anchor in headings(target.read_text(encoding="utf-8"))


def test_index__has_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in relative_links(index.read_text(encoding="utf-8"))}
    assert not {path for path in DOCS.rglob("*.md") if path.resolve() not in linked and path != index}


GUIDES = [*sorted([*(DOCS / "tutorial").glob("*.md"), *(DOCS / "how-to").glob("*.md")]), ROOT / "README.md"]


def forks_parser() -> argparse.ArgumentParser:
    """`devpi forks`, as devpi-client is given it."""
    made = argparse.ArgumentParser()
    add_commands(made)
    return made


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_guides__every_command_of_ours_is_one_that_is_parsed(path: Path) -> None:
    """What is not run by a test of its own has at least options and arguments that there are."""
    for block in shell_blocks(path.read_text(encoding="utf-8")):
        for words in commands_of(block, "devpi forks"):
            forks_parser().parse_args(words)
        for words in commands_of(block, "devpi-forkbuilder"):
            known, more = parser().parse_known_args(words)
            assert known.command == "up" or not more, f"{path.name}: {words}"
            own = [word for word in more if word.startswith("--forkbuilder-")]
            assert {word.partition("=")[0] for word in own} <= set(_server_options()), f"{path.name}: {own}"


@pytest.mark.parametrize("path", GUIDES[:-1], ids=lambda path: path.name)
def test_guides__every_block_is_run_or_says_why_not(path: Path) -> None:
    """Those without a comment are run by tests/functional/test_guides.py, which takes all of a page or fails."""
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}:{block.line}"
        if block.word == "run by":
            assert (ROOT / block.reason).is_file(), f"{where}: there is no {block.reason}"
        elif block.word == "not run":
            assert len(block.reason.split()) > 2, f"{where}: give the reason in a few words"
        else:
            assert path.name in {*FOLLOWED, "first-fork.md"}, f"{where}: run it, or say why not"


def test_blocks__have_their_comments() -> None:
    first = "a\n<!-- not run: it is long -->\n```sh\none\n```\n```sh\ntwo\n```\n"
    listed = " 1. x\n    <!-- run by: a.py -->\n    ```sh\n    three\n    ```\n"
    found = [(block.line, block.text, block.word, block.reason) for block in blocks(first + listed)]
    assert found == [(3, "one\n", "not run", "it is long"), (6, "two\n", "", ""), (11, "three\n", "run by", "a.py")]


def _server_options() -> list[str]:
    found = Names()
    options.add_options(found)
    return found.names


def test_commands_of__finds_calls_in_a_block() -> None:
    block = "cd x && y\nvenv/bin/devpi forks list a # why\ndevpi forks pin -r a.txt \\\n  --yes | cat\necho devpi\n"
    assert list(commands_of(block, "devpi forks")) == [["list", "a"], ["pin", "-r", "a.txt", "--yes"]]
    assert list(commands_of("cat <<'END'\ndevpi forks x\nEND\n", "devpi forks")) == []


# In pieces, so that these rules are not found by themselves.
HOSTS = re.compile("|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "python" + r"hosted\.com")))
MACHINES = re.compile(
    "|".join((r"(?<![\w.:/-])/(?:ho" + r"me|Us" + r"ers)/\w", r"(?<![\w.:/-])/ro" + r"ot/\.", "/tmp/" + r"dv\b"))
)


def violations(name: str, text: str) -> list[str]:
    """Lines of a file that name a package registry's host or a path of somebody's machine."""
    lines = enumerate(text.splitlines(), 1)
    return [f"{name}:{number}: {line.strip()}" for number, line in lines if HOSTS.search(line) or MACHINES.search(line)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("see https://py" + "pi.org/simple", True),
        ("cd /ho" + "me/somebody/src", True),
        ('"/Us' + 'ers/somebody"', True),
        ("PATH=/ro" + "ot/.local/bin", True),
        ("http://localhost:3141/root/forks", False),
        ("GET /root/pypi/+simple/", False),
        ("https://git.example.org/home/x", False),
    ],
)
def test_violations__are_seen(line: str, found: bool) -> None:
    assert bool(violations("a", line)) is found


def test_repository__names_no_registry_and_no_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    if not names:
        pytest.skip("this is not a git checkout")
    found = []
    for name in names:
        found += violations(name, (ROOT / name).read_text(encoding="utf-8", errors="replace"))
    assert not found, "\n".join(found)


TEXTS = sorted(
    [
        *(ROOT / "devpi_forkbuilder").rglob("*.py"),
        *DOCS.rglob("*.md"),
        *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),
        *(ROOT / "compose").rglob("*.md"),
    ]
)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_english__replaced_phrases_do_not_come_back(path: Path) -> None:
    assert not replaced_phrases(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("line", "fine"),
    [
        ("The URL is no index.", False),
        ("There is no index; it is no longer pinned.", True),
        ("3 file(s) could not be had", False),
        ("See to the permissions.", False),
        ("1 faults", False),
        ("1 fault, 21 faults", True),
        ("Whose: the fork", False),
        ("as said, not told", False),
        ("a repository that recommends itself", True),
    ],
)
def test_replaced_phrases__are_seen(line: str, fine: bool) -> None:
    assert bool(replaced_phrases(line)) is not fine
