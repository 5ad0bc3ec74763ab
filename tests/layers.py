"""The rules that keep the layers apart, checked on sources: relative path to text, so that a made-up tree will do."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

PACKAGE = "devpi_forkbuilder"
RANKS = {
    **dict.fromkeys(("plugin", "assembly", "equipment", "options", "option_values", "commands"), 6),
    "web": 5,
    "devpi": 4,
    "service": 3,
    "farm": 3,
    "client": 3,
    "warming": 3,
    "pipeline": 2,
    "domain": 1,
    "errors": 0,
    "": 0,
}
"""The layer of each part of the package (empty: its own `__init__`). Imports go to equal or lower ones."""

PURE = frozenset(
    (
        *(
            "__future__",
            "collections",
            "dataclasses",
            "datetime",
            "enum",
            "functools",
            "itertools",
            "operator",
            "types",
        ),
        *(
            "base64",
            "binascii",
            "difflib",
            "fnmatch",
            "hashlib",
            "html",
            "ipaddress",
            "json",
            "posixpath",
            "re",
            "string",
            "textwrap",
        ),
        *("ast", "bisect", "configparser", "math", "packaging", "sys", "tomli", "tomllib", "typing", "unicodedata"),
    )
)
"""What `domain` may import: modules without I/O, clock or chance; tomli is tomllib before Python 3.11."""
PATHS = "domain/results.py"
ACTS = frozenset({"open", "print", "input", "exec", "eval", "__import__", "breakpoint"})
CLOCKS = frozenset({"now", "utcnow", "today"})

PROCESS_MODULES = frozenset({"subprocess", "pty", "multiprocessing"})
PROCESS_CALLS = ("exec", "fork", "spawn", "posix_spawn", "system", "popen")
DOOR = "pipeline/process/runner.py"
LAUNCHERS = ("pipeline/sandbox/launcher.py", "pipeline/sandbox/broker.py")

ONLY_IN: dict[str, tuple[str, ...]] = {
    "devpi_server": ("devpi/",),
    "pyramid": ("web/", "devpi/", "plugin.py"),
    "webob": ("web/", "devpi/", "plugin.py"),
    "devpi": ("client/",),
    "devpi_common": ("client/", "devpi/"),
    "rich": ("client/",),
    "requests": ("warming/", "farm/"),
    "procrastinate": ("farm/engine.py",),
    "psycopg": (),
}
APART = {
    "client": ("service", "warming", "farm"),
    "service": ("client", "warming", "farm"),
    "warming": ("client", "service", "farm"),
    "farm": ("client", "service", "warming"),
}
"""Layers of one rank that know nothing of each other: laptops, servers, and who fills a cache through its index."""
ROOMS: dict[str, tuple[str, ...]] = {
    "pipeline": ("process", "sandbox", "git", "checkout", "artifacts", "frontend"),
}
"""The order of a layer's sub-packages, from the bottom: each imports those before it, and `protocols`; modules that
stand beside them are above."""
STANDALONE = (*LAUNCHERS, "pipeline/frontend/hook_runner.py")
"""Programs that run without the package: nothing imports their functions."""
ENTRY_POINTS = frozenset({"add_options", "add_parser", "includeme", "main", "run"})
"""Public names that every module of a kind has: the contract between a command or a script and its caller."""
LONGEST_MODULE = 350
LONGEST_FUNCTION = 50

Sources = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule broken in a line of a file."""

    path: str
    line: int
    rule: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Import:
    """A name imported: `module` in full, and the line."""

    module: str
    line: int


def broken_rules(sources: Sources) -> list[str]:
    """Every broken rule of the tree, as text."""
    found = [broken for path in sorted(sources) for broken in _of_file(path, sources)]
    return [*map(str, found), *cycles(sources), *twice(sources)]


def _of_file(path: str, sources: Sources) -> Iterator[Broken]:
    imports = imports_of(path, sources[path])
    yield from _upward(path, imports)
    yield from _out_of_order(path, imports)
    yield from _misplaced(path, imports)
    yield from _processes(path, sources[path], imports)
    yield from _sizes(path, sources[path])
    if path.startswith("domain/"):
        yield from _impure(path, sources[path], imports)


@cache
def imports_of(path: str, source: str) -> tuple[Import, ...]:
    """Every import in a file, wherever it stands; `from a import b` counts as `a.b`."""
    found: list[Import] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = _absolute(path, node)
            found += [Import(f"{start}.{alias.name}", node.lineno) for alias in node.names]
    return tuple(found)


