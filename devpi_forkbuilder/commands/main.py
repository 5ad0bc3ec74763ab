"""`devpi-forkbuilder`: one program, its commands, and how its errors look."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from devpi_forkbuilder import __version__
from devpi_forkbuilder.commands import backup, gc, promote, restore, verify, warm, worker
from devpi_forkbuilder.commands.doctor import command as doctor
from devpi_forkbuilder.commands.up import command as up
from devpi_forkbuilder.errors import ForkbuilderError

COMMANDS = (up, doctor, warm, verify, gc, backup, restore, promote, worker)
SERVER_PACKAGES = frozenset({"devpi_server", "pyramid", "uv"})
"""What the extra `server` brings; commands import it when they run."""
WARM_PACKAGES = frozenset({"requests", "uv"})
"""The same for the extra `warm`, which two commands are content with."""
WORKER_PACKAGES = frozenset({"procrastinate", "psycopg", "psycopg_pool", "requests", "uv"})
EXTRAS = {
    **dict.fromkeys(("warm", "verify"), ("warm", WARM_PACKAGES)),
    "worker": ("worker", WORKER_PACKAGES),
}
"""The extras of commands that need no server, and what these bring."""


def parser() -> argparse.ArgumentParser:
    """The command line's parser."""
    top = argparse.ArgumentParser(
        prog="devpi-forkbuilder",
        description="An index that builds pinned git forks the first time pip or uv asks for them.",
    )
    top.add_argument("--version", action="version", version=f"devpi-forkbuilder {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def _with_environment(
    arguments: argparse.Namespace, more: list[str], argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse again, with the words that the environment has for this command before those of the command line."""
    words = arguments.words(environ) if hasattr(arguments, "words") else []
    if not words:
        return arguments, more
    return parser().parse_known_args([arguments.command, *words, *argv[argv.index(arguments.command) + 1 :]])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 well, 1 failed with a message, 2 wrong usage."""
    arguments, more = parser().parse_known_args(argv)
    try:
        arguments, more = _with_environment(arguments, more, sys.argv[1:] if argv is None else argv, os.environ)
        return int(arguments.run(arguments, more))
    except ForkbuilderError as error:
        # one line, so that a log has it whole; faults of files have one each, and then the step has its own
        between = "\n" if "\n" in error.what else " "
        print(
            f"devpi-forkbuilder {arguments.command}: {error.what}{between}{error.next_step}".rstrip(), file=sys.stderr
        )
        return 1
    except ModuleNotFoundError as missing:
        return _missing(arguments.command, (missing.name or "").partition(".")[0], missing)
    except KeyboardInterrupt:
        return 130


def _missing(command: str, name: str, error: ModuleNotFoundError) -> int:
    """Say which extra brings a package; raises `error` when it is none of ours."""
    extra, packages = EXTRAS.get(command, ("server", SERVER_PACKAGES))
    if name not in packages:
        raise error
    parts = "the server's parts" if extra == "server" else "what it needs"
    print(f"devpi-forkbuilder {command}: the Python package {name} is not installed.", file=sys.stderr)
    print(f"Install {parts}: pip install 'devpi-forkbuilder[{extra}]'", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
