"""Wheels: whether installers will agree on what is in one, and whether it is the one that was pinned.

Format: packaging.python.org, "Binary distribution format". Nothing is ever unpacked to a folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from packaging.tags import Tag, parse_tag
from packaging.utils import BuildTag, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.results import Artefact
from devpi_forkbuilder.pipeline.artifacts.archive_limits import LIMITS, ArchiveLimits
from devpi_forkbuilder.pipeline.artifacts.core_metadata import Metadata, read_headers, read_metadata
from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values
from devpi_forkbuilder.pipeline.artifacts.match_pin import agree, is_stamped
from devpi_forkbuilder.pipeline.artifacts.record import SIGNATURES, Row, compare_paths, compare_row, read_record
from devpi_forkbuilder.pipeline.artifacts.script_names import judge_script_names
from devpi_forkbuilder.pipeline.artifacts.zip_reader import BLOCK, Member, chunks, content, read_zip_members
from devpi_forkbuilder.pipeline.process.command import MEBIBYTE

__all__ = ["Names", "Wheel", "agree", "artefact_of", "digest", "read_wheel"]

PURE = Tag("py3", "none", "any")
LIMIT_OF = {"METADATA": 4 * MEBIBYTE, "RECORD": 32 * MEBIBYTE, "WHEEL": MEBIBYTE // 16}
MOST_TAGS = 500
LONGEST_SCRIPTS = MEBIBYTE


@dataclass(frozen=True, slots=True)
class Names:
    """What a wheel's file name says; `name` is normalized."""

    name: str
    version: Version
    build: BuildTag
    tags: frozenset[Tag]


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel that passed every check. `project` is the name as the metadata writes it, `dist_info` a folder's name.

    `members` keep the archive's order; `metadata` is as in `Artefact`; `sha256` (hex) and `size` (bytes) are of the
    file itself.
    """

    path: Path
    filename: str
    name: str
    project: str
    version: Version
    build: BuildTag
    tags: frozenset[Tag]
    root_is_purelib: bool
    dist_info: str
    members: tuple[Member, ...]
    record: Mapping[str, Row]
    metadata: Mapping[str, str | list[str]]
    sha256: str
    size: int

    @property
    def pure(self) -> bool:
        """Whether it serves every Python 3 and every platform."""
        return PURE in self.tags


def read_wheel(path: Path, limits: ArchiveLimits = LIMITS) -> Wheel:
    """The wheel at `path`; raises MismatchError or LimitsError with every fault that could be found.

    Members that are contradicted by their own archive are not looked into, so such faults are reported alone.
    """
    faults = Faults(path.name)
    with path.open("rb") as file:
        names = _read_filename(path.name, faults)
        members = read_zip_members(file, faults, limits)
        faults.check()
        dist_info = _dist_info(members, names, faults)
        by_name = {member.name: member for member in members}
        texts = _texts(file, by_name, dist_info, faults)
        metadata = read_metadata(texts["METADATA"], "METADATA", faults)
        purelib = _read_wheel_file(texts["WHEEL"], names, faults)
        if (scripts := by_name.get(f"{dist_info}/entry_points.txt")) is not None:
            judge_script_names(content(file, scripts, LONGEST_SCRIPTS, faults), faults)
        rows = read_record(texts["RECORD"], f"{dist_info}/RECORD", faults)
        _compare(file, by_name, rows, f"{dist_info}/RECORD", faults)
        _compare_names(metadata, names, faults)
        faults.check()
        sha256, size = digest(file)
    assert metadata is not None  # noqa: S101  (None comes with a fault, so the check above has raised)
    return Wheel(
        path=path, filename=path.name, name=names.name, project=metadata.project, version=metadata.version,
        build=names.build, tags=names.tags, root_is_purelib=purelib, dist_info=dist_info, members=members,
        record=rows, metadata=metadata.fields, sha256=sha256, size=size,
    )  # fmt: skip


def artefact_of(path: Path, pin: Pin) -> Artefact:
    """The wheel at `path`, checked, as the pin's artefact; its version may carry the pin's stamp. Raises as above."""
    wheel = read_wheel(path)
    if not is_stamped(wheel.version, pin):
        agree(wheel, pin)
    return Artefact(
        path=path, filename=wheel.filename, sha256=wheel.sha256, size=wheel.size, version=str(wheel.version),
        pure=wheel.pure, metadata=dict(wheel.metadata),
    )  # fmt: skip


def digest(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 (hex) and size (bytes) of an open file."""
    file.seek(0)
    hasher, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        hasher.update(block)
        size += len(block)
    return hasher.hexdigest(), size


