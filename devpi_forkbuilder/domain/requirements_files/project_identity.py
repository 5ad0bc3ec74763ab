"""A project's name and version as its own files say, without running anything of it.

Sources: PEP 621 (`[project]`), setuptools' manual ("Configuring setuptools using setup.cfg files"), Poetry's
`[tool.poetry]`, flit's `[tool.flit.metadata]`, and the literals in a `setup()` call of a `setup.py`.
"""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from devpi_forkbuilder.domain.pins.pins import NAME

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILES = ("pyproject.toml", "setup.cfg", "setup.py")
"""What is read, below the project's folder, in the order in which they are believed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Name and version; None for what is not written down as it is, but computed when the project is built.

    `computed`: the project's build back end computed both.
    """

    name: str | None = None
    version: str | None = None
    computed: bool = False


def identity(files: Mapping[str, str]) -> Identity:
    """What the texts of FILES say; those that are missing or cannot be parsed say nothing."""
    found = [(name, version) for file, read in READERS for name, version in read(files.get(file, ""))]
    return Identity(
        next((name for name, _ in found if name and NAME.fullmatch(name)), None),
        next((version for _, version in found if version and _is_version(version)), None),
    )


Pair = tuple["str | None", "str | None"]


def _pyproject(text: str) -> Iterator[Pair]:
    try:
        parsed = tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    except (tomllib.TOMLDecodeError, RecursionError):
        return
    for path in (("project",), ("tool", "poetry"), ("tool", "flit", "metadata")):
        table: object = parsed
        for key in path:
            table = table.get(key) if isinstance(table, Mapping) else None
        if isinstance(table, Mapping):
            yield _text(table.get("name")) or _text(table.get("dist-name")), _text(table.get("version"))


def _setup_cfg(text: str) -> Iterator[Pair]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text.removeprefix("\ufeff"))
    except configparser.Error:
        return
    if parser.has_section("metadata"):
        yield parser.get("metadata", "name", fallback=None), parser.get("metadata", "version", fallback=None)


def _setup_py(text: str) -> Iterator[Pair]:
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what ast.parse says of hostile texts
        return
    constants = {
        target.id: statement.value
        for statement in tree.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "setup":
            given = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
            yield _literal(given.get("name"), constants), _literal(given.get("version"), constants)


def _literal(node: ast.expr | None, constants: Mapping[str, ast.expr]) -> str | None:
    """The text that `node` is, or that the module's constant of that name is."""
    if isinstance(node, ast.Name):
        node = constants.get(node.id)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


READERS = (("pyproject.toml", _pyproject), ("setup.cfg", _setup_cfg), ("setup.py", _setup_py))
