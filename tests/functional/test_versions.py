"""Versions that come from tags: what is published is what `pip install git+...` gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients import Pip
from tests.pipeline.benches import Follower, order, workshop
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


@pytest.mark.parametrize("distance", [0, 2])
@pytest.mark.parametrize("tool", list(FORKS))
def test_version__is_that_of_pip(
    tmp_path: Path, repositories: Repositories, pip_new: Pip, tool: str, distance: int
) -> None:
    fork = tagged(repositories, tool, distance)
    wheels = tmp_path / "wheels"
    url = f"tagged @ git+{fork.file_url}@{fork.commit}"
    pip_new.run("wheel", "--no-deps", "--wheel-dir", str(wheels), url).wait(180).check()
    (theirs,) = wheels.iterdir()
    follower = Follower()
    with workshop(tmp_path / "shop").build(order(repositories.pin_line(fork, version="")), follower) as built:
        assert built.provenance["built_version"] == theirs.name.split("-")[1], follower.log.text
        assert built.provenance["built_version"].startswith("1.2.")


@pytest.mark.parametrize("tool", ["setuptools-scm", "hatch-vcs", "pbr"])
def test_version__of_the_pin_when_there_is_no_tag(tmp_path: Path, repositories: Repositories, tool: str) -> None:
    fork = repositories.empty("tagged", Case("tagged"))
    repositories.commit(fork, FORKS[tool])
    with workshop(tmp_path).build(order(repositories.pin_line(fork, version="3.1")), Follower()) as built:
        assert built.provenance["built_version"] == "3.1"