def _read_filename(filename: str, faults: Faults) -> Names:
    try:
        if filename.isascii() and _tag_count(filename.rsplit("-", 3)[-3:]) <= MOST_TAGS:
            return Names(*parse_wheel_filename(filename))
    except ValueError:
        pass  # reported below, with the names that are refused before they are parsed
    faults.add("filename-invalid", "its file name is not that of a wheel (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)")
    return Names("", Version("0"), (), frozenset())


def _tag_count(parts: Iterable[str]) -> int:
    count = 1
    for part in parts:
        count *= part.count(".") + 1
    return count


def _dist_info(members: Iterable[Member], names: Names, faults: Faults) -> str:
    tops = {member.name.split("/", 1)[0] for member in members}
    folders = sorted(top for top in tops if top.lower().endswith(".dist-info"))
    if len(folders) != 1:
        there = ", ".join(map(shown_values, folders)) or "none"
        faults.add("dist-info", f"one .dist-info folder is needed, there is {there}")
    elif not _named(folders[0].removesuffix(".dist-info"), names):
        faults.add("dist-info", f"the folder {shown_values(folders[0])} and the file name do not agree")
    faults.check()
    data = folders[0].removesuffix(".dist-info") + ".data"
    for top in sorted(tops):
        # installers differ: some unpack any .data folder to the environment's scripts and headers, some only this one
        if top.lower().endswith(".data") and top != data:
            faults.add("data-folder", f"the folder {shown_values(top)} is not {shown_values(data)}")
    return folders[0]


def _named(stem: str, names: Names) -> bool:
    name, _, version = stem.partition("-")
    try:
        return canonicalize_name(name) == names.name and Version(version) == names.version
    except InvalidVersion:
        return False


def _texts(file: BinaryIO, members: Mapping[str, Member], folder: str, faults: Faults) -> dict[str, bytes]:
    for name in LIMIT_OF:
        if f"{folder}/{name}" not in members:
            faults.add("dist-info", f"there is no {name} in {shown_values(folder)}")
    faults.check()
    texts = {name: content(file, members[f"{folder}/{name}"], limit, faults) for name, limit in LIMIT_OF.items()}
    faults.check()
    return texts


def _read_wheel_file(data: bytes, names: Names, faults: Faults) -> bool:
    headers = read_headers(data)
    values = {header.name: header.value for header in headers}
    if values.get("wheel-version", "").split(".")[0] != "1":
        faults.add("wheel-invalid", "WHEEL has no Wheel-Version 1")
    purelib = values.get("root-is-purelib", "").lower()
    if purelib not in ("true", "false"):
        faults.add("wheel-invalid", "WHEEL does not say if Root-Is-Purelib is true or false")
    tags: set[Tag] = set()
    for header in headers:
        if header.name == "tag" and len(tags) <= MOST_TAGS and _tag_count(header.value.split("-")) <= MOST_TAGS:
            tags |= _tags(header.value)
    if tags != names.tags:
        faults.add("tags-differ", f"WHEEL says {_listed(tags)}, the file name says {_listed(names.tags)}")
    build = f"{names.build[0]}{names.build[1]}" if names.build else ""
    if "build" in values and values["build"] != build:
        faults.add("tags-differ", "WHEEL has another build number than the file name")
    return purelib == "true"


def _tags(text: str) -> frozenset[Tag]:
    try:
        return parse_tag(text)
    except ValueError:
        return frozenset()


def _listed(tags: Iterable[Tag]) -> str:
    return shown_values(" ".join(sorted(map(str, tags))) or "no tag")


def _compare(file: BinaryIO, members: Mapping[str, Member], rows: Mapping[str, Row], own: str, faults: Faults) -> None:
    files = [name for name, member in members.items() if not member.is_folder]
    compare_paths(rows, files, own, faults)
    unhashed = {own, *(own.removesuffix("RECORD") + name for name in SIGNATURES)}
    faults_before = bool(faults)
    for name in files:
        if name in rows and name not in unhashed and not faults_before:
            compare_row(rows[name], chunks(file, members[name]), faults)


def _compare_names(metadata: Metadata | None, names: Names, faults: Faults) -> None:
    if metadata is None:
        return
    if canonicalize_name(metadata.project) != names.name:
        faults.add("name-disagrees", f"METADATA has the Name {metadata.project}, the file name says {names.name}")
    if metadata.version != names.version:
        faults.add(
            "version-disagrees", f"METADATA has the Version {metadata.version}, the file name says {names.version}"
        )
