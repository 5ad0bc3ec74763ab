"""`devpi-forkbuilder up`: a server with an index of forks, in one command. Running it again changes nothing."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands import pinfiles, secretfiles
from devpi_forkbuilder.commands.consolelog import write_configuration
from devpi_forkbuilder.commands.environment import unknown, words_for_up
from devpi_forkbuilder.commands.passwords import Passwords
from devpi_forkbuilder.commands.roles import CACHE_EXPIRY, add_options, role_of, upstream_url
from devpi_forkbuilder.domain.moves import moves
from devpi_forkbuilder.domain.pins import Pin
from devpi_forkbuilder.domain.policy import PinPolicy
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.options import FOLDER, Options

DEFAULT_DIR = "~/.devpi/forkbuilder"
DEFAULT_INDEX = "main/forks"
EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104  (names, none is listened on by itself)
THREADS = 256
CONNECTIONS = 512
"""Each held request has one, and idle ones come on top; select(2), which waitress uses, ends at 1024."""
KEY_DERIVATION = {"--argon2-memory-cost": "8", "--argon2-parallelism": "1", "--argon2-time-cost": "1"}
"""devpi stretches the server's secret at every start, which takes seconds and 512 MiB. The secret made here is 256
random bits, which need no stretching. (Passwords of users are hashed with other, costly parameters.)"""
USAGE = """\
examples:
  devpi-forkbuilder up -r github.txt
  devpi-forkbuilder up -r github.txt --resolve --write
  devpi-forkbuilder up -r github.txt --index team/forks --port 4141 --forkbuilder-allow-url https://github.com/our-org
  devpi-forkbuilder up --replica-of http://devpi.example.com:3141 --secretfile secret
  devpi-forkbuilder up --upstream http://devpi.example.com:3141/main/forks

Options that are not listed here are handed to devpi-server (see: devpi-server --help). In the environment,
FORKBUILDER_PORT=4141 is --port 4141, and so on; what the command line says wins.
A pin in FILE replaces the index's pin of the same project and version, or moves the project's only pin; others stay.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "up",
        help="start a server with an index of forks",
        description="Start a devpi server with an index that builds pinned forks when they are asked for.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pinfiles.add_options(parser)
    parser.add_argument("--index", default=DEFAULT_INDEX, metavar="USER/NAME", help=f"default: {DEFAULT_INDEX}")
    parser.add_argument("--serverdir", default=DEFAULT_DIR, metavar="DIR", help=f"data folder; default: {DEFAULT_DIR}")
    parser.add_argument("--host", default="localhost", metavar="H", help="address to listen on; default: localhost")
    parser.add_argument("--port", default=3141, type=int, metavar="N", help="port to listen on; default: 3141")
    parser.add_argument("--outside-url", metavar="URL", help="where clients reach the server, behind a proxy")
    parser.add_argument("--public-index", metavar="URL", help="simple page that root/pypi mirrors")
    secretfiles.add_options(parser)
    add_options(parser)
    parser.set_defaults(run=run, words=words_for_up)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Make what is missing, pin the files, serve until SIGINT or SIGTERM."""
    from devpi_forkbuilder.devpi import bootstrap  # noqa: PLC0415  (the extra `server` may not be installed)

    started = time.time()
    owner = _owner(arguments.index)
    server_path = Path(arguments.serverdir).expanduser().absolute()
    storage = secretfiles.storage_words(arguments)
    for name in unknown(os.environ):
        print(f"{name} is in the environment and means nothing to devpi-forkbuilder.", file=sys.stderr)
    role = role_of(arguments, more, bootstrap.was_replica(server_path))
    pins = pinfiles.read_pins(arguments, os.environ, sys.stdin)
    folder = server_path / FOLDER
    passwords = Passwords(folder / "passwords")
    made = not bootstrap.exists(server_path)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging = write_configuration(folder)
    if made:
        server_path.chmod(0o700)  # password hashes are in there
        made_with = ["--logger-cfg", str(logging), *role.init, *storage]
        bootstrap.create(server_path, _root_password(arguments, passwords), made_with)

    def prepare(xom: Any) -> None:
        changes: list[str] = []
        if arguments.replica_of:
            bootstrap.check_replica(xom)
        elif arguments.upstream:
            bootstrap.ensure_cache(xom, arguments.index, upstream_url(arguments.upstream), CACHE_EXPIRY, passwords.make)
        else:
            bootstrap.set_public(xom, arguments.public_index)
            bootstrap.ensure_index(xom, arguments.index, passwords.make)
            policy = Options.read(xom.config.args, server_path).policy
            changes = _pin(bootstrap, xom, arguments.index, pins, policy)
        print(_welcome(arguments, server_path, passwords, changes), flush=True)

    defaults = {
        "--threads": str(THREADS),
        "--connection-limit": str(CONNECTIONS),
        "--enable-core-metadata": None,
        "--logger-cfg": str(logging),
        "--secretfile": str(passwords.secret(arguments.secretfile)),
        **KEY_DERIVATION,
    }
    listed = _devpi_arguments(arguments, server_path, owner, defaults, [*role.serve, *storage, *more])
    return bootstrap.serve(listed, started, prepare)


def _root_password(arguments: argparse.Namespace, passwords: Passwords) -> str:
    if arguments.root_password_file:
        return secretfiles.read_secret(arguments.root_password_file, "--root-password-file")
    return passwords.make("root")


def _owner(index: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.@-]+/[A-Za-z0-9_.@-]+", index):
        raise RefusedError("index-name", f"{index!r} is not an index.", next_step="Write USER/NAME, as in main/forks.")
    return index.split("/", maxsplit=1)[0]


def _pin(bootstrap: Any, xom: Any, index: str, pins: Sequence[Pin], policy: PinPolicy) -> list[str]:
    """Store the pins; a line for each change. Raises RefusedError for what the server's rules do not allow."""
    before = bootstrap.pins_of_index(xom, index)
    after = [str(pin) for pin in moves([Pin.parse(line) for line in before], pins).pins]
    new = [line for line in after if line not in before]
    faults = policy.faults(Pin.parse(line) for line in new)
    if faults:
        raise RefusedError("pins-refused", "\n".join(faults))
    if after != before:
        bootstrap.set_pins(xom, index, after)
    if not after:
        return ["No fork is pinned yet: start again with -r FILE, or use: devpi forks pin -r FILE"]
    return [f"+ {line}" for line in new] + [f"- {line}" for line in before if line not in after]


