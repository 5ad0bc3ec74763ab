"""Generated passwords, each in a file of its own that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


class Passwords:
    """Passwords by user name below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, user: str) -> Path:
        """Where the user's password is kept."""
        return self.folder / user

    def make(self, user: str) -> str:
        """The user's password, generated when there is none yet."""
        path = self.path(user)
        _make(path)
        return path.read_text(encoding="ascii")

    def secret_path(self, given: str | None = None) -> Path:
        """Where the server's own secret is kept: in the file that somebody has named, else in one in `folder`."""
        # no user is called so
        return Path(given).expanduser().absolute() if given else self.folder / "+server-secret"

    def secret(self, given: str | None = None) -> Path:
        """The file with the server's own secret, made when there is none: logins stay valid over a restart with it."""
        path = self.secret_path(given)
        _make(path)
        return path


def _make(path: Path) -> None:
    """Write 256 random bits into the file unless it is there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
