"""Gives a wheel another version without building it again: equal input gives equal bytes.

The name of the file, of its `.dist-info` and `.data` folders, the Version header and RECORD change; all else keeps its
bytes and its order. Signatures of RECORD are dropped: they sign what is no longer so.
"""

from __future__ import annotations

import shutil
import stat
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from packaging.version import Version

from devpi_forkbuilder.pipeline.artifacts.core_metadata import with_version
from devpi_forkbuilder.pipeline.artifacts.record import SIGNATURES, Row, write_record
from devpi_forkbuilder.pipeline.artifacts.wheel import Wheel, read_wheel
from devpi_forkbuilder.pipeline.artifacts.zip_reader import Member, chunks
from devpi_forkbuilder.pipeline.process.atomic_write import placed

EARLIEST, LATEST = 315532800, 4354819198
"""What a zip archive can hold: 1980-01-01 00:00:00 to 2107-12-31 23:59:58 (APPNOTE.TXT 4.4.6)."""


def stamp_wheel(path: Path, version: Version, into: Path, epoch: int) -> Path:
    """Write the wheel at `path` with `version` into the folder `into`; a wheel that has it already is copied as it is.

    `epoch`: the date of all members, seconds since the epoch. `into` is not the folder of `path`.
    Raises what `read_wheel` raises, and InfrastructureError when the file cannot be written; then nothing is left.
    """
    wheel = read_wheel(path)
    target = into / (path.name if wheel.version == version else _filename(path.name, version))
    with placed(target) as part:
        if wheel.version == version:
            shutil.copyfile(path, part)
        else:
            _rewrite(wheel, version, part, date_of(epoch))
    return target


def date_of(epoch: int) -> tuple[int, int, int, int, int, int]:
    """A moment as zip archives write it: UTC, brought into the years they know."""
    moment = time.gmtime(min(max(epoch, EARLIEST), LATEST))
    return moment[0], moment[1], moment[2], moment[3], moment[4], moment[5]


def _filename(filename: str, version: Version) -> str:
    name, _, rest = filename.split("-", 2)
    return f"{name}-{version}-{rest}"


def _rewrite(wheel: Wheel, version: Version, target: Path, date: tuple[int, int, int, int, int, int]) -> None:
    old = wheel.dist_info.removesuffix(".dist-info")
    new = f"{old.partition('-')[0]}-{version}"
    metadata = f"{wheel.dist_info}/METADATA"
    rewrite_wheel(wheel, target, date, new=new, edits={metadata: lambda data: with_version(data, version)})


def rewrite_wheel(
    wheel: Wheel,
    target: Path,
    date: tuple[int, int, int, int, int, int],
    *,
    new: str,
    edits: Mapping[str, Callable[[bytes], bytes]],
) -> None:
    """Write a wheel anew whose folders `.dist-info` and `.data` begin with `new` (NAME-VERSION); `edits` change whole
    members, by their old names.
    """
    old = wheel.dist_info.removesuffix(".dist-info")
    record = f"{wheel.dist_info}/RECORD"
    dropped = {record, *(f"{wheel.dist_info}/{name}" for name in SIGNATURES)}
    rows: list[Row] = []
    with wheel.path.open("rb") as source, zipfile.ZipFile(target, "w") as archive:
        for member in wheel.members:
            if member.name in dropped:
                continue
            name = _renamed(member.name, old, new)
            data: Iterable[bytes] = chunks(source, member)
            if member.name in edits:
                data = [edits[member.name](b"".join(data))]
            row = _add(archive, name, member, data, date)
            if not member.is_folder:
                rows.append(row)
        own = Row(f"{new}.dist-info/RECORD")
        last = next(member for member in wheel.members if member.name == record)
        _add(archive, own.path, last, [write_record([*rows, own])], date)


def _renamed(name: str, old: str, new: str) -> str:
    top, slash, rest = name.partition("/")
    return f"{new}{top[len(old) :]}{slash}{rest}" if top in (f"{old}.dist-info", f"{old}.data") else name


def _add(
    archive: zipfile.ZipFile,
    name: str,
    member: Member,
    data: Iterable[bytes],
    date: tuple[int, int, int, int, int, int],
) -> Row:
    info = zipfile.ZipInfo(name, date)
    info.create_system = 3  # Unix, whose permissions follow; otherwise it is that of the machine
    info.external_attr = _mode(member) << 16
    info.compress_type = zipfile.ZIP_STORED if member.is_folder else zipfile.ZIP_DEFLATED
    with archive.open(info, "w") as target:
        return Row.of(name, _written(target, data))


def _mode(member: Member) -> int:
    if member.is_folder:
        return stat.S_IFDIR | 0o755
    return stat.S_IFREG | (0o755 if member.mode & 0o111 else 0o644)


def _written(target: IO[bytes], data: Iterable[bytes]) -> Iterator[bytes]:
    for block in data:
        target.write(block)
        yield block
