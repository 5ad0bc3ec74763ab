"""Versions that come from tags: what is published is what `pip install git+...` gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from devpi_forkbuilder.errors import MismatchError
from tests.clients import Pip
from tests.pipeline.benches import Follower, order, wheel_builder
from tests.repositories import Case, Content, Repositories, Repository

pytestmark = [pytest.mark.functional, pytest.mark.network]

SETUPTOOLS = '[build-system]\nrequires = ["setuptools", {}]\nbuild-backend = "setuptools.build_meta"\n'
MODULE = 'CASE = "tagged"\n'
FORKS: dict[str, dict[str, Content]] = {
    "setuptools-scm": {
        "pyproject.toml": SETUPTOOLS.format('"setuptools-scm"')
        + '[project]\nname = "tagged"\ndynamic = ["version"]\n[tool.setuptools]\npy-modules = ["tagged"]\n'
        "[tool.setuptools_scm]\n",
        "tagged.py": MODULE,
    },
    "hatch-vcs": {
        "pyproject.toml": '[build-system]\nrequires = ["hatchling", "hatch-vcs"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "tagged"\ndynamic = ["version"]\n[tool.hatch.version]\nsource = "vcs"\n',
        "tagged/__init__.py": MODULE,
    },
    "versioneer": {
        "pyproject.toml": SETUPTOOLS.format('"versioneer[toml]"')
        + '[tool.versioneer]\nVCS = "git"\nstyle = "pep440"\nversionfile_source = "tagged/_version.py"\n'
        'versionfile_build = "tagged/_version.py"\ntag_prefix = "v"\n',
        "setup.py": "import versioneer\nfrom setuptools import setup\n"
        'setup(name="tagged", version=versioneer.get_version(), cmdclass=versioneer.get_cmdclass(), '
        'packages=["tagged"])\n',
        "tagged/__init__.py": MODULE,
        "tagged/_version.py": "",
    },
    "pbr": {
        "pyproject.toml": SETUPTOOLS.format('"pbr"'),
        "setup.cfg": "[metadata]\nname = tagged\n[files]\npackages = tagged\n",
        "setup.py": 'from setuptools import setup\nsetup(setup_requires=["pbr"], pbr=True)\n',
        "tagged/__init__.py": MODULE,
    },
}


each_tool = pytest.mark.parametrize(
    "tool", [tool if tool == "setuptools-scm" else pytest.param(tool, marks=pytest.mark.slow) for tool in FORKS]
)


def tagged(repositories: Repositories, tool: str, distance: int) -> Repository:
    """A fork of an older release, whose tag is `distance` commits before the pinned one."""
    fork = repositories.empty("tagged", Case("tagged"))
    repositories.commit(fork, FORKS[tool])
    prefix = "" if tool == "pbr" else "v"
    repositories.tag(fork, f"{prefix}1.1.0", annotated=True)
    repositories.commit(fork, {"README": "more"})
    repositories.tag(fork, f"{prefix}1.2.0", annotated=True)
    for number in range(distance):
        repositories.commit(fork, {f"change{number}.txt": "a change\n"})
    return fork


def untagged(repositories: Repositories, tool: str) -> Repository:
    fork = repositories.empty("tagged", Case("tagged"))
    repositories.commit(fork, FORKS[tool])
    return fork


@pytest.mark.parametrize("distance", [0, 2])
@each_tool
def test_version__is_that_of_pip(
    tmp_path: Path, repositories: Repositories, pip_new: Pip, tool: str, distance: int
) -> None:
    fork = tagged(repositories, tool, distance)
    wheels = tmp_path / "wheels"
    url = f"tagged @ git+{fork.file_url}@{fork.commit}"
    pip_new.run("wheel", "--no-deps", "--wheel-dir", str(wheels), url).wait(180).check()
    (theirs,) = wheels.iterdir()
    follower = Follower()
    with wheel_builder(tmp_path / "shop").build(order(repositories.pin_line(fork, version="")), follower) as built:
        assert built.provenance["built_version"] == theirs.name.split("-")[1], follower.log.text
        assert built.provenance["built_version"].startswith("1.2.")


@pytest.mark.parametrize("older", [False, True])
@each_tool
def test_version__of_the_pin_when_its_tag_is_missing(
    tmp_path: Path, repositories: Repositories, tool: str, older: bool
) -> None:
    fork = tagged(repositories, tool, 2) if older else untagged(repositories, tool)
    follower = Follower()
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork, version="3.1")), follower) as built:
        assert built.provenance["built_version"] == "3.1", follower.log.text
    assert "the back end gets 3.1" in follower.log.text


def test_version__of_the_commits_own_tag_is_not_overruled(tmp_path: Path, repositories: Repositories) -> None:
    fork = tagged(repositories, "setuptools-scm", 0)
    with (
        pytest.raises(MismatchError) as caught,
        wheel_builder(tmp_path).build(order(repositories.pin_line(fork, version="3.1")), Follower()),
    ):
        pass
    assert caught.value.reference == "version-differs"
    assert "made version 1.2.0, the pin says 3.1" in caught.value.what


def test_version__of_the_pin_with_versioneers_own_prefix(tmp_path: Path, repositories: Repositories) -> None:
    old, new = 'tag_prefix = "v"', 'tag_prefix = "tagged-"'
    fork = repositories.empty("tagged", Case("tagged"))
    files = FORKS["versioneer"]
    repositories.commit(fork, {**files, "pyproject.toml": str(files["pyproject.toml"]).replace(old, new)})
    repositories.tag(fork, "v1.0")  # of something else in the same repository
    repositories.commit(fork, {"README": "more"})
    with wheel_builder(tmp_path).build(order(repositories.pin_line(fork, version="3.1")), Follower()) as built:
        assert built.provenance["built_version"] == "3.1"