def _devpi_arguments(
    arguments: argparse.Namespace,
    server_path: Path,
    owner: str,
    defaults: Mapping[str, str | None],
    more: Sequence[str],
) -> list[str]:
    """devpi-server's command line: ours, then `defaults` (option to value) that nobody gives otherwise, then `more`."""
    given = {word.partition("=")[0] for word in more} | _given_to_devpi(os.environ)
    listed = ["--serverdir", str(server_path), "--host", arguments.host, "--port", str(arguments.port)]
    for name in dict.fromkeys(("root", owner)):
        listed += ["--forkbuilder-allow-user", name]
    if arguments.outside_url:
        listed += ["--outside-url", arguments.outside_url]
    for option, value in defaults.items():
        if option not in given:
            listed += [option] if value is None else [option, value]
    return [*listed, *more]


def _given_to_devpi(environ: Mapping[str, str]) -> set[str]:
    """Options that devpi takes from the environment itself: `DEVPISERVER_THREADS` is `--threads`."""
    begin = "DEVPISERVER_"
    names = (name.removeprefix(begin) for name, value in environ.items() if name.startswith(begin) and value)
    return {"--" + name.lower().replace("_", "-") for name in names}


def _welcome(arguments: argparse.Namespace, server_path: Path, passwords: Passwords, changes: Sequence[str]) -> str:
    """What to do now, in lines that can be copied."""
    host = "localhost" if arguments.host in EVERYWHERE else arguments.host
    root = (arguments.outside_url or f"http://{host}:{arguments.port}").rstrip("/")
    url = f"{root}/{arguments.index}/+simple/"
    owner = arguments.index.split("/")[0]
    password = "" if arguments.replica_of else f' --password "$(cat {passwords.path(owner)})"'
    changed = "".join(f"  {line}\n" for line in changes)
    return f"""\
devpi-forkbuilder serves the index {arguments.index} from {server_path}{_of_whom(arguments)}
{changed}
pip   pip install --index-url {url} NAME
      for good:  pip config set global.index-url {url}
uv    uv pip install --default-index {url} NAME
      for good, in uv.toml:  [[index]]
                             url = "{url}"
                             default = true
devpi devpi use {root}/{arguments.index} && devpi login {owner}{password}

States of all forks: {root}/{arguments.index}/+forks    Log: {server_path / FOLDER / "server.log"}
Stop with Ctrl-C."""


def _of_whom(arguments: argparse.Namespace) -> str:
    if arguments.replica_of:
        return f", as a replica of {arguments.replica_of}"
    return f", as a cache of {arguments.upstream}" if arguments.upstream else ""
