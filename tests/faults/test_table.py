"""The page on faults names tests that are there, and says what its last run has shown."""

from __future__ import annotations

import re
from pathlib import Path

from tests.fault_page import PAGE
from tests.faults.table import FAULTS, NAMES, page, result_of, results_of

TESTS = Path(__file__).parents[1]


def test_table__every_test_is_there() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert set(re.findall(r"def (test_\w+)", text)) >= NAMES


def test_page__has_every_fault_and_none_that_failed() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for fault in (fault for faults in FAULTS.values() for fault in faults):
        assert f"| {fault.what} | {fault.promise} | `{fault.test}` | " in text, "run pytest --faults"
    assert "**failed**" not in text


def test_result__counts_cases() -> None:
    assert result_of({"passed": 1}, "") == "held"
    assert result_of({"passed": 3, "skipped": 1}, "x") == "held (3 cases)"
    assert result_of({"passed": 3, "failed": 1}, "") == "**failed** (1 of 4)"
    assert result_of({"skipped": 1}, "needs root") == "not run: needs root"
    assert "| not run |" in page([], {})


def test_page__a_run_of_some_tests_leaves_the_other_rows() -> None:
    first = page([("test_kill__while_fetching", "passed")], {})
    both = page([("test_kill__while_building", "passed"), ("test_kill__while_building", "passed")], {}, first)
    assert results_of(both)["test_kill__while_fetching"] == "held"
    assert results_of(both)["test_kill__while_building"] == "held (2 cases)"
    again = page([("test_kill__while_fetching", "skipped")], {"test_kill__while_fetching": "needs root"}, both)
    assert results_of(again)["test_kill__while_fetching"] == "not run: needs root"
