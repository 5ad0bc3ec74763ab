"""The table of threats tells the truth about its tests: each row names some, all are there, and run in its tiers."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "explanation" / "threat-model.md"
NAME = re.compile(r"`(test_\w+__\w+)`")
TIERS = ("bwrap", "uid", "landlock")
HOLDS = re.compile(r"bwrap (yes|no|partly), uid (yes|no|partly), landlock (yes|no|partly)")


def rows() -> list[list[str]]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line.split("|") for line in lines if line.startswith("| ") and not line.startswith("| threat |")]


@cache
def known_tests() -> dict[str, frozenset[str]]:
    """Each test by its name, and the tiers that it runs in: those of its argument `room`."""
    found: dict[str, frozenset[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for holder in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            decorators = holder.decorator_list if isinstance(holder, ast.ClassDef) else []
            for node in holder.body:
                if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                    found[node.name] = found.get(node.name, frozenset()) | tiers_of(node, decorators, tree)
    return found


def tiers_of(test: ast.FunctionDef, above: list[ast.expr], module: ast.Module) -> frozenset[str]:
    if "room" not in [argument.arg for argument in test.args.args]:
        return frozenset()
    for decorator in (*test.decorator_list, *above):
        if (
            isinstance(decorator, ast.Call)
            and ast.unparse(decorator.args[0] if decorator.args else decorator) == "'room'"
        ):
            return frozenset(value_of(decorator.args[1], module))
    return frozenset(TIERS)


def value_of(expression: ast.expr, module: ast.Module) -> list[str]:
    if isinstance(expression, ast.Name):
        assigned = [node for node in module.body if isinstance(node, ast.Assign)]
        (expression,) = [node.value for node in assigned if ast.unparse(node.targets[0]) == expression.id]
    return list(ast.literal_eval(expression))


def test_table__every_row_names_a_test() -> None:
    assert len(rows()) > 25
    assert [row for row in rows() if len(row) != 7 or not NAME.search(row[5])] == []


def test_table__every_test_is_there() -> None:
    assert set(NAME.findall(TABLE.read_text(encoding="utf-8"))) - set(known_tests()) == set()


def test_table__every_tier_has_a_test_where_it_matters() -> None:
    faults = []
    for row in rows():
        tiers = row[3].strip()
        held = HOLDS.fullmatch(tiers)
        if held is None and tiers != "all":
            faults.append(f"{row[1]}: {tiers!r}")
        run = {tier for name in NAME.findall(row[5]) for tier in known_tests()[name]}
        for tier, word in zip(TIERS, held.groups() if held else (), strict=False):
            if word != "no" and tier not in run:
                faults.append(f"{row[1]}: no test of it runs in {tier}")
            if word != "yes" and tier not in row[4]:
                faults.append(f"{row[1]}: it does not say what {tier} lacks")
    assert faults == []


def test_table__rows_of_what_builds_can_do_say_it_for_each_tier() -> None:
    text = TABLE.read_text(encoding="utf-8")
    section = text.partition("## What a build can do")[2].partition("\n## ")[0]
    assert len(HOLDS.findall(section)) >= 9
