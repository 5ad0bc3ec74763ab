"""Reads a compressed tar archive so strictly that every other reader sees the same members in it.

Format: POSIX pax, "ustar Interchange Format" and "pax Extended Header". What is ambiguous is refused: a size that is
given in two places made readers of the same archive see different files (CVE-2025-62518).
"""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from devpi_forkbuilder.pipeline.artifacts.archive_limits import ArchiveLimits, judge_names
from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values
from devpi_forkbuilder.pipeline.artifacts.zip_reader import BLOCK
from devpi_forkbuilder.pipeline.process.atomic_write import disk

LONGEST_HEADER = 16 * 1024
"""Bytes of a header that only describes the next member: readers take it into memory at once."""
EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
EMPTY = (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE)
AMBIGUOUS = ("size", "hdrcharset", "GNU.", "SUN.")
"""Records that change how the archive itself is read; no source distribution needs them."""


@contextmanager
def unpacked(path: Path, faults: Faults, limits: ArchiveLimits) -> Iterator[IO[bytes]]:
    """The tar archive in the gzip file at `path`, as a nameless file in the same folder, while the block lasts.

    Raises what `faults` has when it is not a gzip file or goes past `limits`, and InfrastructureError for a full disk.
    """
    with disk(path.name), tempfile.TemporaryFile(dir=path.parent) as target:
        with path.open("rb") as source:
            _inflate(source, target, faults, limits)
        faults.check()
        yield target


def read_tar_members(file: IO[bytes], faults: Faults, limits: ArchiveLimits) -> tuple[tarfile.TarInfo, ...]:
    """The members in the archive's order; faults are noted. `offset_data` and `size` say where each one's data is."""
    size = file.seek(0, 2)
    _judge_headers(file, size, faults, limits)
    if faults:
        return ()
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="strict") as archive:
            members = archive.getmembers()
    except (tarfile.TarError, ValueError, LookupError, OverflowError):
        faults.add("tar-invalid", "it is not a tar archive, or a damaged one")
        return ()
    limits.judge(sum(member.size for member in members), size, len(members), faults)
    judge_names([member.name + "/" * member.isdir() for member in members], faults)
    _judge_links(members, faults)
    return tuple(members)


def _inflate(source: IO[bytes], target: IO[bytes], faults: Faults, limits: ArchiveLimits) -> None:
    packed = source.seek(0, 2)
    source.seek(0)
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)  # 16: with the header and the checksum of gzip
    total = 0
    try:
        for block in _inflated(source, inflate):
            total += len(block)
            limits.judge(total, packed, 0, faults)
            if faults:
                return
            target.write(block)
    except zlib.error:
        pass  # reported below: the stream has not reached its end
    if not inflate.eof:
        faults.add("gzip-damaged", "it is not a gzip file, or a damaged one")
    elif inflate.unused_data or source.read(1):
        faults.add("gzip-end", "something follows the end of the compressed data")


def _inflated(source: IO[bytes], inflate: zlib._Decompress) -> Iterator[bytes]:
    while not inflate.eof and (rest := source.read(BLOCK)):
        while rest and not inflate.eof:
            yield inflate.decompress(rest, BLOCK)
            rest = inflate.unconsumed_tail
    while not inflate.eof and (block := inflate.decompress(b"", BLOCK)):
        yield block


def _judge_headers(file: IO[bytes], size: int, faults: Faults, limits: ArchiveLimits) -> None:
    """Follow the headers as any reader has to, up to the end, and note what readers treat differently."""
    at = count = 0
    while at < size:
        file.seek(at)
        block = file.read(tarfile.BLOCKSIZE)
        if not any(block):
            break
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, ValueError):
            faults.add("tar-invalid", "it is not a tar archive, or a damaged one")
            return
        problem = _header_problem(header, file)
        count += 1
        if problem or count > 3 * limits.members:  # a member has two headers beside its own at most
            faults.add("tar-member", f"{shown_values(header.name)} {problem or 'is one of too many members'}")
            return
        at += tarfile.BLOCKSIZE + -(-header.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    if at >= size or not _zeros(file, at):
        faults.add("tar-end", "it has no end, or something follows it")


def _header_problem(header: tarfile.TarInfo, file: IO[bytes]) -> str:
    """What is wrong with the header; `file` stands at the data that follows it."""
    if header.size < 0:
        return "has a size below zero"
    if header.type in EXTENDED + LONG:
        if header.size > LONGEST_HEADER:
            return f"has a header of {header.size} bytes, {LONGEST_HEADER} are allowed"
        return _extended_problem(header, file.read(header.size)) if header.type in EXTENDED else ""
    if header.type in EMPTY and header.size:
        return "is a link or a folder with content"
    if header.type not in FILES + EMPTY:
        return "is a device, a pipe, a sparse file or of another special kind"
    return ""


def _extended_problem(header: tarfile.TarInfo, data: bytes) -> str:
    keys: set[str] = set()
    while data:
        length, space, _ = data.partition(b" ")
        if not space or not length.isdigit() or len(length) > 5 or not 5 <= int(length) <= len(data):
            return "has an extended header that is damaged"
        record, data = data[len(length) + 1 : int(length)], data[int(length) :]
        name, equals, _ = record.partition(b"=")
        key = name.decode("utf-8", "replace")
        if not equals or not record.endswith(b"\n") or key in keys:
            return "has an extended header that is damaged"
        if key.startswith(AMBIGUOUS) or (header.type == tarfile.XGLTYPE and key in ("path", "linkpath")):
            return f"has an extended header with {shown_values(key)}, which readers understand differently"
        keys.add(key)
    return ""


def _zeros(file: IO[bytes], at: int) -> bool:
    file.seek(at)
    while block := file.read(BLOCK):
        if any(block):
            return False
    return True


def _judge_links(members: list[tarfile.TarInfo], faults: Faults) -> None:
    """Note links that leave the archive's top folder, or that could by way of another link."""
    kinds: dict[str, bool] = {}  # name to: is it a link
    links = {member.name: True for member in members if member.issym()}
    for member in members:
        inside = not member.issym() or _stays(member.name, member.linkname, links)
        if member.islnk():
            inside = kinds.get(member.linkname) is False
        if not inside:
            faults.add(
                "tar-link", f"the link {shown_values(member.name)} leaves the archive, or names no file before it"
            )
        kinds[member.name] = not member.isreg()


def _stays(name: str, target: str, links: Mapping[str, bool]) -> bool:
    if target.startswith("/") or "\\" in target or not target.isprintable():
        return False
    place = name.split("/")[:-1]
    for part in target.split("/"):
        if "/".join(place) in links:
            return False
        if part == "..":
            place = place[:-1]
        elif part not in ("", "."):
            place = [*place, part]
        if not place:
            return False
    return True
