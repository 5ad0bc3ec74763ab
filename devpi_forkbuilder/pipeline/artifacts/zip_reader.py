"""Reads a zip archive so strictly that every other reader sees the same members in it.

Installers read archives by different code, and a file that two of them understand differently is an attack
(CVE-2025-54368), so whatever is ambiguous is refused, never fixed. Numbers in comments are sections of
APPNOTE.TXT, the zip format's specification.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from devpi_forkbuilder.errors import MismatchError
from devpi_forkbuilder.pipeline.artifacts.archive_limits import LIMITS, ArchiveLimits, judge_alike, judge_names
from devpi_forkbuilder.pipeline.artifacts.fault_list import NEXT_STEP, Faults, shown_values
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

LOCAL = struct.Struct("<4s5H3L2H")  # 4.3.7
CENTRAL = struct.Struct("<4s6H3L5H2L")  # 4.3.12
END = struct.Struct("<4s4H2LH")  # 4.3.16
STORED, DEFLATED = 0, 8  # 4.4.5
ALLOWED_FLAGS = 0x0806  # 4.4.4: UTF-8 names, and two bits by which a compressor tells its level
UTF8_FLAG = 0x0800
ENCRYPTED_FLAGS = 0x2041
DESCRIPTOR_FLAG = 0x0008
ZIP64_EXTRA, UNICODE_PATH_EXTRA = 0x0001, 0x7075
SENTINEL = 0xFFFFFFFF
BLOCK = 256 * 1024
LONGEST_DIRECTORY = 64 * MEBIBYTE


@dataclass(frozen=True, slots=True)
class Member:
    """One member: sizes in bytes, `mode` as in `stat` (0 when the archive has none), `start` of its packed data."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    start: int

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder entry, which holds nothing."""
        return self.name.endswith("/")


def read_zip_members(file: BinaryIO, faults: Faults, limits: ArchiveLimits = LIMITS) -> tuple[Member, ...]:
    """The members in the central directory's order; faults are noted, and what the members hold is not read."""
    size = file.seek(0, 2)
    found = _read_end(file, size, faults)
    if found is None:
        return ()
    count, start, data = found
    entries = _read_central(data, count, faults)
    members = _read_locals(file, entries, start, faults)
    names = [member.name for member in members]
    judge_names(names, faults)
    judge_alike(names, faults)
    limits.judge(sum(member.size for member in members), size, len(members), faults)
    return members


