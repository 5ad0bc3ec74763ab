"""The directory of a replica becomes that of the primary: the same identity, so that the other replicas follow it."""

from __future__ import annotations

import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devpi_forkbuilder.devpi.names import is_mirror
from devpi_forkbuilder.errors import RefusedError

NODE = ".nodeinfo"
PATIENCE = 10.0
"""Seconds in which an old primary has to be silent."""
IDENTITY = ("X-DEVPI-PRIMARY-UUID", "X-DEVPI-MASTER-UUID")


@dataclass(frozen=True, slots=True)
class Node:
    """What devpi keeps of a server's role in `.nodeinfo`."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, server_path: Path) -> Node:
        """The node of a server directory. Raises RefusedError when it is none of a replica that has followed."""
        path = server_path / NODE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RefusedError("no-server", f"There is no server in {server_path}.") from error
        node = cls(path, content)
        if content.get("role") != "replica":
            raise RefusedError(
                "not-a-replica",
                f"{server_path} is not the directory of a replica.",
                next_step="Nothing is to be done where it is a primary's already.",
            )
        if not node.primary_uuid:
            raise RefusedError(
                "never-followed",
                f"The replica in {server_path} has never had anything from its primary.",
                next_step="Promote one that has.",
            )
        return node

    @property
    def primary_uuid(self) -> str:
        """The identity of the primary that was followed."""
        return str(self.content.get("primary-uuid") or self.content.get("master-uuid") or "")

    @property
    def primary_url(self) -> str:
        """Where it was."""
        return str(self.content.get("primary-url") or self.content.get("masterurl") or "")

    def promote(self) -> None:
        """Write the role and identity of the primary."""
        gone = ("primary-uuid", "master-uuid", "primary-url", "masterurl")
        kept = {key: value for key, value in self.content.items() if key not in gone}
        text = json.dumps({**kept, "role": "primary", "uuid": self.primary_uuid}, indent=2)
        new = self.path.with_name(f"{NODE}-new")
        with suppress(FileNotFoundError):
            new.unlink()
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(self.path.stat().st_mode & 0o777)
        new.replace(self.path)


def answering(url: str) -> str | None:
    """What says that a primary is still at `url`; None when nothing is there, or a proxy without a server behind it.

    Silence on an open connection counts as an answer: a server that hangs may go on.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{url.rstrip('/')}/+api")  # noqa: S310  (devpi takes http and https only)
    try:
        with opener.open(request, timeout=PATIENCE) as response:
            return f"it answers {response.status}"
    except urllib.error.HTTPError as error:
        error.close()
        proxys = error.code >= 500 and not any(error.headers.get(name) for name in IDENTITY)
        return None if proxys else f"it answers {error.code}"
    except (OSError, HTTPException) as error:
        silent = isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
        return "it accepts connections and is silent" if silent and _accepts(url) else None


def _accepts(url: str) -> bool:
    parts = urlsplit(url)
    with suppress(OSError), socket.create_connection((parts.hostname, parts.port or 80), PATIENCE):
        return True
    return False


def check_users(xom: Any, users: Iterable[str]) -> None:
    """Raise RefusedError (`user-missing`) for a user that the store does not have."""
    with xom.keyfs.read_transaction():
        unknown = [user for user in users if xom.model.get_user(user) is None]
    if unknown:
        raise RefusedError("user-missing", f"There is no user {unknown[0]}.", next_step="Name one that the server has.")


def set_passwords(xom: Any, passwords: Mapping[str, str]) -> None:
    """Give users new passwords, by name; nothing is written when there are none."""
    if passwords:
        with xom.keyfs.write_transaction():
            for name, password in passwords.items():
                xom.model.get_user(name).modify(password=password)


def missing_files(xom: Any) -> list[str]:
    """Paths of the releases (not of mirrors' files, which can be fetched again) whose bytes are not here."""
    missing: list[str] = []
    with xom.keyfs.read_transaction():
        for user in xom.model.get_userlist():
            for name in user.get()["indexes"]:
                stage = xom.model.getstage(user.name, name)
                if stage is not None and not is_mirror(stage):
                    missing.extend(_missing_of(stage))
    return missing


def _missing_of(stage: Any) -> list[str]:
    links = (
        link
        for project in stage.list_projects_perstage()
        for version in stage.list_versions_perstage(project)
        for link in stage.get_linkstore_perstage(project, version).get_links()
    )
    return [link.relpath for link in links if not link.entry.file_exists()]
