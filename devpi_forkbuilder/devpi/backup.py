"""A backup of a server that may run meanwhile: a replica on disk, which does not follow.

The changelog only grows, so all changes up to a serial are one state, whatever is written behind them. A file that a
later change has deleted before it was copied is not a loss when that change is in the backup: so changes are read until
nothing is missing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from devpi_server.fileutil import loads

from devpi_forkbuilder import __version__
from devpi_forkbuilder.devpi.backup_folder import CHANGES, FILES, SECRET, BackupManifest, ChangesWriter, copy
from devpi_forkbuilder.devpi.names import is_mirror
from devpi_forkbuilder.errors import InfrastructureError, RefusedError

ROUNDS = 20
"""How often the changes are read on; a store whose files go faster than that is not backed up."""


class Backup:
    """A backup in the making, of the store of `xom`, into the new folder `target`."""

    def __init__(self, xom: Any, target: Path, *, mirrored: bool = True) -> None:
        self._keyfs = xom.keyfs
        self._filestore = xom.filestore
        self._model = xom.model
        self._target = target
        self._mirrored = mirrored
        names = (self._keyfs.STAGEFILE.name, self._keyfs.PYPIFILE_NOMD5.name)
        self._kinds = frozenset(names)
        self._values: dict[str, tuple[str, Any]] = {}
        self._copied: set[str] = set()
        self._next = 0
        node = xom.config.nodeinfo
        self._manifest = BackupManifest(
            str(node["uuid"]), -1, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), __version__
        )

    def make(self, kept: Mapping[str, Path], secret: Path) -> BackupManifest:
        """Write everything; `kept` has the folders beside devpi's data, by their names in the backup.

        Raises RefusedError and InfrastructureError.
        """
        if self._target.exists() and any(self._target.iterdir()):
            raise RefusedError("backup-there", f"{self._target} is not empty.", next_step="Name a new folder.")
        self._target.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._write(kept, secret)
        except OSError as error:
            what = f"The backup in {self._target} was not finished: {error.strerror or error}."
            raise InfrastructureError("backup-failed", what, next_step="Remove the folder and try again.") from error
        return self._manifest

    def _write(self, kept: Mapping[str, Path], secret: Path) -> None:
        changes = ChangesWriter(self._target / CHANGES)
        for _ in range(ROUNDS):
            grown = self._read(changes)
            missing = self._copy_files()
            if not missing or not grown:
                break
        self._manifest.sums[CHANGES] = changes.close()
        self._manifest.missing = sorted(missing)
        self._manifest.serial = self._next - 1
        self._copy_kept(kept, secret)
        self._manifest.write(self._target)

    def _read(self, changes: ChangesWriter) -> bool:
        """Append what was committed since; whether anything was."""
        last = self._keyfs.get_current_serial()
        begun = self._next
        for serial in range(begun, last + 1):
            with self._keyfs.get_connection() as connection:
                raw = connection.get_raw_changelog_entry(serial)
            if raw is None:
                what = f"Change {serial} is not in the store: it is damaged."
                raise InfrastructureError("store-damaged", what, retryable=False)
            changes.add(serial, bytes(raw))
            for path, (name, _, value) in loads(raw)[0].items():
                if name in self._kinds:
                    self._values[path] = (name, value)
            self._next = serial + 1
        return self._next > begun

    def _copy_files(self) -> set[str]:
        """Copy what has not been copied; the paths of what is not there."""
        missing = set()
        for path, (name, value) in self._values.items():
            if value is None or value.get("last_modified") is None or path in self._copied:
                continue
            if not self._mirrored and self._of_mirror(path):
                continue
            if not self._copy_file(path, name, value):
                missing.add(path)
        return missing

    def _copy_file(self, path: str, name: str, value: Any) -> bool:
        key = self._keyfs.get_key_instance(name, path)
        with self._keyfs.read_transaction():
            entry = self._filestore.get_file_entry_from_key(key, meta=value)
            if not entry.file_exists():
                return False
            try:
                with closing(entry.file_open_read()) as source:
                    digest = copy(source, self._target / FILES / path)
            except FileNotFoundError:  # deleted since
                return False
            expected = entry.hashes.get("sha256", digest)
        if digest != expected:
            return False
        self._manifest.sums[f"{FILES}/{path}"] = digest
        self._copied.add(path)
        return True

    def _of_mirror(self, path: str) -> bool:
        with self._keyfs.read_transaction():
            stage = self._model.getstage("/".join(path.split("/")[:2]))
            return stage is not None and is_mirror(stage)

    def _copy_kept(self, kept: Mapping[str, Path], secret: Path) -> None:
        if secret.is_file():
            with secret.open("rb") as source:
                self._manifest.sums[SECRET] = copy(source, self._target / SECRET)
        for name, folder in kept.items():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    stored = f"{name}/{path.relative_to(folder).as_posix()}"
                    with path.open("rb") as source:
                        self._manifest.sums[stored] = copy(source, self._target / stored)