def _absolute(path: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = [PACKAGE, *path.split("/")[:-1]]
    base = folder[: len(folder) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _part(path: str) -> str:
    """Which part of the package a file is in: the folder or module directly below it."""
    return path.partition("/")[0].removesuffix(".py").removesuffix("__init__")


def _upward(path: str, imports: tuple[Import, ...]) -> Iterator[Broken]:
    own = RANKS.get(_part(path))
    if own is None:
        yield Broken(path, 1, f"{_part(path)} belongs to no layer")
        return
    for one in imports:
        names = one.module.split(".")
        if names[0] != PACKAGE:
            continue
        part = names[1] if names[1:] and names[1] in RANKS else ""
        if RANKS[part] > own:
            yield Broken(path, one.line, f"{_part(path)} imports {one.module}, which is above it")
        elif part in APART.get(_part(path), ()):
            yield Broken(path, one.line, f"{_part(path)} imports {one.module}, which it must not know")


def _out_of_order(path: str, imports: tuple[Import, ...]) -> Iterator[Broken]:
    own = _room(path.removesuffix(".py").split("/"))
    for one in imports:
        names = one.module.split(".")[1:]
        if own is not None and names[0:1] == [own[0]] and (other := _room(names)) is not None and other[1] > own[1]:
            yield Broken(path, one.line, f"{'/'.join(path.split('/')[:2])} imports {one.module}, a later sub-package")


def _room(names: list[str]) -> tuple[str, int] | None:
    """The layer and the place of a sub-package in its order; one that is not listed comes last."""
    order = ROOMS.get(names[0]) if len(names) > 1 else None
    if order is None or names[1] == "protocols":
        return None
    return names[0], order.index(names[1]) if names[1] in order else len(order)


def twice(sources: Sources) -> list[str]:
    """Public classes and functions that stand in more than one module: a search for one would find the other."""
    places: dict[str, list[str]] = {}
    for path in sorted(set(sources) - set(STANDALONE)):
        for node in ast.parse(sources[path]).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(path)
    repeated = {name: found for name, found in places.items() if len(set(found)) > 1 and name not in ENTRY_POINTS}
    return [f"{name} is the name of something in {' and in '.join(found)}" for name, found in sorted(repeated.items())]


def _misplaced(path: str, imports: tuple[Import, ...]) -> Iterator[Broken]:
    for one in imports:
        places = ONLY_IN.get(one.module.split(".")[0])
        if places is not None and not path.startswith(places):
            yield Broken(path, one.line, f"imports {one.module}, which only {', '.join(places)} may")


def _processes(path: str, source: str, imports: tuple[Import, ...]) -> Iterator[Broken]:
    if path == DOOR:
        return
    for one in imports:
        if one.module.split(".")[0] in PROCESS_MODULES or "create_subprocess" in one.module:
            yield Broken(path, one.line, f"imports {one.module}: only {DOOR} runs processes")
        if path not in LAUNCHERS and one.module.startswith(tuple(f"os.{call}" for call in PROCESS_CALLS)):
            yield Broken(path, one.line, f"imports {one.module}: only {DOOR} runs processes")
    if path in LAUNCHERS:
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and _runs(node, _names_of_os(source)):
            yield Broken(path, node.lineno, f"uses {node.attr}: only {DOOR} runs processes")


@cache
def _names_of_os(source: str) -> frozenset[str]:
    """What the modules os and posix are called in a file."""
    aliases = (alias for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import) for alias in node.names)
    return frozenset(alias.asname or alias.name for alias in aliases if alias.name in {"os", "posix"})


def _runs(node: ast.Attribute, names: frozenset[str]) -> bool:
    called_on_os = isinstance(node.value, ast.Name) and node.value.id in names
    return node.attr.startswith("create_subprocess_") or (called_on_os and node.attr.startswith(PROCESS_CALLS))


def _impure(path: str, source: str, imports: tuple[Import, ...]) -> Iterator[Broken]:
    for one in imports:
        if not _is_pure(one.module, path):
            yield Broken(path, one.line, f"domain imports {one.module}, which is not pure")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in ACTS:
            yield Broken(path, node.lineno, f"domain calls {node.func.id}")
        if isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            yield Broken(path, node.lineno, f"domain reads the clock with {node.func.attr}")


def _is_pure(module: str, path: str) -> bool:
    first, _, _ = module.partition(".")
    if first == "pathlib":
        return path == PATHS
    return first in PURE or module.startswith("urllib.parse") or first == PACKAGE


def _sizes(path: str, source: str) -> Iterator[Broken]:
    lines = len(source.splitlines())
    if lines > LONGEST_MODULE:
        yield Broken(path, lines, f"{lines} lines, more than {LONGEST_MODULE}: split it")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                yield Broken(
                    path, node.lineno, f"{node.name} has {length} lines, more than {LONGEST_FUNCTION}: split it"
                )


def cycles(sources: Sources) -> list[str]:
    """The import cycles among the package's own modules, each once, as `a -> b -> a`."""
    graph = {path: _targets(path, sources) for path in sorted(sources)}
    found: list[str] = []
    done: set[str] = set()
    for path in graph:
        _walk(path, [], graph, done, found)
    return found


def _walk(path: str, trail: list[str], graph: Mapping[str, list[str]], done: set[str], found: list[str]) -> None:
    if path in trail:
        found.append("import cycle: " + " -> ".join([*trail[trail.index(path) :], path]))
        return
    if path in done:
        return
    for target in graph[path]:
        _walk(target, [*trail, path], graph, done, found)
    done.add(path)


def _targets(path: str, sources: Sources) -> list[str]:
    """The files of the package that a file imports; a name in a module is that module."""
    found: dict[str, None] = {}
    for one in imports_of(path, sources[path]):
        names = one.module.split(".")
        for inner in (names[1:], names[1:-1]) if names[0] == PACKAGE else ():
            stem = "/".join(inner)
            target = next((name for name in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")) if name in sources), None)
            if target is not None:
                found[target] = None
                break
    return list(found)
