"""`devpi-forkbuilder`: one program, its commands, and how its errors look."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from devpi_forkbuilder import __version__
from devpi_forkbuilder.commands import doctor, up
from devpi_forkbuilder.errors import ForkbuilderError

COMMANDS = (up, doctor)
SERVER_PACKAGES = frozenset({"devpi_server", "pyramid", "uv"})
"""What the extra `server` brings; commands import it when they run."""


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit status: 0 well, 1 failed with a message, 2 wrong usage."""
    arguments, more = parser().parse_known_args(argv)
    try:
        return int(arguments.run(arguments, more))
    except ForkbuilderError as error:
        print(f"devpi-forkbuilder {arguments.command}: {error.what}", file=sys.stderr)
        if error.next_step:
            print(error.next_step, file=sys.stderr)
        return 1
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in SERVER_PACKAGES:
            raise
        print(f"devpi-forkbuilder {arguments.command}: the Python package {name} is not installed.", file=sys.stderr)
        print("Install the server's parts: pip install 'devpi-forkbuilder[server]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
