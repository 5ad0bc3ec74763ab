"""Whether and how a project takes its version from tags, judged by its build files (pure).

A wrong yes costs a larger fetch; a wrong no costs a wrong version, which the checks after the build refuse. So names
of tools are looked for wherever a build file may say them, not only where it has to.
"""

from __future__ import annotations

import configparser
import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import InvalidVersion, Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("pyproject.toml", "setup.cfg", "setup.py", "versioneer.py")
"""The build files that are looked at, in the project's own folder."""
REQUIREMENTS = frozenset(
    {
        "setuptools-scm",
        "hatch-vcs",
        "versioneer",
        "pbr",
        "setuptools-git-versioning",
        "setuptools-git-version",
        "setuptools-vcs-versioning",
        "vcs-versioning",
        "setuptools-git",
        "dunamai",
        "poetry-dynamic-versioning",
        "poetry-version-plugin",
        "uv-dynamic-versioning",
        "versioningit",
        "flit-scm",
        "vcversioner",
        "very-good-setuptools-git-version",
        "incremental-git",
        "setupmeta",
        "katversion",
        "autover",
        "miniver",
    }
)
TABLES = (
    ("setuptools_scm",),
    ("setuptools-git-versioning",),
    ("hatch", "version", "vcs"),
    ("versioneer",),
    ("poetry-dynamic-versioning",),
    ("uv-dynamic-versioning",),
    ("versioningit",),
    ("vcs-versioning",),
)
SOURCES = frozenset({"vcs", "scm", "uv-dynamic-versioning", "versioningit"})
"""Values of `tool.hatch.version.source` and `tool.pdm.version.source` that mean tags."""
SETUP_WORDS = re.compile(
    r"\b(?:use_scm_version|setuptools[_-]scm|setuptools_git_versioning|setuptools[_-]git[_-]version\w*|versioneer|"
    r"vcversioner|versioningit|dunamai|setupmeta|katversion|pbr\s*=\s*True|[\"']pbr\b|"
    r"git[\"']?\s*,?\s*[\"']?describe)"
)
TAG = re.compile(r"\D*(\d.*)")
QUOTED_NOTHING = ("''", '""')
"""How versioneer's manual writes an empty value in setup.cfg."""
NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


def wants_history(files: Mapping[str, bytes]) -> bool:
    """Whether the version comes from tags; `files` are those of FILES that the project has, by name."""
    return (
        "versioneer.py" in files
        or _pyproject_wants(files.get("pyproject.toml", b""))
        or _setup_cfg_wants(files.get("setup.cfg", b""))
        or SETUP_WORDS.search(_text(files.get("setup.py", b""))) is not None
    )


def tag_prefix(files: Mapping[str, bytes]) -> str:
    """What tags have in front of the version, as versioneer's table or section says it; `files` as above."""
    document = _document(files.get("pyproject.toml", b""))
    found = _at(document, "tool", "versioneer", "tag_prefix")
    if found is None:
        found = _sections(files.get("setup.cfg", b"")).get("versioneer", "tag_prefix", fallback=None)
    return found if isinstance(found, str) and found not in QUOTED_NOTHING else ""


def versions_of(listing: bytes) -> frozenset[Version]:
    """The versions that tags (one a line) are of: what follows their first digit. Other tags are left out."""
    matches = (TAG.fullmatch(tag) for tag in _text(listing).splitlines())
    found = (_version(match[1]) for match in matches if match is not None)
    return frozenset(version for version in found if version is not None)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig", "replace")


def _pyproject_wants(content: bytes) -> bool:
    document = _document(content)
    tool = document.get("tool")
    return any(name in REQUIREMENTS for name in _names(_at(document, "build-system", "requires"))) or (
        _tool_wants(tool if isinstance(tool, dict) else {})
    )


def _tool_wants(tool: dict[str, Any]) -> bool:
    sources = (_at(tool, "hatch", "version", "source"), _at(tool, "pdm", "version", "source"))
    return any(_at(tool, *path) is not None for path in TABLES) or any(
        isinstance(source, str) and source in SOURCES for source in sources
    )


def _setup_cfg_wants(content: bytes) -> bool:
    parser = _sections(content)
    if parser.has_section("pbr") or parser.has_section("versioneer"):
        return True
    needed = parser.get("options", "setup_requires", fallback="") or ""
    return any(name in REQUIREMENTS for name in _names(re.split(r"[;\n]", needed)))


def _document(content: bytes) -> dict[str, Any]:
    """A TOML document; an empty one for what is none, as the build itself says what is wrong with it."""
    try:
        return tomllib.loads(_text(content))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def _sections(content: bytes) -> configparser.RawConfigParser:
    """The sections of a setup.cfg; those before its first fault."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    with contextlib.suppress(configparser.Error):
        parser.read_string(_text(content))
    return parser


def _names(requirements: object) -> Iterator[str]:
    if not isinstance(requirements, list):
        return
    for requirement in requirements:
        found = NAME.match(requirement) if isinstance(requirement, str) else None
        if found:
            yield re.sub(r"[-_.]+", "-", found[1]).lower()


def _at(document: object, *path: str) -> object:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document
