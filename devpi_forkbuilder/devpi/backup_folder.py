"""The folder of a backup: a manifest with a checksum of each file, the changes, the files, and what is secret."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from devpi_forkbuilder.errors import RefusedError

FORMAT = 1
MANIFEST = "manifest.json"
CHANGES = "changes"
FILES = "files"
SECRET = "secret"
BLOCK = 2**20
HEAD = struct.Struct(">QQ")


@dataclass
class BackupManifest:
    """What a backup holds. `sums` are SHA-256 by path; `missing` names releases whose bytes the server did not have."""

    uuid: str
    serial: int
    made_at: str
    version: str
    sums: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> BackupManifest:
        """Raises RefusedError when there is no whole backup in `folder`."""
        try:
            manifest = cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RefusedError(
                "no-backup", f"There is no backup in {folder}, or one that was not finished: {MANIFEST} is not there."
            ) from error
        if manifest.format != FORMAT:
            raise RefusedError(
                "backup-format",
                f"The backup in {folder} has format {manifest.format}; this version reads {FORMAT}.",
                next_step="Restore it with the version that made it.",
            )
        return manifest

    def write(self, folder: Path) -> None:
        """Write it, last of all: a folder without it is not a backup."""
        path = folder / MANIFEST
        new = path.with_suffix(".new")
        with open_new(new) as file:
            file.write(json.dumps(asdict(self), indent=1).encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    def check(self, folder: Path) -> None:
        """Compare each file with its checksum. Raises RefusedError that names what is damaged."""
        damaged = [path for path, expected in self.sums.items() if _sum_of(folder / path) != expected]
        if damaged:
            more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
            what = f"The backup in {folder} is damaged: {', '.join(damaged[:3])}{more}."
            raise RefusedError("backup-damaged", what, next_step="Take another backup; nothing was restored.")


def open_new(path: Path) -> IO[bytes]:
    """A new file that its owner alone can read; its folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def copy(source: IO[bytes], path: Path) -> str:
    """Copy into a new file; the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with open_new(path) as file:
        while block := source.read(BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


class ChangesWriter:
    """The file with all changes, each as devpi stores it, behind its serial and its length."""

    def __init__(self, path: Path) -> None:
        self._file = open_new(path)
        self._digest = hashlib.sha256()

    def add(self, serial: int, raw: bytes) -> None:
        """Append a change."""
        for part in (HEAD.pack(serial, len(raw)), raw):
            self._file.write(part)
            self._digest.update(part)

    def close(self) -> str:
        """End the file; its SHA-256."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


def read_changes(path: Path) -> Iterator[tuple[int, bytes]]:
    """The changes of a file, in order."""
    with path.open("rb") as file:
        while head := file.read(HEAD.size):
            serial, length = HEAD.unpack(head)
            yield serial, file.read(length)


def _sum_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _digest(file)
    except OSError:
        return ""


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(BLOCK):
        digest.update(block)
    return digest.hexdigest()


Changes = Mapping[str, tuple[str, int, Any]]
"""Of one serial: path in the store to key name, the serial before, and value."""
