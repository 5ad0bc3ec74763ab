"""What `up` prints: what to do now, that it answers, and that it has stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from devpi_forkbuilder.commands.up.passwords import Passwords
from devpi_forkbuilder.options import FOLDER

EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104  (names, none is listened on by itself)


def root_url(arguments: argparse.Namespace) -> str:
    """The URL that clients reach the server at."""
    host = "localhost" if arguments.host in EVERYWHERE else arguments.host
    host = f"[{host}]" if ":" in host else host
    return str(arguments.outside_url or f"http://{host}:{arguments.port}").rstrip("/")


def served_index_url(arguments: argparse.Namespace) -> str:
    """The URL for pip and uv."""
    return f"{root_url(arguments)}/{arguments.index}/+simple/"


def welcome(arguments: argparse.Namespace, server_path: Path, passwords: Passwords, changes: Sequence[str]) -> str:
    """What to do now, in lines that can be copied."""
    root, url = root_url(arguments), served_index_url(arguments)
    owner = arguments.index.split("/")[0]
    kept = passwords.path(owner).is_file()  # not with a replica, nor where one was promoted
    password = f' --password "$(cat {passwords.path(owner)})"' if kept else ""
    changed = "".join(f"  {line}\n" for line in changes)
    return f"""\
devpi-forkbuilder serves the index {arguments.index} from {server_path}{_role(arguments)}
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


def _role(arguments: argparse.Namespace) -> str:
    if arguments.replica_of:
        return f", as a replica of {arguments.replica_of}"
    return f", as a cache of {arguments.upstream}" if arguments.upstream else ""
