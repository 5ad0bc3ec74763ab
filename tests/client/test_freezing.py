"""Project files and pylock files, and interpreters that have no wheel."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.client.completeness import gaps
from devpi_forkbuilder.client.models import ForkState
from devpi_forkbuilder.client.project_file import Declared, frozen_project
from devpi_forkbuilder.client.pylock_file import pylock
from devpi_forkbuilder.domain.pins.pins import PinsRefusedError
from devpi_forkbuilder.domain.requirements_files.freeze import FrozenRelease
from devpi_forkbuilder.domain.requirements_files.locks.pyproject import read_pyproject
from devpi_forkbuilder.domain.requirements_files.locks.tables import tomllib
from tests.client.test_refs import lines
from tests.client.told import A, B, told

HOST = "https://h.example.com"
INDEX = Declared("main-forks", "http://localhost:3141/main/forks/+simple/")
UV = f"""\
# what we ship
[project]
name = "ours"
version = "1"
dependencies = [
    "wiki>=1",   # the fork
    "tool[fast] @ git+{HOST}/tool@{A} ; python_version >= '3'",
    "ordinary==1.0",
]
[dependency-groups]
dev = ["wiki", {{ include-group = "other" }}]
other = []
[tool.uv.sources]
wiki = {{ git = "{HOST}/wiki", rev = "{B}", subdirectory = "src" }}
local = {{ path = "../local" }}
"""
POETRY = f"""\
[tool.poetry]
name = "ours"
version = "1"
[tool.poetry.dependencies]
python = ">=3.10"
wiki = {{ git = "{HOST}/wiki", tag = "v1", extras = ["fast"] }}  # the fork
[tool.poetry.group.dev.dependencies]
tool = {{ git = "{HOST}/tool", rev = "{A}", develop = true }}
"""


def frozen(text: str) -> str:
    found = read_pyproject(text, "pyproject.toml")
    assert not found.faults
    releases = {line: FrozenRelease(f"1.0.2+{line.project}", ("0" * 64,), line.project) for line in found.git_lines}
    return frozen_project(text, "pyproject.toml", releases, INDEX)


def test_project_file__of_uv():
    text = frozen(UV)
    parsed = tomllib.loads(text)
    assert parsed["project"]["dependencies"] == [
        "wiki==1.0.2+wiki",
        "tool[fast]==1.0.2+tool ; python_version >= '3'",
        "ordinary==1.0",
    ]
    assert parsed["dependency-groups"]["dev"] == ["wiki==1.0.2+wiki", {"include-group": "other"}]
    uv = parsed["tool"]["uv"]
    assert uv["sources"] == {
        "wiki": {"index": "main-forks"},
        "local": {"path": "../local"},
        "tool": {"index": "main-forks"},
    }
    assert uv["index"] == [{"name": "main-forks", "url": INDEX.url}]
    assert "# what we ship\n" in text
    assert "# the fork\n" in text
    assert "git" not in text
    assert frozen(text) == text, "there is nothing left to freeze"


def test_project_file__of_poetry():
    parsed = tomllib.loads(frozen(POETRY))["tool"]
    poetry = parsed["poetry"]
    assert poetry["dependencies"]["wiki"] == {"version": "1.0.2+wiki", "extras": ["fast"], "source": "main-forks"}
    assert poetry["group"]["dev"]["dependencies"]["tool"] == {"version": "1.0.2+tool", "source": "main-forks"}
    assert poetry["source"] == [{"name": "main-forks", "url": INDEX.url, "priority": "explicit"}]
    assert "uv" not in parsed


def test_project_file__one_project_at_two_versions_is_left_to_its_author():
    text = f'[project]\nname=\'x\'\ndependencies=["r @ git+{HOST}/r@{A}", "r @ git+{HOST}/r@{B}"]\n'
    found = read_pyproject(text, "pyproject.toml")
    releases = {line: FrozenRelease(f"1.{number}", ("0" * 64,), "r") for number, line in enumerate(found.git_lines)}
    with pytest.raises(PinsRefusedError, match=r"r has two versions, 1\.0 and 1\.1"):
        frozen_project(text, "pyproject.toml", releases, INDEX)


def wheel(tags: str, **more: object) -> dict[str, object]:
    name = f"r-1.0.2+x-{tags}.whl"
    return {"filename": name, "sha256": "1" * 64, "size": 7, "url": f"http://h/{name}", **more}


def state(*tags: str, **more: object) -> ForkState:
    return ForkState.read(told(files=[wheel(one) for one in tags], state="built" if tags else "wanted", **more))


def test_pylock__is_one_that_packaging_reads():
    reference = pytest.importorskip("packaging.pylock", reason="packaging 26.0 and newer read PEP 751")
    (line,) = lines(f"r@{A}#egg=r ; python_version >= '3.10'")
    found = reference.Pylock.from_dict(tomllib.loads(pylock([(line, state("py3-none-any")), (line, state())])))
    assert [(package.name, str(package.version)) for package in found.packages] == [("r", "1.0.2+x")]
    (file,) = found.packages[0].wheels or ()
    assert (file.name, file.size, file.hashes) == ("r-1.0.2+x-py3-none-any.whl", 7, {"sha256": "1" * 64})
    assert file.url == "http://h/r-1.0.2+x-py3-none-any.whl"
    assert str(found.packages[0].marker) == 'python_version >= "3.10"'


def test_gaps__of_compiled_forks_only():
    pure, half = state("py3-none-any"), state("cp311-cp311-linux_x86_64")
    assert gaps([pure, state()], lambda _: ["3.11", "3.12"]) == ()
    (gap,) = gaps([pure, half, half], lambda _: ["3.11", "3.12", "3.13"])
    assert gap.missing == ("3.12", "3.13")
    assert "r==1.0.2 has no wheel for Python 3.12, 3.13, so its hash is missing" in gap.message
    assert gaps([half], lambda _: ["3.11"]) == ()
    (unknown,) = gaps([half], lambda _: [])
    assert "has wheels for cp311 only: name your interpreters with --python X.Y" in unknown.message
