"""A backup becomes a server directory, and a database where that is the storage: change for change, file for file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from devpi_server.fileutil import loads
from devpi_server.main import set_state_version

from devpi_forkbuilder.devpi.backup_folder import CHANGES, FILES, SECRET, BackupManifest, copy, read_changes
from devpi_forkbuilder.devpi.promotion import NODE
from devpi_forkbuilder.devpi.store_access import open_store
from devpi_forkbuilder.errors import InfrastructureError, RefusedError

MAKING = "-restoring"


def restore_backup(
    source: Path, server_path: Path, words: Sequence[str], kept: Mapping[str, Path], secret: Path
) -> BackupManifest:
    """Make `server_path` from the backup in `source`; `words` say which storage.

    `kept` says where the folders beside devpi's data belong, `secret` where the server's secret does. The
    directory gets its name when it is complete.
    Raises RefusedError and InfrastructureError.
    """
    manifest = BackupManifest.read(source)
    if server_path.exists() and any(server_path.iterdir()):
        raise RefusedError("server-there", f"{server_path} is not empty.", next_step="Restore into a new directory.")
    manifest.check(source)
    making = server_path.with_name(server_path.name + MAKING)
    try:
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True, mode=0o700)
        _fill(source, making, manifest, words)

        def place(path: Path) -> Path:
            return making / path.relative_to(server_path) if path.is_relative_to(server_path) else path

        _keep(source, {name: place(path) for name, path in kept.items()}, place(secret))
        node = {"uuid": manifest.uuid, "role": "primary"}
        (making / NODE).write_text(json.dumps(node, indent=2), encoding="utf-8")
        _move(making, server_path)
    except OSError as error:
        what = f"{server_path} was not restored: {error.strerror or error}."
        raise InfrastructureError("restore-failed", what, next_step="Make room, and restore again.") from error
    return manifest


def _move(making: Path, server_path: Path) -> None:
    """Give the directory its name. One that is a volume of its own keeps its name, and gets the content."""
    if server_path.exists():
        for path in making.iterdir():
            shutil.move(path, server_path / path.name)
        making.rmdir()
    else:
        making.rename(server_path)


def _fill(source: Path, making: Path, manifest: BackupManifest, words: Sequence[str]) -> None:
    xom = open_store(making, words, {"uuid": manifest.uuid, "role": "primary"})
    set_state_version(xom.config)
    if xom.keyfs.get_current_serial() != -1:
        raise RefusedError(
            "store-not-empty", "The database has data of a server.", next_step="Restore into an empty database."
        )
    values: dict[str, tuple[str, Any]] = {}
    for serial, raw in read_changes(source / CHANGES):
        changes = loads(raw)[0]
        xom.keyfs.import_changes(serial, changes)
        values.update({path: (name, value) for path, (name, _, value) in changes.items()})
    for path in manifest.sums:
        if path.startswith(f"{FILES}/"):
            stored = path.removeprefix(f"{FILES}/")
            _store(xom, stored, *values[stored], source / path)


def _store(xom: Any, stored: str, name: str, value: Any, path: Path) -> None:
    if value is None:
        return  # deleted by a change that was read after the file
    key = xom.keyfs.get_key_instance(name, stored)
    entry = xom.filestore.get_file_entry_from_key(key, meta=value)
    with path.open("rb") as file, xom.keyfs.filestore_transaction():
        entry.file_set_content_no_meta(file, hashes=entry.hashes)


def _keep(source: Path, kept: Mapping[str, Path], secret: Path) -> None:
    for name, folder in kept.items():
        for path in (source / name).rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    copy(file, folder / path.relative_to(source / name))
    if (source / SECRET).is_file() and not secret.exists():
        with (source / SECRET).open("rb") as file:
            copy(file, secret)
