"""Core metadata (METADATA, PKG-INFO) and the WHEEL file: reading, and the one change that stamping makes.

Format: packaging.python.org, "Core metadata specifications". Values come out under the names by which the index
stores them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.errors import MessageError

from packaging.metadata import parse_email
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.pins.pins import NAME
from devpi_forkbuilder.pipeline.artifacts.fault_list import Faults, shown_values

LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
HEADER = re.compile(rb"([!-9;-~]*):[ \t]*([^\r\n]*)")
MOST_HEADERS = 20_000
MOST_NAMES = 200
LONGEST_REQUIREMENT = 1024
WILDCARD = re.compile(r"([<>]=?\s*)(\d+(?:\.\d+)*)\.\*")

INDEX_FIELDS = {"license_files": "license_file", "platforms": "platform", "provides_extra": "provides_extras",
                "supported_platforms": "supported_platform"}  # fmt: skip
"""Where the index's name for a field is not that of `packaging.metadata`."""

LATE_FIELDS = {"license-expression": "license_expression", "license-file": "license_file"}
"""Fields of metadata 2.4, which packaging before 24.2 leaves unparsed."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header's name (lower case), its first line's value, that value's place in the file, and if it is folded."""

    name: str
    value: str
    start: int
    end: int
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Metadata:
    """Name and version as values, and all fields as the index stores them (see `Artefact.metadata`)."""

    project: str
    version: Version
    fields: Mapping[str, str | list[str]]


def read_headers(data: bytes) -> list[Header]:
    """The headers at the start of `data`, up to the first line that is none: as the standard library's parser does."""
    found: list[Header] = []
    for line in LINE.finditer(data):
        match = HEADER.match(data, line.start(), line.end())
        if match:
            value = match[2].decode("utf-8", "replace").strip()
            found.append(Header(match[1].decode("ascii").lower(), value, match.start(2), match.end(2)))
        elif line[0][:1] in (b" ", b"\t") and found:
            last = found[-1]
            found[-1] = Header(last.name, last.value, last.start, last.end, folded=True)
        else:
            break
        if len(found) > MOST_HEADERS:
            break
    return found


def read_metadata(data: bytes, what: str, faults: Faults) -> Metadata | None:
    """The core metadata in `data`, or None when a fault was noted; `what` names the file in messages."""
    headers = read_headers(data)
    problems = list(_problems(data, headers))
    if not problems:
        try:
            raw, unparsed = parse_email(data.decode("utf-8"))
            return Metadata(raw["name"], Version(raw["version"]), dict(_fields(raw, unparsed)))
        except (ValueError, LookupError, MessageError):
            problems = ["cannot be parsed"]
    for problem in problems:
        faults.add("metadata-invalid", f"{what} {problem}")
    return None


def with_version(data: bytes, version: Version) -> bytes:
    """`data`, which `read_metadata` accepts, with another value in its Version header and no other change."""
    (header,) = (header for header in read_headers(data) if header.name == "version")
    return data[: header.start] + str(version).encode("ascii") + data[header.end :]


def _problems(data: bytes, headers: list[Header]) -> Iterator[str]:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        yield "is not UTF-8"
    names = {header.name for header in headers}
    # past these numbers parsing takes minutes
    if len(headers) > MOST_HEADERS or len(names) > MOST_NAMES:
        yield "has too many headers"
    if any(name.startswith("content-") for name in names):
        yield "has a header that makes it another kind of message"
    if data.startswith(b"From "):
        yield "begins as a mailbox does"
    yield from _single(headers, "metadata-version", "2.1")
    yield from _single(headers, "name", "NAME")
    yield from _single(headers, "version", "1.0")
    yield from _requirement_problems(headers)
    for header in headers:
        if header.name == "name" and not NAME.fullmatch(header.value):
            yield f"has the Name {shown_values(header.value)}, which is not a valid project name"
        if header.name == "version" and not _is_version(header.value):
            yield f"has the Version {shown_values(header.value)}, which is not a version (PEP 440)"


def _requirement_problems(headers: list[Header]) -> Iterator[str]:
    """Requires-Python goes onto the index's pages, where each installer reads it in its own way."""
    found = [header for header in headers if header.name == "requires-python"]
    if len(found) > 1 or any(header.folded for header in found):
        yield "has more than one line of Requires-Python"
    for header in found:
        # As older setuptools wrote it, and as pip and uv still take it.
        value = WILDCARD.sub(r"\1\2", header.value)
        if len(header.value) > LONGEST_REQUIREMENT or not header.value.isascii() or not _is_specifier(value):
            yield f"has the Requires-Python {shown_values(header.value)}, which is not a list of version specifiers"


def _is_specifier(text: str) -> bool:
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


def _single(headers: list[Header], name: str, example: str) -> Iterator[str]:
    found = [header for header in headers if header.name == name]
    if len(found) != 1 or found[0].folded:
        yield f"has {len(found)} lines '{name.title()}: {example}', one is needed"


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return text.isascii()


def _fields(raw: Mapping[str, object], unparsed: Mapping[str, list[str]]) -> Iterator[tuple[str, str | list[str]]]:
    for name, value in raw.items():
        if name in ("import_names", "import_namespaces"):
            continue  # the index has no such field
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, dict):
            yield name, [f"{label}, {url}" for label, url in value.items()]
        elif isinstance(value, list):
            yield INDEX_FIELDS.get(name, name), ",".join(value) if name == "keywords" else list(value)
    if "project-url" in unparsed:
        yield "project_urls", list(unparsed["project-url"])
    for header, name in LATE_FIELDS.items():
        if header in unparsed:
            values = list(unparsed[header])
            yield name, values if name == "license_file" else values[0]
