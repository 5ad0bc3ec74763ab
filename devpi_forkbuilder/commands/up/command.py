"""`devpi-forkbuilder up`: a server with an index of forks, in one command. Running it again changes nothing."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from devpi_forkbuilder.commands.up import pinfiles, roles, secretfiles
from devpi_forkbuilder.commands.up.environment import unknown_variables, words_for_up
from devpi_forkbuilder.commands.up.option_group import OptionGroup
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.options import Options, add_options
from devpi_forkbuilder.pipeline.process.network_settings import with_network_settings
from devpi_forkbuilder.pipeline.process.open_files import raise_limit

DEFAULT_DIR = "~/.devpi/forkbuilder"
DEFAULT_INDEX = "main/forks"
USAGE = """\
examples:
  devpi-forkbuilder up .
  devpi-forkbuilder up -r github.txt
  devpi-forkbuilder up -r github.txt --resolve --write
  devpi-forkbuilder up -r github.txt --index team/forks --port 4141 --forkbuilder-allow-url https://github.com/our-org
  devpi-forkbuilder up --replica-of http://devpi.example.com:3141 --secretfile secret
  devpi-forkbuilder up --upstream http://devpi.example.com:3141/main/forks

CHECKOUT is a folder that git cloned: the commit that is its HEAD is pinned, and its URL is allowed.
Options that are not listed here are handed to devpi-server (see: devpi-server --help). In the environment,
FORKBUILDER_PORT=4141 is --port 4141, and so on; what the command line says wins.
A pin in FILE replaces the index's pin of the same project and version, or moves the project's only pin; others stay.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "up",
        help="start a server with an index of forks",
        usage="%(prog)s [CHECKOUT]... [-r FILE]... [OPTION]...",
        description="Start a devpi server with an index that builds pinned forks when they are asked for.",
        epilog=f"{_server_options()}\n{USAGE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pinfiles.add_options(parser)
    parser.add_argument("--index", default=DEFAULT_INDEX, metavar="USER/NAME", help=f"default: {DEFAULT_INDEX}")
    parser.add_argument("--serverdir", default=DEFAULT_DIR, metavar="DIR", help=f"data folder; default: {DEFAULT_DIR}")
    parser.add_argument("--host", default="localhost", metavar="H", help="address to listen on; default: localhost")
    parser.add_argument("--port", default=3141, type=int, metavar="N", help="port to listen on; default: 3141")
    parser.add_argument("--outside-url", metavar="URL", help="where clients reach the server, behind a proxy")
    parser.add_argument("--build", action="store_true", help="build pins before anybody asks (fork_build=pin)")
    parser.add_argument("--public-index", metavar="URL", help="simple page that root/pypi mirrors")
    secretfiles.add_options(parser)
    roles.add_options(parser)
    parser.set_defaults(run=run, words=words_for_up, parser=parser)


def _server_options() -> str:
    """The plugin's own options of devpi-server, as help text: they are handed on, not read here."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, add_help=False)
    add_options(OptionGroup(parser))
    return parser.format_help()


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Make what is missing, pin checkouts and files, serve until SIGINT or SIGTERM.

    Everything that can be known before is looked at first: a refused start has written and served nothing.
    """
    from devpi_forkbuilder.commands.up.startup import Startup  # noqa: PLC0415  (the extra `server` may not be installed)

    started = time.time()
    os.environ.update(with_network_settings(os.environ))  # devpi reads the public index in this process
    for name in unknown_variables(os.environ):
        print(f"{name} is in the environment and means nothing to devpi-forkbuilder.", file=sys.stderr)
    startup = Startup.read(arguments, more)
    try:
        startup.check()
        pins = _pins(arguments, startup.options)
        startup.make()
        raise_limit()
        status = startup.serve(started, pins)
        print("Stopped.", flush=True)
        return status
    finally:
        startup.lock.release()


def _pins(arguments: argparse.Namespace, options: Options) -> tuple[Pin, ...]:
    """The pins in the files that the command line names."""
    from devpi_forkbuilder.commands.up.computed_names import NamesInSandbox  # noqa: PLC0415  (as Startup above)

    names = NamesInSandbox(options, arguments.index, arguments.public_index or "")
    try:
        return pinfiles.read_pins(arguments, os.environ, sys.stdin, names)
    finally:
        names.close()
