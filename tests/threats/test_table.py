"""The table of threats tells the truth about its tests: each row names some, and all of them are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = TESTS.parent / "docs" / "explanation" / "threat-model.md"
NAME = re.compile(r"`(test_\w+__\w+)`")


def rows() -> list[str]:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| threat |")]


def test_table__every_row_names_a_test() -> None:
    assert len(rows()) > 25
    cells = [row.split("|") for row in rows()]
    assert [row for row in cells if len(row) != 6 or not NAME.search(row[4])] == []


def test_table__every_test_is_there() -> None:
    there = set()
    for path in TESTS.rglob("test_*.py"):
        there |= set(re.findall(r"^ *def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    named = set(NAME.findall(TABLE.read_text(encoding="utf-8")))
    assert named - there == set()
