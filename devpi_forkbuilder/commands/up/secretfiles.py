"""Secrets that are given as files, as containers get them, and where they go: never onto a command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from devpi_forkbuilder.errors import RefusedError


def add_options(parser: Any) -> None:
    """Add the options that name files with secrets, and the storage that one of them is for."""
    parser.add_argument(
        "--root-password-file", metavar="FILE", help="the password of root on a new server; default: a generated one"
    )
    parser.add_argument("--storage", metavar="NAME", help="devpi's storage: sqlite, or pg8000:host=H,database=D,user=U")
    parser.add_argument("--storage-password-file", metavar="FILE", help="the database user's password")


def read_secret(path: str, option: str) -> str:
    """The first line of a file. Raises RefusedError when there is none."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RefusedError(
            "secret-unreadable",
            f"The file of {option}, {path}, cannot be read: {reason}.",
            next_step="The user that runs the server has to be able to read it.",
        ) from error
    secret = text.split("\n", maxsplit=1)[0].rstrip("\r")
    if not secret:
        raise RefusedError("secret-empty", f"The first line of {path}, the file of {option}, is empty.")
    return secret


def storage_words(arguments: argparse.Namespace) -> list[str]:
    """devpi's `--storage` with the password in it, for devpi's own parser in this process. Raises RefusedError."""
    if not arguments.storage:
        return []
    if not arguments.storage_password_file:
        return ["--storage", arguments.storage]
    password = read_secret(arguments.storage_password_file, "--storage-password-file")
    if "," in password:
        raise RefusedError(
            "storage-password",
            "devpi separates the settings of a storage by commas, so the password cannot have one.",
            next_step="Choose another password for the database's user.",
        )
    separator = "," if ":" in arguments.storage else ":"
    return ["--storage", f"{arguments.storage}{separator}password={password}"]
