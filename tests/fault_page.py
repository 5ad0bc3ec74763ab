"""The option `--faults`: run the tests of `faults/table.py`, and write docs/reference/faults.md from their results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.table import NAMES, page

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "faults.md"
OPTION = "--faults"


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, action="store_true", help="run the fault suite, and write docs/reference/faults.md")


class FaultPage:
    """Remembers how each test of the table ended; with `-n`, in the process that the others report to."""

    def __init__(self, path: Path = PAGE) -> None:
        self.path = path
        self.outcomes: list[tuple[str, str]] = []
        self.reasons: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if name not in NAMES or not (report.when == "call" or report.outcome != "passed"):
            return
        self.outcomes.append((name, report.outcome))
        if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
            self.reasons[name] = report.longrepr[2].removeprefix("Skipped: ")

    def pytest_sessionfinish(self) -> None:
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        self.path.write_text(page(self.outcomes, self.reasons, before), encoding="utf-8")


def select(items: list[pytest.Item]) -> list[pytest.Item]:
    """Those of the table."""
    return [item for item in items if item.name.partition("[")[0] in NAMES]
