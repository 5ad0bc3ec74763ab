"""`devpi-forkbuilder restore DIR`: a server directory from a backup."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands import store_options
from devpi_forkbuilder.commands.up import secretfiles

USAGE = """\
examples:
  devpi-forkbuilder restore /backups/2026-11-21 --serverdir /srv/devpi
  docker compose run --rm primary restore /backup/2026-11-21

The server directory has to be empty, and so has the database. The storage may be another one than before.
In the environment, FORKBUILDER_SERVERDIR is --serverdir, and so on, as for `up`.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "restore",
        help="restore a server from a backup",
        description="Check a backup, and make a server directory (and fill a database) from it.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="the backup")
    store_options.add_options(parser)
    parser.set_defaults(run=run, usage_error=parser.error, words=store_options.words_for_store)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Restore, and print what is next."""
    from devpi_forkbuilder.devpi.restore import restore_backup  # noqa: PLC0415  (the extra `server` may not be installed)

    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    source = Path(arguments.folder).expanduser().absolute()
    server_path = store_options.server_path_of(arguments)
    words = secretfiles.storage_words(arguments)
    kept, secret = store_options.kept_folders(arguments), store_options.secret_path_of(arguments)
    manifest = restore_backup(source, server_path, words, kept, secret)
    print(f"{server_path} is as of {manifest.made_at}, with {manifest.serial + 1} changes.")
    print("Start it as before. Replicas that have more changes must be recreated; they say so themselves.")
    return 0
