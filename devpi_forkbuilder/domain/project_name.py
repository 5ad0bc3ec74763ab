"""What a project is called, read from its build files without running them (pure)."""

from __future__ import annotations

import ast
import configparser
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

from devpi_forkbuilder.domain.pins import NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("pyproject.toml", "setup.cfg", "setup.py")
TABLES = (
    ("project", "name"),
    ("tool", "poetry", "name"),
    ("tool", "flit", "metadata", "dist-name"),
    ("tool", "flit", "metadata", "module"),
)
"""Where pyproject.toml says it: PEP 621, and what Poetry and Flit had before it."""


def project_name(files: Mapping[str, bytes]) -> str | None:
    """Return the name that the build files say, as they write it; None when it takes running them to know.

    `files` are those of FILES that the project has, by name. A name that is none (packaging.python.org, "Name format")
    counts as not said.
    """
    found = (_in_pyproject(files), _in_setup_cfg(files), _in_setup_py(files))
    return next((name for name in found if isinstance(name, str) and NAME.fullmatch(name)), None)


def _in_pyproject(files: Mapping[str, bytes]) -> object:
    try:
        document: dict[str, Any] = tomllib.loads(_text(files, "pyproject.toml"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return next(filter(None, (_at(document, path) for path in TABLES)), None)


def _at(document: object, path: tuple[str, ...]) -> object:
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _in_setup_cfg(files: Mapping[str, bytes]) -> object:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    with contextlib.suppress(configparser.Error):
        parser.read_string(_text(files, "setup.cfg"))
    return parser.get("metadata", "name", fallback=None)


def _in_setup_py(files: Mapping[str, bytes]) -> object:
    """The `name` that a call of `setup` is given as a plain string."""
    try:
        tree = ast.parse(_text(files, "setup.py"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node.func) == "setup")
    given = (word.value for call in calls for word in call.keywords if word.arg == "name")
    return next((value.value for value in given if isinstance(value, ast.Constant)), None)


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _text(files: Mapping[str, bytes], name: str) -> str:
    return files.get(name, b"").decode("utf-8-sig", "replace")
