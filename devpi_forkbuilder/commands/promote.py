"""`devpi-forkbuilder promote`: a replica's directory becomes the primary's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from devpi_forkbuilder.commands import store_options
from devpi_forkbuilder.commands.up import secretfiles
from devpi_forkbuilder.commands.up.passwords import Passwords
from devpi_forkbuilder.commands.up.server_lock import ServerLock
from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.options import FOLDER

GONE = "--old-primary-is-gone"
LACKING = "--accept-missing-files"
NEW_PASSWORD = "--new-password"
USAGE = """\
examples:
  devpi-forkbuilder promote --serverdir /srv/devpi
  docker compose run --rm replica1 promote

Stop the replica first. Of several, take the one with the most changes: `serial` in /+status of each.
In the environment, FORKBUILDER_SERVERDIR is --serverdir, and so on, as for `up`.
"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "promote",
        help="make a replica the primary",
        description="Give a stopped replica the role and the identity of its primary: other replicas follow it.",
        epilog=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(GONE, action="store_true", help="the old primary is stopped for good, whatever still answers")
    parser.add_argument(LACKING, action="store_true", help="lose the releases whose bytes have not come here")
    parser.add_argument(
        NEW_PASSWORD,
        action="append",
        default=[],
        metavar="USER",
        help="generate a password for USER, and keep it as `up` does (repeatable)",
    )
    store_options.add_options(parser)
    parser.set_defaults(run=run, usage_error=parser.error, words=store_options.words_for_store)


def run(arguments: argparse.Namespace, more: Sequence[str]) -> int:
    """Promote, and print what is next. Raises RefusedError, with nothing changed."""
    from devpi_forkbuilder.devpi import promotion  # noqa: PLC0415  (the extra `server` may not be installed)
    from devpi_forkbuilder.devpi.store_access import open_store  # noqa: PLC0415

    if more:
        arguments.usage_error(f"unrecognized arguments: {' '.join(more)}")
    server_path = store_options.server_path_of(arguments)
    node = promotion.Node.read(server_path)
    lock = ServerLock(server_path, server_path / FOLDER)
    lock.take("promote")
    try:
        said = None if arguments.old_primary_is_gone else promotion.answering(node.primary_url)
        if said is not None:
            raise RefusedError(
                "primary-answers",
                f"The primary at {node.primary_url} is still there: {said}. Two primaries cannot be joined again.",
                next_step=f"Stop it for good first. If something else answers there: {GONE}",
            )
        words = secretfiles.storage_words(arguments)
        readonly = not arguments.new_password
        xom = open_store(server_path, words, {**node.content, "role": "primary"}, readonly=readonly)
        promotion.check_users(xom, arguments.new_password)
        missing = promotion.missing_files(xom)
        if missing and not arguments.accept_missing_files:
            raise RefusedError(
                "files-missing",
                f"Releases without their bytes on this replica: {len(missing)} ({', '.join(missing[:3])}).",
                next_step=f"Promote a replica that has them, or lose them: {LACKING}",
            )
        node.promote()
        passwords = Passwords(server_path / FOLDER / "passwords")
        promotion.set_passwords(xom, {user: passwords.make(user) for user in arguments.new_password})
        print(_next_steps(arguments, node, xom.keyfs.get_current_serial()))
    finally:
        lock.release()
    return 0


def _next_steps(arguments: argparse.Namespace, node: Any, serial: int) -> str:
    path = store_options.server_path_of(arguments)
    return f"""\
{path} is the primary's now, with the identity {node.primary_uuid} and {serial + 1} changes. What is next:
1. Start it without --replica-of (FORKBUILDER_REPLICA_OF), with the secret file, git, uv and the --forkbuilder options
   that the old primary had:
     devpi-forkbuilder up --serverdir {path} --secretfile FILE
2. Lead the name of the old primary ({node.primary_url}) to it, or start the other replicas with --replica-of URL of
   this one. They go on from where they are; one that has more changes says so, and must be recreated.
3. Never start the old primary's directory again. Its machine can be a replica with a new directory:
     devpi-forkbuilder up --replica-of URL --secretfile FILE --serverdir NEW-DIRECTORY
{_about_passwords(arguments, path)}"""


def _about_passwords(arguments: argparse.Namespace, path: Path) -> str:
    kept = Passwords(path / FOLDER / "passwords")
    new = [f"{user}'s new password is in {kept.path(user)}." for user in arguments.new_password]
    others = "Users keep their passwords; the files with generated ones are with the old primary."
    return "\n".join([*new, f"{others} Where nobody knows root's: devpi-passwd root --serverdir {path}"])