def chunks(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """The unpacked bytes of a member, block by block, never more than it says it has.

    Raises MismatchError `zip-damaged` when size or CRC differ.
    """
    size = crc = 0
    for block in _unpacked(file, member):
        size += len(block)
        crc = zlib.crc32(block, crc)
        if size > member.size:
            break
        yield block
    if size != member.size or crc != member.crc:
        raise _damaged(member)


def content(file: BinaryIO, member: Member, limit: int, faults: Faults) -> bytes:
    """All bytes of a member that has at most `limit`; otherwise a fault is noted and the answer is empty."""
    if member.size > limit:
        faults.limit("member-too-large", f"{shown_values(member.name)} has {member.size} bytes, {limit} are allowed")
        return b""
    return b"".join(chunks(file, member))


def _read_end(file: BinaryIO, size: int, faults: Faults) -> tuple[int, int, bytes] | None:
    file.seek(max(size - END.size, 0))
    data = file.read(END.size)
    if len(data) < END.size or not data.startswith(b"PK\x05\x06"):
        faults.add("zip-end", "it is not a zip archive, or something follows the archive's end")
        return None
    _, disk, first, here, count, length, start, comment = END.unpack(data)
    if comment or disk or first or here != count:
        faults.add("zip-end", "its end record has a comment or speaks of several disks")
        return None
    if length > LONGEST_DIRECTORY:
        faults.limit("archive-too-many", f"its directory has {length} bytes, {LONGEST_DIRECTORY} are allowed")
        return None
    if start + length + END.size != size:
        faults.add("zip-end", "its directory is not where its end record says, or is larger than a plain zip can have")
        return None
    file.seek(start)
    return count, start, file.read(length)


@dataclass(frozen=True, slots=True)
class _Header:
    """What the central directory says of a member, and what its local header has to repeat."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int = 0
    offset: int = 0

    def agrees(self, local: _Header) -> bool:
        """Whether a local header says the same."""
        mine = (self.name, self.flags, self.method, self.crc, self.packed, self.size)
        return mine == (local.name, local.flags, local.method, local.crc, local.packed, local.size)


def _read_central(data: bytes, count: int, faults: Faults) -> list[_Header]:
    headers: list[_Header] = []
    at = 0
    while at < len(data):
        if len(data) - at < CENTRAL.size or data[at : at + 4] != b"PK\x01\x02":
            break
        _, _, _, flags, method, _, _, crc, packed, size, *rest = CENTRAL.unpack_from(data, at)
        name_size, extra_size, comment_size, disk, _, attributes, offset = rest
        name_end = at + CENTRAL.size + name_size
        name, extra = data[at + CENTRAL.size : name_end], data[name_end : name_end + extra_size]
        at = name_end + extra_size + comment_size
        if disk or _zip64(extra, faults, name) is not None or SENTINEL in (packed, size, offset):
            faults.add("zip-header", f"{shown_values(name)} needs the 64-bit format or another disk")
        headers.append(_Header(name, flags, method, crc, packed, size, attributes >> 16, offset))
    if at != len(data) or len(headers) != count:
        faults.add("zip-directory", "its directory does not end where it should")
    return headers


def _read_locals(file: BinaryIO, headers: list[_Header], end: int, faults: Faults) -> tuple[Member, ...]:
    starts: dict[int, int] = {}
    at = 0
    for header in sorted(headers, key=lambda header: header.offset):
        if header.offset != at:
            faults.add("zip-gap", f"there is other data before {shown_values(header.name)}, or members overlap")
            return ()
        file.seek(at)
        read = _read_local(file, faults)
        if read is None or not header.agrees(read[0]):
            faults.add("zip-header", f"directory and header of {shown_values(header.name)} do not agree")
            return ()
        starts[header.offset] = at + read[1]
        at = starts[header.offset] + header.packed
    if at != end:
        faults.add("zip-gap", "there is other data before the directory")
    return tuple(_member(header, starts[header.offset], faults) for header in headers)


def _read_local(file: BinaryIO, faults: Faults) -> tuple[_Header, int] | None:
    data = file.read(LOCAL.size)
    if len(data) < LOCAL.size or not data.startswith(b"PK\x03\x04"):
        return None
    _, _, flags, method, _, _, crc, packed, size, name_size, extra_size = LOCAL.unpack(data)
    name = file.read(name_size)
    wide = _zip64(file.read(extra_size), faults, name)
    if wide is not None:
        # written by programs that did not know the size beforehand: legal if both places say the same
        sizes = struct.unpack("<2Q", wide) if len(wide) == 16 else (-1, -1)
        if size not in (SENTINEL, sizes[0]) or packed not in (SENTINEL, sizes[1]):
            return None
        size, packed = sizes
    return _Header(name, flags, method, crc, packed, size), LOCAL.size + name_size + extra_size


def _zip64(extra: bytes, faults: Faults, name: bytes) -> bytes | None:
    """The 64-bit extra field (4.5.3) or None; notes fields that are broken or that rename the member (4.6.9)."""
    fields: dict[int, bytes] = {}
    at = 0
    while at < len(extra):
        kind, length = struct.unpack_from("<2H", extra, at) if len(extra) - at >= 4 else (0, len(extra))
        if at + 4 + length > len(extra) or kind in fields:
            faults.add("zip-header", f"the extra fields of {shown_values(name)} are broken")
            return None
        fields[kind] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    if UNICODE_PATH_EXTRA in fields:
        faults.add("zip-header", f"{shown_values(name)} has a second name")
    return fields.get(ZIP64_EXTRA)


def _member(header: _Header, start: int, faults: Faults) -> Member:
    try:
        name = header.name.decode("utf-8" if header.flags & UTF8_FLAG else "ascii")
    except UnicodeDecodeError:
        faults.add("archive-name", f"the name {shown_values(header.name)} is neither ASCII nor marked UTF-8")
        name = ascii(header.name)
    member = Member(name, header.method, header.crc, header.packed, header.size, header.mode, start)
    for problem in _problems(header, member):
        faults.add("zip-member", f"{shown_values(name)} {problem}")
    return member


def _problems(header: _Header, member: Member) -> Iterator[str]:
    if header.method not in (STORED, DEFLATED):
        yield f"is packed by method {header.method}, only stored and deflated members are allowed"
    if header.flags & ENCRYPTED_FLAGS:
        yield "is encrypted"
    elif header.flags & DESCRIPTOR_FLAG:
        yield "has its size after its data"
    elif header.flags & ~ALLOWED_FLAGS:
        yield f"has unknown flags {header.flags:#06x}"
    if header.method == STORED and member.packed != member.size:
        yield "has two sizes"
    kind = stat.S_IFMT(member.mode)
    if kind and kind != (stat.S_IFDIR if member.is_folder else stat.S_IFREG):
        yield "is a link or another special file"
    if member.is_folder and member.size:
        yield "is a folder with content"


def _unpacked(file: BinaryIO, member: Member) -> Iterator[bytes]:
    if member.method == STORED:
        yield from _packed(file, member)
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    rest = b""
    try:
        for block in _packed(file, member):
            rest = block
            while rest and not inflate.eof:
                yield inflate.decompress(rest, BLOCK)
                rest = inflate.unconsumed_tail
        while not inflate.eof and (block := inflate.decompress(b"", BLOCK)):
            yield block
    except zlib.error as error:
        raise _damaged(member) from error
    if not inflate.eof or inflate.unused_data or rest:
        raise _damaged(member)


def _packed(file: BinaryIO, member: Member) -> Iterator[bytes]:
    at, end = member.start, member.start + member.packed
    while at < end:
        file.seek(at)
        block = file.read(min(BLOCK, end - at))
        if not block:
            raise _damaged(member)
        at += len(block)
        yield block


def _damaged(member: Member) -> MismatchError:
    return MismatchError("zip-damaged", f"The data of {shown_values(member.name)} is damaged.", next_step=NEXT_STEP)
