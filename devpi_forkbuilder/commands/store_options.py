"""The options that commands beside `up` need to find a server's data: as the server is started with."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands.up.command import DEFAULT_DIR
from devpi_forkbuilder.commands.up.environment import UP
from devpi_forkbuilder.commands.up.passwords import Passwords
from devpi_forkbuilder.options import FOLDER

VARIABLES = (
    "FORKBUILDER_SERVERDIR",
    "FORKBUILDER_SECRET_FILE",
    "FORKBUILDER_STORAGE",
    "FORKBUILDER_STORAGE_PASSWORD_FILE",
)


def add_options(parser: Any) -> None:
    """Add them to a parser."""
    parser.add_argument("--serverdir", default=DEFAULT_DIR, metavar="DIR", help=f"data folder; default: {DEFAULT_DIR}")
    parser.add_argument("--secretfile", metavar="FILE", help="the server's secret, where it is not in the data folder")
    parser.add_argument("--forkbuilder-dir", metavar="DIR", help="where sources are; default: <serverdir>/.forkbuilder")
    parser.add_argument("--storage", metavar="NAME", help="devpi's storage: sqlite, or pg8000:host=H,database=D,user=U")
    parser.add_argument("--storage-password-file", metavar="FILE", help="the database user's password")


def words_for_store(environ: Mapping[str, str]) -> list[str]:
    """What a server's environment says of them, as words of a command line."""
    names = {name: UP[name] for name in VARIABLES} | {"FORKBUILDER_DIR": "--forkbuilder-dir"}
    return [word for name, option in names.items() if environ.get(name) for word in (option, environ[name])]


def server_path_of(arguments: argparse.Namespace) -> Path:
    """The server directory."""
    return Path(arguments.serverdir).expanduser().absolute()


def kept_folders(arguments: argparse.Namespace) -> dict[str, Path]:
    """The folders that a backup has beside devpi's data: generated passwords, and archived sources."""
    own = server_path_of(arguments) / FOLDER
    moved = Path(arguments.forkbuilder_dir).expanduser().absolute() if arguments.forkbuilder_dir else own
    return {"passwords": own / "passwords", "sources": moved / "sources"}


def secret_path_of(arguments: argparse.Namespace) -> Path:
    """Where the server's secret is."""
    return Passwords(server_path_of(arguments) / FOLDER / "passwords").secret_path(arguments.secretfile)
