"""The manifest of a warmed cache: every file with its hash, in an order and a form that never change by themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.version import InvalidVersion, Version

FORM = 1
"""The number of this form of manifest; a reader refuses others."""
KEYS = ("name", "version", "filename", "sha256")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file: its project (normalized name), version, name, and SHA-256 in hex."""

    name: str
    version: str
    filename: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """Files in order of project, version and file name, each once."""

    files: tuple[ManifestFile, ...]

    @classmethod
    def of(cls, files: Iterable[ManifestFile]) -> Manifest:
        """A manifest of these files."""
        return cls(tuple(sorted(set(files), key=_order)))

    @classmethod
    def read(cls, text: str) -> Manifest:
        """What `str` of a manifest has said. Raises ValueError with a phrase."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError("it is not JSON") from error
        if not isinstance(document, dict) or document.get("manifest") != FORM:
            raise ValueError(f'it does not begin with "manifest": {FORM}')
        files = document.get("files")
        if not isinstance(files, list):
            raise ValueError("it has no list of files")
        return cls.of(_file(number, file) for number, file in enumerate(files, 1))

    def __str__(self) -> str:
        """JSON, one file in a line, so that differences can be read."""
        lines = [f"    {json.dumps({key: getattr(file, key) for key in KEYS})}" for file in self.files]
        listed = "[\n" + ",\n".join(lines) + "\n  ]" if lines else "[]"
        return f'{{\n  "manifest": {FORM},\n  "files": {listed}\n}}\n'


def _file(number: int, entry: Any) -> ManifestFile:
    values = [
        value for key in KEYS if isinstance(entry, Mapping) and isinstance(value := entry.get(key), str) and value
    ]
    if len(values) < len(KEYS):
        raise ValueError(f"file {number} lacks one of {', '.join(KEYS)}")
    file = ManifestFile(*values)
    if not SHA256.fullmatch(file.sha256):
        raise ValueError(f"file {number} has an invalid sha256")
    return file


def _order(file: ManifestFile) -> tuple[str, bool, Version, str, str, str]:
    """Versions by their meaning; what is not a version comes first, by its text."""
    try:
        return file.name, True, Version(file.version), file.version, file.filename, file.sha256
    except InvalidVersion:
        return file.name, False, Version("0"), file.version, file.filename, file.sha256
