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
        return self._kept(self.path(user))

    def secret(self) -> Path:
        """The file with the server's own secret: with it, logins stay valid when the server is started again."""
        path = self.folder / "+server-secret"  # no user is called so
        self._kept(path)
        return path

    def _kept(self, path: Path) -> str:
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        return path.read_text(encoding="ascii")
