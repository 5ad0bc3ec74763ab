"""What the documentation has to cover, read from the code: error references by a walk of its syntax trees."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

ROOT_ERROR = "ForkbuilderError"
COLLECTORS = frozenset({"add", "limit"})
"""Methods of `pipeline.faults.Faults`: their first argument is a reference."""
SHAPE = re.compile(r"[a-z]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Reference:
    """An error reference as a pattern: one with parts that are only known at run time has `[a-z]+` for them."""

    pattern: str
    place: str

    def is_in(self, documented: Iterable[str]) -> bool:
        return any(re.fullmatch(self.pattern, one) for one in documented)


def references(sources: Mapping[str, str]) -> list[Reference]:
    """The references of all errors of ours in `sources` (path to text)."""
    trees = {path: ast.parse(text) for path, text in sources.items()}
    constants: dict[str, set[str]] = {}
    for name, text in _constants(trees.values()):
        constants.setdefault(name, set()).add(text)
    errors = _error_classes(trees.values())
    found = []
    for path, tree in trees.items():
        for value, line in _arguments(tree, errors):
            found += [Reference(pattern, f"{path}:{line}") for pattern in _patterns(value, constants)]
    return found


def _constants(trees: Iterable[ast.Module]) -> Iterator[tuple[str, str]]:
    """Names that hold a text in some module; a name may hold another one in another module."""
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                for target in node.targets:
                    if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                        yield target.id, node.value.value


def _error_classes(trees: Iterable[ast.Module]) -> frozenset[str]:
    classes = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    known = {ROOT_ERROR}
    while more := {name for name, bases in classes.items() if bases & known} - known:
        known |= more
    return frozenset(known)


def _arguments(tree: ast.Module, errors: frozenset[str]) -> Iterator[tuple[ast.expr, int]]:
    """The expressions that are references: first arguments of errors and faults, the second of a `Failure`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in errors:
            yield from _super_arguments(node)
        if not isinstance(node, ast.Call):
            continue
        names = {one.id for one in ast.walk(node.func) if isinstance(one, ast.Name)}
        called = isinstance(node.func, (ast.Name, ast.IfExp))
        if called and names & errors and node.args:
            yield node.args[0], node.lineno
        if called and "Failure" in names and len(node.args) > 1:
            yield node.args[1], node.lineno
        if isinstance(node.func, ast.Attribute) and node.func.attr in COLLECTORS and len(node.args) == 2:
            yield node.args[0], node.lineno


def _super_arguments(node: ast.ClassDef) -> Iterator[tuple[ast.expr, int]]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__" and call.args:
            yield call.args[0], call.lineno


def _patterns(value: ast.expr, constants: Mapping[str, set[str]]) -> list[str]:
    """The texts that an expression may be; none when it is another error's reference handed on."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        found = [re.escape(value.value)]
    elif isinstance(value, ast.Name) and value.id in constants:
        found = [re.escape(text) for text in sorted(constants[value.id])]
    elif isinstance(value, ast.IfExp):
        found = _patterns(value.body, constants) + _patterns(value.orelse, constants)
    elif isinstance(value, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "[a-z]+" for part in value.values)
        found = ["".join(map(str, parts))]
    else:
        found = []
    return [one for one in found if SHAPE.fullmatch(one.replace("\\-", "-").replace("[a-z]+", "x"))]


def documented_references(page: str) -> dict[str, list[str]]:
    """Reference to the cells of its row: rows of tables that begin with a reference in backquotes, of four cells."""
    rows = (
        [cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in page.splitlines() if "|" in line
    )
    found: dict[str, list[str]] = {}
    for cells in rows:
        match = re.fullmatch(r"`([a-z0-9-]+)`", cells[0])
        if match is not None and len(cells) == 4:
            assert match[1] not in found, f"{match[1]} has two rows"
            found[match[1]] = cells
    return found


def headings(page: str) -> set[str]:
    """The anchors of a page's headings, as they are made by the usual hosts of Markdown."""
    lines = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE).splitlines()
    texts = (line.lstrip("#").strip() for line in lines if line.startswith("#"))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts}


def relative_links(page: str) -> list[str]:
    """The targets of a page's links that stay in the repository."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page, flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced `sh` block: the line of its fence (from 1), its text, and what the comment above it says, if there is
    one: `not run` and why, or `run by` and the file of the test.
    """

    line: int
    text: str
    word: str = ""
    reason: str = ""


def blocks(page: str) -> list[Block]:
    """The fenced `sh` blocks of a page, with their comments."""
    pattern = (
        r"^(?: *<!-- (?P<word>not run|run by): (?P<reason>[^\n]+?) -->\n)?(?P<indent> *)```sh\n(?P<text>.*?)^ *```$"
    )
    found = re.finditer(pattern, page, flags=re.DOTALL | re.MULTILINE)
    return [
        Block(
            page[: match.start("indent")].count("\n") + 1,
            textwrap.dedent(match["text"]),
            match["word"] or "",
            match["reason"] or "",
        )
        for match in found
    ]


def shell_blocks(page: str) -> list[str]:
    """The texts of a page's fenced `sh` blocks."""
    return re.findall(r"^ *```sh\n(.*?)^ *```$", page, flags=re.DOTALL | re.MULTILINE)


def commands_of(block: str, program: str) -> Iterator[list[str]]:
    """The arguments of each call of `program` in a block: here documents, comments and what is piped are left out."""
    text = re.sub(r"<<'?(\w+)'?.*?^\1$", "", block, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    text = re.sub(r"\$\([^()]*\)", "X", text)
    names = program.split()
    for line in re.split(r"\n|&&|;|\|", text):
        try:
            words = shlex.split(re.split(r"\s>|\s#\s|^#", f" {line} ")[0].rstrip("& \t"))
        except ValueError:  # a quote that ends in another line
            continue
        while words and (words[0] in {"sudo", "exec", "time"} or re.match(r"[A-Z_]+=", words[0])):
            words.pop(0)
        if words and words[0].rpartition("/")[2] == names[0] and words[1 : len(names)] == names[1:]:
            yield words[len(names) :]


REPLACED = {
    r"\btold\b": "reported, given, known",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bWhose: ": "Cause:",
    r"\b(?:be|was|were) had\b": "fetched, available",
    r"[a-z]{2}\((?:s|es)\) ": "a singular and a plural",
    r"\b1 (?:faults|pins|files|lines|builds)\b(?! \d)": "1 fault, 1 pin",
    r"(?<!here )\b(?:is|are) no (?!longer|more\b|matter|use\b|good\b|way\b|harm\b|room\b|need\b)\w": "is not a",
    r"\b[Ss]ee to (?:the|its|that|a|your)\b": "check",
    r"\bto who (?:has|have|may|is)\b": "to users who, to clients that",
    r"\bwaits is let go\b|\bare let go\b": "waiting requests are released",
    r"\bis not one of (?:a devpi server|this version)": "does not come from",
    r"\bconfined by the tier\b": "in the tier",
    r"\bwhere nobody can be asked\b": "there is no terminal to ask on",
    r"URL is none\b|that is none\.\"$": "invalid",
    r"\bCommit anew\b|\bhas to be made anew\b": "commit again, recreate",
}
"""Phrases that were replaced, as patterns, and what is written instead."""


def replaced_phrases(text: str) -> list[str]:
    """The lines with a phrase that was replaced, with their numbers and what is written instead."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in REPLACED.items():
            if match := re.search(pattern, line):
                found.append(f"{number}: {match[0]!r}: write {instead}: {line.strip()}")
    return found
