"""devpi-server's own functional tests, on a primary and through a replica, pass with the plugin in every server."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

import pytest

import tests
from tests.devpisuite import LOADED
from tests.processes import Result, Running
from tests.surroundings import clean_environment

NEEDED = ("test_devpi_server.functional", "webtest", "bs4")
"""devpi-server's tests are part of its package; these libraries they need, and only webtest is not needed otherwise."""
LIMIT = 280.0
CLASSES = ("TestUserThings", "TestIndexThings", "TestIndexPushThings", "TestProjectThings", "TestMirrorIndexThings")


def lacking() -> list[str]:
    """What of `NEEDED` is not installed. Nothing is imported: devpi's tests ask to be rewritten by pytest first."""
    return [name for name in NEEDED if importlib.util.find_spec(name) is None]


def own_tests(folder: Path, *arguments: str) -> Result:
    """A pytest of its own, with no configuration but what devpi's tests bring."""
    root = Path(tests.__file__).parents[1]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # they look for devpi-server on PATH
    environment = clean_environment(folder, PYTHONPATH=str(root), PATH=programs)
    # devpi-postgresql's plugin for the same tests asks for a PostgreSQL server
    plugins = ("-p", "no:pytest_devpi_postgresql", "-p", "test_devpi_server.plugin", "-p", "tests.devpisuite")
    alone = ("-c", os.devnull, "--rootdir", str(folder), "--basetemp", str(folder / "made"), "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", "-rfEs", *alone, *plugins, "--pyargs", *arguments]
    return Running(command, environment, folder, None).wait(LIMIT)


@pytest.mark.slow
@pytest.mark.functional
@pytest.mark.parametrize(
    "module",
    [
        pytest.param("test_views", id="primary"),
        pytest.param("test_replica_functional", id="replica"),
    ],
)
def test_devpis_own_tests__pass_with_the_plugin(module: str, tmp_path: Path) -> None:
    missing = lacking()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    choice = ("-k", " or ".join(CLASSES)) if module == "test_views" else ()
    result = own_tests(tmp_path, f"test_devpi_server.{module}", *choice).check()
    summary = result.stdout.splitlines()[-1]
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (\w+)", summary)}
    assert counts["passed"] >= 40, result.output  # 6.20 has 41 and 43
    assert not counts.keys() & {"failed", "error", "errors", "skipped", "xfailed"}, result.output
    loaded = re.search(rf"^{LOADED} (\d+)$", result.stdout, re.MULTILINE)
    assert loaded is not None
    assert int(loaded[1]) >= counts["passed"]
