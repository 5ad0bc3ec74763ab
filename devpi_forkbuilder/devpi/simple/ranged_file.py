"""A remote wheel as a file that is read by HTTP ranges (RFC 9110, section 14), from its end."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from packaging.utils import canonicalize_name

TAIL = 32 * 1024
"""Bytes of the first request: a wheel ends with its list of members, and most have their metadata just before it."""
LARGEST = 8 * 1024 * 1024
"""Bytes of metadata, of one range, and of all ranges of a wheel; more is not metadata."""
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
METADATA = re.compile(r"([^/]+)-[^-/]+\.dist-info/METADATA")


class RangesRefusedError(Exception):
    """The server answers with the whole file, of `length` bytes if other ranges may be tried."""

    def __init__(self, length: int | None = None) -> None:
        super().__init__("the server answers no ranges")
        self.length = length


@dataclass(frozen=True, slots=True)
class RemoteFilePart:
    """Bytes of a file from `start` on; the whole file has `length` of them."""

    start: int
    length: int
    content: bytes

    @classmethod
    def parse(cls, header: str, content: bytes) -> RemoteFilePart:
        """From an answer's Content-Range. Raises ValueError if the content is another."""
        found = RANGE.fullmatch(header.strip())
        if found is None:
            raise ValueError(f"{header[:80]!r} is not a range of a file of known length")
        first, last, length = map(int, found.groups())
        if last - first + 1 != len(content) or last >= length:
            raise ValueError("the range and its content differ")
        return cls(first, length, content)


class RangedFile(io.RawIOBase):
    """Reads through `get`, which is given the value of a Range header. What was read once is not fetched again."""

    def __init__(self, get: Callable[[str], RemoteFilePart]) -> None:
        super().__init__()
        self._get = get
        try:
            self._parts = [get(f"bytes=-{TAIL}")]
            self._length = self._parts[0].length
        except RangesRefusedError as refused:
            if not refused.length:
                raise
            # some object stores know no ranges that count from the end
            self._length, self._parts = refused.length, []
        self._at = 0
        self._fetched = sum(len(part.content) for part in self._parts)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, origin + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position on. Raises ValueError when that is more than any metadata needs."""
        end = self._length if size is None or size < 0 else min(self._length, self._at + size)
        if end <= self._at:
            return b""
        part = self._holding(self._at, end)
        found = part.content[self._at - part.start : end - part.start]
        self._at = end
        return found

    def _holding(self, start: int, end: int) -> RemoteFilePart:
        for part in self._parts:
            if part.start <= start and end <= part.start + len(part.content):
                return part
        # reads come in small pieces: what follows is wanted next
        first = min(start, max(0, self._length - TAIL))
        last = min(self._length, max(end, first + TAIL)) - 1
        self._fetched += last + 1 - first
        if self._fetched > LARGEST:
            raise ValueError("too much of the wheel is asked for")
        part = self._get(f"bytes={first}-{last}")
        if (part.start, part.length) != (first, self._length) or len(part.content) != last + 1 - first:
            raise ValueError("the wheel changed while it was read")
        self._parts.append(part)
        return part


def read_remote_metadata(file: RangedFile, project: str) -> bytes | None:
    """The core metadata in a wheel of a project (normalized name); None if it has none, or more than any.

    Raises zipfile.BadZipFile and ValueError for what is not a wheel, and what `file` raises.
    """
    with zipfile.ZipFile(file) as archive:
        found = [(METADATA.fullmatch(info.filename), info) for info in archive.infolist()]
        members = {canonicalize_name(match[1]): info for match, info in found if match is not None}
        member = members.get(canonicalize_name(project))
        if member is None or member.file_size > LARGEST:
            return None
        with archive.open(member) as content:
            return content.read(LARGEST)
