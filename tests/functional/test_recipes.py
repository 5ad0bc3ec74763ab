"""The CI recipes as a provider runs them: each job's steps, in their shell and environment, against real servers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.clients import TIMEOUT
from tests.devpi import DevpiServer
from tests.live import METADATA, Host, Live, upload
from tests.processes import Result, Running
from tests.recipes import RECIPES, Step, resolved
from tests.repositories import Repository
from tests.sites import readers_plugin
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]
SOURCES = ("devpi_forkbuilder", "pyproject.toml", "setup.cfg", "README.md", "CHANGELOG.md", "LICENSE")
ROOT = Path(__file__).parent.parent.parent
IN, TXT = Path("requirements", "github.in"), Path("requirements", "github.txt")


@dataclass(frozen=True, slots=True)
class Site:
    """A primary, a replica of it next to the workers, and a server as it is in a warmed image."""

    primary: DevpiServer
    replica: DevpiServer
    warmed: DevpiServer
    host: Host
    forks: tuple[Repository, ...]


@pytest.fixture(scope="module")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's own wheel, so that the recipes' `pip install devpi-forkbuilder[client]` finds it."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    command = [find_uv_bin(), "build", "--wheel", "--out-dir", str(folder / "dist"), str(folder)]
    Running(command, clean_environment(folder), folder, None).wait(TIMEOUT).check()
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(
    host: Host,
    client_wheel: Path,
    devpi_templates: Callable[[bool], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("recipes")
    readers = {"PYTHONPATH": str(readers_plugin(folder / "readers"))}
    options = ("--role", "primary", "--forkbuilder-allow-user", "main", METADATA, *host.allowed)
    forks = (host.fork("inline"), host.fork("flit"))
    with ExitStack() as stack:
        primary = DevpiServer(
            folder / "primary", *options, template=devpi_templates(True), mirror=True, environment=readers
        )
        stack.callback(primary.stop)
        primary.start().create_user("main")
        primary.create_index("root/tools").check()
        name, version, *_ = client_wheel.name.split("-")
        upload(primary, "root/tools", client_wheel, name, version).check()
        for index in ("forks", "private"):
            make_index(primary, f"main/{index}", forks=[host.pin(fork) for fork in forks], title=index)
        for fork in forks:
            Live(primary, host).file("main/forks", fork.project)  # the miss builds it
        primary.stop()  # so that what the image gets is whole
        warmed = DevpiServer(folder / "warmed", "--offline-mode", METADATA, template=primary.serverdir)
        stack.callback(warmed.stop)
        replica = DevpiServer(folder / "replica", METADATA, primary=primary.start(), environment=readers)
        stack.callback(replica.stop)
        replica.start().wait_for(primary)
        yield Site(primary, replica, warmed.start(), host, forks)


def make_index(server: DevpiServer, index: str, **settings: object) -> None:
    bases = ["root/tools", "root/pypi"]
    server.create_index(index, type="forkbuilder", bases=bases, **settings).check()


@dataclass(frozen=True, slots=True)
class Workspace:
    """A checkout of a project with two forks, and a provider that runs steps in it. `netrc` is its secret, or empty."""

    site: Site
    folder: Path
    index: str
    cache: Path
    netrc: str = ""
    done: list[str] = field(default_factory=list)

    def check_out(self) -> None:
        (self.folder / "requirements").mkdir(parents=True)
        (self.folder / "tests").mkdir()
        (self.folder / IN).write_text("".join(f"{self.site.host.pin(fork)}\n" for fork in self.site.forks))
        imports = "".join(f"import {fork.project.replace('-', '_')}\n" for fork in self.site.forks)
        test = "class Test(unittest.TestCase):\n    def test_forks(self):\n        print('both forks are here')\n"
        (self.folder / "tests" / "test_forks.py").write_text(f"import unittest\n{imports}\n{test}")
        self.temporary.mkdir()
        self.netrc_file.write_text(self.netrc)
        self.netrc_file.chmod(0o600)

    @property
    def temporary(self) -> Path:
        """What providers make for a build beside its checkout, and remove after it."""
        return self.folder.with_name(f"{self.folder.name}@tmp")

    @property
    def netrc_file(self) -> Path:
        return self.temporary / "secret-file"

    def run(self, name: str, step: Step) -> Result:
        """One step of the recipe `name`; its environment holds no expression any more."""
        known, around = self._provider(name)
        python = Path(sys.executable).parent
        own = {"PATH": f"{python}:{Path(find_uv_bin()).parent}:/usr/bin:/bin", "PIP_CACHE_DIR": str(self.cache / "pip")}
        own |= {"UV_CACHE_DIR": str(self.cache / "uv"), "UV_PYTHON_DOWNLOADS": "never", "UV_PYTHON": sys.executable}
        given = {key: self._warmed(text) for key, text in resolved(step.environment, known, around).items()}
        environment = clean_environment(self.temporary, **own, **given, **self._kept(name))
        command = [*step.shell, "-c", self._warmed(step.script)]
        return Running(command, environment, self.folder, None).wait(TIMEOUT * 2)

    def _warmed(self, text: str) -> str:
        """The recipes' warmed service, whose address is a provider's to give."""
        for address in ("http://localhost:3141", "http://forks:3141"):
            text = text.replace(address, self.site.warmed.url)
        return text

    def _kept(self, name: str) -> dict[str, str]:
        """What earlier steps wrote into GITHUB_ENV."""
        path = self.temporary / "github-env"
        if name != "github-actions.yml" or not path.exists():
            return {}
        return dict(line.split("=", 1) for line in path.read_text().splitlines())

    def _provider(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        """What the provider puts in for expressions, and the variables that it sets itself."""
        primary = f"{self.site.primary.url}/{self.index}"
        temporary = str(self.temporary)
        if name == "github-actions.yml":
            secrets = {"secrets.FORKS_NETRC": self.netrc, "secrets.FORKS_PASSWORD": "of-main"}
            github_env = str(self.temporary / "github-env")
            around = {"RUNNER_TEMP": temporary, "GITHUB_ENV": github_env}
            return {"vars.FORKS_INDEX": primary, "runner.temp": temporary, **secrets}, around
        if name == "gitlab-ci.yml":
            around = {"FORKS_INDEX": primary, "FORKS_PASSWORD": "of-main", "CI_BUILDS_DIR": temporary, "CI_JOB_ID": "7"}
            return {}, {**around, "NETRC": str(self.netrc_file)}
        if name == "azure-pipelines.yml":
            known = {"netrc.secureFilePath": str(self.netrc_file), "FORKS_PASSWORD": "of-main"}
            return {**known, "Agent.TempDirectory": temporary}, {"FORKS_INDEX": primary}
        mirror = f"{self.site.replica.url}/{self.index}"
        around = {"FORKS_MIRROR": mirror, "FORKS_PRIMARY": primary, "NETRC": str(self.netrc_file)}
        return {}, {**around, "WORKSPACE_TMP": temporary, "FORKS_USR": "main", "FORKS_PSW": "of-main"}


MakeWorkspace = Callable[..., Workspace]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installers' caches, shared by the recipes: what is fetched from the public index is fetched once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def workspace(site: Site, tmp_path: Path, cache: Path) -> MakeWorkspace:
    def make(index: str, netrc: str = "") -> Workspace:
        made = Workspace(site, tmp_path / "workspace", index, cache, netrc)
        made.check_out()
        return made

    return make


def test_resolved__puts_in_what_the_provider_knows() -> None:
    given = {"A": "$(B)/x", "B": "${{ vars.C }}", "D": "${A}"}
    assert resolved(given, {"vars.C": "c"}, {"E": "e"}) == {"A": "c/x", "B": "c", "D": "c/x", "E": "e"}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe__pins_checks_installs_and_tests(name: str, site: Site, workspace: MakeWorkspace) -> None:
    index = f"main/{name.partition('.')[0].lower()}"
    make_index(site.primary, index)
    site.replica.wait_for(site.primary)
    here = workspace(index)
    steps = RECIPES[name]()
    outputs = {}
    # Jenkins installs the client in a stage of its own, the others in the job that pins
    for job in sorted({step.job for step in steps}, key=lambda job: (job != "Client", job.lower() != "pin", job)):
        for step in (one for one in steps if one.job == job):
            outputs[job] = outputs.get(job, "") + here.run(name, step).check().output
        if job.lower() == "pin":
            shutil.move(here.folder / "frozen.txt", here.folder / TXT)
        for made in (".venv", ".tools") if name != "Jenkinsfile" else ():
            shutil.rmtree(here.folder / made, ignore_errors=True)  # each of their jobs has a machine of its own
    frozen = (here.folder / TXT).read_text()
    assert frozen.count("--hash=sha256:") == len(site.forks)
    assert sum(output.count("both forks are here") for output in outputs.values()) == len(steps_that_test(steps))
    assert "of-main" not in "".join(outputs.values())
    assert not list(here.folder.rglob("netrc"))


def steps_that_test(steps: list[Step]) -> list[Step]:
    return [step for step in steps if "unittest" in step.script]


def installs(name: str) -> list[tuple[str, list[Step]]]:
    """The jobs that install from a server of the team's, each with its steps."""
    steps = RECIPES[name]()
    jobs = dict.fromkeys(step.job for step in steps if "--require-hashes" in step.script and "warmed" not in step.job)
    return [(job, [step for step in steps if step.job == job]) for job in jobs]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe__installs_from_an_index_that_not_everybody_may_read(
    name: str, site: Site, workspace: MakeWorkspace
) -> None:
    here = workspace("main/private", "machine 127.0.0.1 login root password of-root\n")
    files = Live(site.primary, site.host)
    (here.folder / TXT).write_text("".join(line(files, fork) for fork in site.forks))
    jobs = installs(name)
    assert len(jobs) == 2
    for _, steps in jobs:
        output = "".join(here.run(name, step).check().output for step in steps)
        assert "both forks are here" in output
        assert "of-root" not in output
        shutil.rmtree(here.folder / ".venv", ignore_errors=True)


