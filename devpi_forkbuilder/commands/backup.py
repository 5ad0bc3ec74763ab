"""`devpi-forkbuilder backup DIR`: everything that a server cannot make again, while it runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands import store_options
from devpi_forkbuilder.commands.up import secretfiles
from devpi_forkbuilder.errors import RefusedError

USAGE = """\
examples:
  devpi-forkbuilder backup /backups/$(date +%F)
  docker compose exec primary devpi-forkbuilder backup /backup/$(date +%F)

The server may run. DIR is made, readable by its owner alone: it has the server's secret and generated passwords.
In the environment, FORKBUILDER_SERVERDIR is --serverdir, and so on, as for `up`.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "backup",
        help="back up a server while it runs",
        description="Write indexes, pins, users, releases, sources, passwords and the secret into a new folder.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", help="a new folder")
    parser.add_argument("--without-mirrored", action="store_true", help="leave out files that can be fetched again")
    store_options.add_options(parser)
    parser.set_defaults(run=run, usage_error=parser.error, words=store_options.words_for_store)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Make the backup; 1 when bytes of releases are missing."""
    from devpi_forkbuilder.devpi.backup import Backup  # noqa: PLC0415  (the extra `server` may not be installed)
    from devpi_forkbuilder.devpi.store_access import open_store  # noqa: PLC0415

    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    server_path = store_options.server_path_of(arguments)
    try:
        node = json.loads((server_path / ".nodeinfo").read_text(encoding="utf-8"))
    except OSError as error:
        raise RefusedError("no-server", f"There is no server in {server_path}: {error.strerror}.") from error
    xom = open_store(server_path, secretfiles.storage_words(arguments), {**node, "role": "primary"})
    target = Path(arguments.folder).expanduser().absolute()
    backup = Backup(xom, target, mirrored=not arguments.without_mirrored)
    manifest = backup.make(store_options.kept_folders(arguments), store_options.secret_path_of(arguments))
    files = sum(path.startswith("files/") for path in manifest.sums)
    print(f"{target}: {manifest.serial + 1} changes, {files} files.")
    if manifest.missing:
        print(
            f"Files that are not in the store: {len(manifest.missing)} ({', '.join(manifest.missing[:3])})",
            file=sys.stderr,
        )
    return int(bool(manifest.missing))
