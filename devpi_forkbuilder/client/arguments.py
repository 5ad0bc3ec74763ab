"""The command line of `devpi forks`: words, options, and an example for each command."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import Any

from devpi_forkbuilder.client import completion

Parser = argparse.ArgumentParser
FILES = (
    "requirements file, or uv.lock, poetry.lock, pdm.lock, Pipfile, Pipfile.lock, pylock.toml, pyproject.toml "
    "(by its name)"
)
FROZEN_FILES = "requirements file or pyproject.toml; with --format pylock any lock file, too"
SELECTION = "project, or NAME==VERSION where an index pins several versions"


def add_commands(parser: Parser) -> None:
    """Give `devpi forks` its commands."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.dedent(f"    {parser.description or ''}").strip()
    parser.epilog = "'devpi forks COMMAND --help' says more, each with examples."
    parser.set_defaults(forks_help=parser.format_help)
    commands = parser.add_subparsers(dest="forks_command", metavar="COMMAND")
    for name, (add, text, examples) in COMMANDS.items():
        one = commands.add_parser(
            name,
            help=text.splitlines()[0].rstrip("."),
            description=text,
            epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(one)
        _add_generic(one, server=name != "check")


def _add_generic(parser: Parser, *, server: bool) -> None:
    """The options of all commands; no defaults, so that `devpi -y forks pin` is heard, too (bpo-45656, bpo-23058)."""
    group = parser.add_argument_group("generic options")
    group.add_argument("--json", action="store_true", help="print JSON for scripts")
    quiet = argparse.SUPPRESS
    group.add_argument("--debug", action="store_true", default=quiet, help="show a traceback when something fails")
    group.add_argument("-v", "--verbose", action="count", default=quiet, help="increase verbosity")
    group.add_argument("--clientdir", metavar="DIR", default=quiet, help="directory for storing login and other state")
    if server:
        text = "index to work with: NAME, USER/NAME or a URL (default: the one in use)"
        _completed(group.add_argument("--index", default=None, metavar="INDEX", help=text), completion.indexes)


def _add_projects(parser: Parser, name: str, **more: Any) -> None:
    _completed(parser.add_argument(name, metavar="PROJECT", **more), completion.projects)


def _completed(action: argparse.Action, completer: Callable[..., list[str]]) -> None:
    """Have argcomplete ask `completer` (its manual, "Specifying completers")."""
    action.completer = completer  # type: ignore[attr-defined]  # argcomplete's own attribute


def _add_yes(parser: Parser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", default=argparse.SUPPRESS, help="do not ask")


def _add_files(parser: Parser, *, required: bool = False, text: str = FILES) -> None:
    parser.add_argument(
        "-r", "--requirement", action="append", default=[], metavar="FILE", required=required, help=text
    )


def _pin(parser: Parser) -> None:
    _add_files(parser)
    text = "move a pinned project to the newest tag of its repository that is a version; repeatable"
    upgrade = parser.add_argument("--upgrade", action="append", default=[], metavar="NAME", help=text)
    _completed(upgrade, completion.projects)
    text = "store nothing; exit status 1 when the files and the index differ"
    parser.add_argument("--check", action="store_true", help=text)
    parser.add_argument("requirements", nargs="*", metavar="REQUIREMENT", help="git requirement: git+URL@REF#egg=NAME")
    _add_yes(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would change and store nothing")
    text = "store what can be stored although some lines are faulty or repositories cannot be reached; exit status 1"
    parser.add_argument("--keep-going", action="store_true", help=text)
    parser.add_argument("--build", action="store_true", help="build the pins at once, not when they are asked for")
    parser.add_argument("--wait", action="store_true", help="with --build: wait for the builds, exit with their result")


def _unpin(parser: Parser) -> None:
    _add_projects(parser, "projects", nargs="+", help=SELECTION)
    _add_yes(parser)


def _list(parser: Parser) -> None:
    parser.add_argument("--wide", action="store_true", help="with the repository's URL and the full commit")
    _add_projects(parser, "projects", nargs="*", help=f"{SELECTION} (default: all)")


def _build(parser: Parser) -> None:
    _add_projects(parser, "projects", nargs="*", help=SELECTION)
    parser.add_argument("--all", action="store_true", help="every pin of the index")
    parser.add_argument("--wait", action="store_true", help="wait for the builds, exit with their result")
    parser.add_argument("--force", action="store_true", help="build again what has failed")
    text = "only what has failed, of the projects named or of all; builds it again"
    parser.add_argument("--failed", action="store_true", help=text)
    text = "when a build fails, try the known settings for old forks on the server and print the one that works"
    parser.add_argument("--diagnose", action="store_true", help=text)
    text = "interpreter to build for, as in 3.12 (for forks with compiled parts)"
    parser.add_argument("--python", default=None, metavar="X.Y", help=text)


def _log(parser: Parser) -> None:
    _add_projects(parser, "project", help=SELECTION)
    parser.add_argument("-f", "--follow", action="store_true", help="show it as it grows; exit with the build's result")
    parser.add_argument("--tail", type=int, default=None, metavar="N", help="only the last N lines")
    text = "interpreter whose build is meant, as in 3.12 (default: the newest build)"
    parser.add_argument("--python", default=None, metavar="X.Y", help=text)


def _freeze(parser: Parser) -> None:
    _add_files(parser, text=FROZEN_FILES)
    parser.add_argument("--in-place", action="store_true", help="rewrite the files and those they include")
    text = "what to write: the file with its git lines replaced, or a pylock.toml (PEP 751) of the forks"
    parser.add_argument("--format", choices=("requirements", "pylock"), default="requirements", help=text)
    text = "interpreter whose wheels must be there, as in 3.12; repeatable (default: those of fork_pythons)"
    parser.add_argument("--python", action="append", default=[], metavar="X.Y", help=text)
    parser.add_argument("--strict", action="store_true", help="a missing interpreter is a fault: exit status 1")
    parser.add_argument("--build", action="store_true", help="build what is missing first, and wait for it")


def _check(parser: Parser) -> None:
    _add_files(parser, required=True)
    text = "branches, tags and missing commits are faults, too, as for 'devpi-forkbuilder up -r'"
    parser.add_argument("--strict", action="store_true", help=text)


PIN = """\
pin git requirements on the index.

Branches and tags are resolved to commits with 'git ls-remote' and your own git credentials. What will
change is shown and, when you agree, stored in one request. What is pinned already changes nothing.
"""
FREEZE = """\
print a requirements file with each git line replaced by a version and its hashes.

Comments, order, markers and all other lines stay. In a pyproject.toml, dependencies become versions
and the index is declared for uv and Poetry. Without -r: a line for each pin of the index.
Where a fork has compiled parts, a warning names the interpreters that have no wheel yet.
"""
CHECK = """\
look for faults in the git lines of files, without a server.

All faults are reported at once, with file, line and what to write. Exit status 1 if there are any.
"""
UNPIN = """\
remove pins from the index.

Files that were built stay on the index.
"""

COMMANDS: dict[str, tuple[Callable[[Parser], None], str, str]] = {
    "pin": (
        _pin,
        PIN,
        """
        devpi forks pin -r requirements/github.txt
        devpi forks pin 'git+https://github.com/our-org/name.git@v1.0.2#egg=name==1.0.2'
        devpi forks pin -r github.txt --yes --build --wait
        devpi forks pin --upgrade name
        devpi forks pin -r github.txt --check
        """,
    ),
    "unpin": (
        _unpin,
        UNPIN,
        """
        devpi forks unpin name
        devpi forks unpin name==1.0.1 other-name --yes
        """,
    ),
    "list": (
        _list,
        "show pins and the states of their builds.",
        """
        devpi forks list
        devpi forks list --wide
        devpi forks list name --json
        devpi forks list --index USER/NAME
        """,
    ),
    "build": (
        _build,
        "build pins on the server now, not when they are asked for.",
        """
        devpi forks build name --wait
        devpi forks build name --force --wait
        devpi forks build --all --wait --python 3.12
        devpi forks build --all --failed --wait
        devpi forks build name --diagnose
        """,
    ),
    "log": (
        _log,
        "show the log of a pin's build.",
        """
        devpi forks log name
        devpi forks log name --tail 50
        devpi forks log name==1.0.2 --follow
        devpi forks log name --python 3.12
        """,
    ),
    "freeze": (
        _freeze,
        FREEZE,
        """
        devpi forks freeze -r github.txt > locked.txt
        devpi forks freeze -r requirements/base.txt --in-place
        devpi forks freeze -r pyproject.toml --in-place && uv lock
        devpi forks freeze -r github.txt --format pylock > pylock.toml
        devpi forks freeze -r github.txt --build --strict --python 3.11 --python 3.12
        pip install --require-hashes -r locked.txt
        """,
    ),
    "check": (
        _check,
        CHECK,
        """
        devpi forks check -r requirements/github.txt
        devpi forks check -r uv.lock -r github.txt --strict
        """,
    ),
}
"""Each command: what adds its arguments, what it does (the first line is the short form), examples."""