def line(live: Live, fork: Repository) -> str:
    """The frozen line; the files of this index are those of the public one, to the byte."""
    file = live.file("main/forks", fork.project)
    return f"{fork.project}=={file['filename'].split('-')[1]} --hash=sha256:{file['hashes']['sha256']}\n"


def test_private_index__is_closed_without_the_file(site: Site, workspace: MakeWorkspace) -> None:
    """Else the test above would prove nothing."""
    here = workspace("main/private")
    (here.folder / TXT).write_text(line(Live(site.primary, site.host), site.forks[0]))
    _, (step,) = installs("gitlab-ci.yml")[0]
    assert here.run("gitlab-ci.yml", step).returncode != 0


def test_recipe__a_stale_frozen_file_ends_the_check(workspace: MakeWorkspace) -> None:
    here = workspace("main/forks")
    (here.folder / TXT).write_text("inline==1.0\n")
    (step,) = [step for step in RECIPES["gitlab-ci.yml"]() if step.job == "check"]
    done = here.run("gitlab-ci.yml", step)
    assert done.returncode == 1, done.output
    assert "-inline==1.0" in done.stdout


def test_recipe__a_branch_in_the_file_ends_the_check(site: Site, workspace: MakeWorkspace) -> None:
    here = workspace("main/forks")
    (here.folder / IN).write_text(f"git+{site.host.git.repository_url(site.forks[0].name)}@main#egg=inline\n")
    (step,) = [step for step in RECIPES["gitlab-ci.yml"]() if step.job == "check"]
    done = here.run("gitlab-ci.yml", step)
    assert done.returncode == 1
    assert "main" in done.output
