"""RECORD: the list of a wheel's files with their hashes and sizes.

Format: packaging.python.org, "Recording installed projects"; "Binary distribution format" for the signatures.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values

ALGORITHMS = ("sha256", "sha384", "sha512")
SIGNATURES = ("RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: path in the wheel, hash algorithm, its digest (URL-safe base64, no padding), size in bytes or empty."""

    path: str
    algorithm: str = ""
    digest: str = ""
    size: str = ""

    @classmethod
    def of(cls, path: str, data: Iterable[bytes], algorithm: str = "sha256") -> Row:
        """The line for the file that consists of `data`."""
        hasher, size = hashlib.new(algorithm), 0
        for block in data:
            hasher.update(block)
            size += len(block)
        return cls(path, algorithm, encoded(hasher.digest()), str(size))


def encoded(digest: bytes) -> str:
    """A digest as RECORD writes it."""
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def read_record(data: bytes, own: str, faults: Faults) -> dict[str, Row]:
    """The lines by path; `own` is RECORD's path, whose line has neither hash nor size."""
    rows: dict[str, Row] = {}
    try:
        lines = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error):
        faults.add("record-invalid", "RECORD is not a table in UTF-8")
        return rows
    for line in lines:
        if len(line) != 3:
            faults.add("record-invalid", f"RECORD has a line of {len(line)} fields, three are needed")
            continue
        path, digest, size = line
        algorithm, _, value = digest.partition("=")
        if path in rows:
            faults.add("record-duplicate", f"RECORD names {shown_values(path)} twice")
        elif path == own and (digest or size):
            faults.add("record-invalid", "RECORD has a hash of itself")
        elif path != own and algorithm not in ALGORITHMS:
            faults.add("record-invalid", f"RECORD has no hash for {shown_values(path)}, or one by a weak algorithm")
        rows[path] = Row(path, algorithm, value, size)
    return rows


def compare_paths(rows: Iterable[str], files: Iterable[str], own: str, faults: Faults) -> None:
    """Note what RECORD does not list, and what it lists that is not in the wheel."""
    signatures = {own.removesuffix("RECORD") + name for name in SIGNATURES}
    listed, there = set(rows), set(files)
    for path in sorted(listed - there):
        faults.add("record-missing", f"RECORD names {shown_values(path)}, which is not in the wheel")
    for path in sorted(there - listed - signatures):
        faults.add("record-unlisted", f"RECORD does not name {shown_values(path)}")
    for path in sorted(listed & signatures):
        faults.add("record-invalid", f"RECORD names the signature {shown_values(path)}")


def compare_row(row: Row, data: Iterable[bytes], faults: Faults) -> None:
    """Note a file that is not as its line says."""
    actual = Row.of(row.path, data, row.algorithm)
    if row.digest.rstrip("=") != actual.digest or row.size not in ("", actual.size):
        faults.add("record-differs", f"RECORD has another hash or size for {shown_values(row.path)}")


def write_record(rows: Iterable[Row]) -> bytes:
    """The file's bytes, in the order given."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        writer.writerow((row.path, f"{row.algorithm}={row.digest}" if row.digest else "", row.size))
    return text.getvalue().encode("utf-8")
