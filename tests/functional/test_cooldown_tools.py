"""A cooldown of seven days with Poetry, pdm and pipenv, each by its own setting: forks by policy, public packages, and
what each says of a failed build.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.functional.conftest import MakeLive
from tests.functional.test_cooldowns import OLD, fork, moment
from tests.live import Live
from tests.processes import Result, Running
from tests.publicindex import PublicIndex, public_index
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.installers]


@dataclass(frozen=True)
class Tool:
    """A tool that locks: what is installed, the project's file, the command and its cooldown, the lock file.

    `project` makes the file from a project's name, an index's URL, and whether there is a cooldown.
    """

    requirements: tuple[str, ...]
    file: str
    project: Callable[[str, str, bool], str]
    lock: str
    command: tuple[str, ...] = ("lock",)
    cooldown: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    cooldown_environment: Mapping[str, str] = field(default_factory=dict)
    reason: str = "Build of fails 1.0.2 from "
    """What it prints of a failed build: the phrase, or where it shows the HTTP client's own words, the placeholder."""


def _poetry(name: str, url: str, _cooldown: bool) -> str:
    return (
        '[tool.poetry]\nname = "ours"\nversion = "1"\npackage-mode = false\n'
        f'[tool.poetry.dependencies]\npython = ">=3.10"\n{name} = "*"\n'
        f'[[tool.poetry.source]]\nname = "forks"\nurl = "{url}"\npriority = "primary"\n'
    )


def _pdm(name: str, url: str, _cooldown: bool) -> str:
    return (
        f'[project]\nname = "ours"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["{name}"]\n'
        f'[tool.pdm]\ndistribution = false\n[[tool.pdm.source]]\nname = "pypi"\nurl = "{url}"\n'
    )


def _pipenv(name: str, url: str, cooldown: bool) -> str:
    period = '[pipenv]\ncool-down-period = "7d"\n' if cooldown else ""
    source = f'[[source]]\nname = "forks"\nurl = "{url}"\nverify_ssl = false\n'
    return f'{source}[packages]\n{name} = "*"\n{period}'


TOOLS = {
    "poetry": Tool(
        ("poetry>=2.4",),
        "pyproject.toml",
        _poetry,
        "poetry.lock",
        cooldown_environment={"POETRY_SOLVER_MIN_RELEASE_AGE": "7"},
    ),
    # with the versions that it was tested with: 2.29 does not work with the newest ones
    "pdm": Tool(
        ("pdm[locked]>=2.26.8",),
        "pyproject.toml",
        _pdm,
        "pdm.lock",
        cooldown=("--exclude-newer", "7d"),
        reason="/failed/building/",
    ),
    "pipenv": Tool(
        ("pipenv>=2026.5",),
        "Pipfile",
        _pipenv,
        "Pipfile.lock",
        environment={
            "PIPENV_VENV_IN_PROJECT": "1",
            "PIPENV_YES": "1",
            "PIPENV_NOSPIN": "1",
            "VIRTUALENV_NO_PERIODIC_UPDATE": "1",
        },
    ),
}


class Locking:
    """One of the tools, installed into an environment of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.tool, self.folder = name, TOOLS[name], folder
        self._projects = 0
        surroundings = clean_environment(folder, UV_PYTHON_DOWNLOADS="never")
        python = ("--python", "venv/bin/python")
        for words in (("venv", "-q", "venv"), ("pip", "install", "-q", *python, *self.tool.requirements)):
            subprocess.run([find_uv_bin(), *words], cwd=folder, env=surroundings, check=True)

    def lock(self, index: str, project: str, *, cooldown: bool = True) -> tuple[Result, str]:
        """Lock a new project that needs `project`; how it ended, and the lock file."""
        self._projects += 1
        folder = self.folder / f"project-{self._projects}"
        folder.mkdir()
        (folder / self.tool.file).write_text(self.tool.project(project, index, cooldown))
        caches = {name: str(folder / "cache") for name in ("POETRY_CACHE_DIR", "PDM_CACHE_DIR", "PIPENV_CACHE_DIR")}
        caches["PIPENV_VENV_IN_PROJECT"] = "1"
        environment = {**caches, **self.tool.environment, **(self.tool.cooldown_environment if cooldown else {})}
        path = f"{self.folder / 'venv' / 'bin'}{os.pathsep}{Path(sys.executable).parent}"
        surroundings = clean_environment(folder, PATH=f"{path}{os.pathsep}{os.environ['PATH']}", **environment)
        words = [str(self.folder / "venv" / "bin" / self.name), *self.tool.command]
        done = Running([*words, *(self.tool.cooldown if cooldown else ())], surroundings, folder, None).wait(300)
        lock = folder / self.tool.lock
        return done, lock.read_text() if lock.is_file() else ""


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublicIndex]:
    with public_index(tmp_path_factory.mktemp("public") / "index") as index:
        index.json = True
        for version, time in (("1.0", OLD), ("2.0", moment(days=1))):
            index.facts[index.add_wheel("publicly", version).name] = {"upload-time": time}
        yield index


@pytest.fixture(scope="module")
def live(devpi_servers: MakeLive, public: PublicIndex) -> Live:
    found = devpi_servers()
    found.create("root/public", type="mirror", mirror_url=public.url, mirror_no_project_list=True)
    return found


@pytest.fixture(scope="module", params=list(TOOLS))
def locking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Locking:
    return Locking(request.param, tmp_path_factory.mktemp(request.param))


def test_cooldown__public_packages_come_in_the_newest_version_that_is_old_enough(live: Live, locking: Locking) -> None:
    index, _ = fork(live)
    for cooldown, wanted, other in ((True, "1.0", "2.0"), (False, "2.0", "1.0")):
        done, lock = locking.lock(live.url(index), "publicly", cooldown=cooldown)
        done.check()
        assert f"publicly-{wanted}-" in lock or 'publicly": ' in lock, lock
        assert f'"{wanted}"' in lock or f'"=={wanted}"' in lock
        assert f'"{other}"' not in lock
        assert f'"=={other}"' not in lock


def test_cooldown__forks_by_policy(live: Live, locking: Locking) -> None:
    index, made = fork(live, fork_upload_time="commit")
    done, lock = locking.lock(live.url(index), made.project)
    done.check()
    assert made.commit[:12] in lock
    live.server.modify_index(index, fork_upload_time="published").check()
    refused, _ = locking.lock(live.url(index), made.project)
    assert refused.returncode != 0, refused.output
    done, lock = locking.lock(live.url(index), made.project, cooldown=False)
    done.check()
    assert made.commit[:12] in lock


def test_cooldown__a_failed_build_is_named(live: Live, locking: Locking) -> None:
    failing = live.host.fork("fails")
    index = live.index_of(failing, bases=("root/public",))
    refused, _ = locking.lock(live.url(index), failing.project)
    assert refused.returncode != 0
    assert locking.tool.reason in " ".join(refused.output.split()), refused.output
