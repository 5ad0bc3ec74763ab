"""Alert rules and dashboard: Prometheus takes them, and they ask for figures that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_docs import DOCS

FOLDER = DOCS / "monitoring"
NAMES = re.compile(r"devpi_forkbuilder_(\w+)")


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    return found


@pytest.mark.parametrize(("word", "file"), [("check", "alerts.yaml"), ("test", "alerts_test.yaml")])
def test_rules__are_taken_and_fire_when_they_should(promtool: str, word: str, file: str) -> None:
    done = subprocess.run([promtool, word, "rules", file], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def documented() -> set[str]:
    """The names in the reference, histograms with the endings of their series."""
    text = (DOCS / "reference" / "http-api.md").read_text().partition("## GET /+forkbuilder/metrics")[2]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    names = {name for row in rows for name in re.findall(r"`(\w+)(?:\{[\w,]+\})?`", row)}
    return names | {f"{name}_bucket" for name in names if name.endswith("_seconds")}


@pytest.mark.parametrize("file", ["alerts.yaml", "alerts_test.yaml", "grafana.json"])
def test_files__ask_for_figures_that_there_are(file: str) -> None:
    asked = set(NAMES.findall((FOLDER / file).read_text()))
    assert len(asked) > 5
    assert asked <= documented()


def test_dashboard__has_a_title_and_a_question_for_each_panel() -> None:
    panels = json.loads(Path(FOLDER / "grafana.json").read_text())["panels"]
    assert len({panel["title"] for panel in panels}) == len(panels) == len({panel["id"] for panel in panels})
    assert all(target["expr"] for panel in panels for target in panel["targets"])
