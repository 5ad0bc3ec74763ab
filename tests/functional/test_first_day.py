"""The first day: from a file of thirty git lines in all forms to a team that installs, with real tools throughout."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from uv import find_uv_bin

from tests.client.shell import Shell
from tests.clients import Pip, Uv
from tests.devpi import send
from tests.functional.test_up import Up, _request
from tests.live import Host
from tests.platform_file import ENVIRON, FILES, make_platform, platform_files, project_files
from tests.processes import Result, Running
from tests.surroundings import clean_environment

pytestmark = [pytest.mark.functional, pytest.mark.slow]
BROWSER = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}
POETRY = "poetry>=2.0"


@dataclass
class Team:
    """The server of `up`, the developer's shell with the platform's files in its folder, the commits of the forks."""

    up: Up
    shell: Shell
    commits: dict[str, str]
    file: Path

    def browse(self, path: str) -> int:
        """The status that a browser gets."""
        request = _request(f"{self.up.url}/{path}")
        for name, value in BROWSER.items():
            request.add_header(name, value)
        return send(request, 30).status

    def landed(self, path: str) -> int:
        """The status that a browser ends with, where it was sent."""
        request = _request(f"{self.up.url}/{path}")
        for name, value in BROWSER.items():
            request.add_header(name, value)
        answer = send(request, 30)
        return (
            self.browse(urlsplit(answer.headers["location"]).path.lstrip("/"))
            if answer.status == 302
            else answer.status
        )

    def login(self) -> None:
        """`devpi use` and `devpi login`, as `up` says it."""
        password = (self.up.serverdir / ".forkbuilder" / "passwords" / "main").read_text().strip()
        self.shell.devpi("use", f"{self.up.url}/main/forks").check()
        self.shell.devpi("login", "main", f"--password={password}").check()

    def tool(self, *command: str, folder: Path) -> Result:
        """Run an installer in a project, with a cache and a home of its own, and without git."""
        none = self.shell.folder / "no-git"
        none.mkdir(exist_ok=True)
        own = {"UV_CACHE_DIR": str(folder / "cache"), "POETRY_CACHE_DIR": str(folder / "poetry-cache")}
        places = {"PATH": str(none), "POETRY_VIRTUALENVS_IN_PROJECT": "true", "UV_PYTHON_DOWNLOADS": "never"}
        surroundings = clean_environment(self.shell.home, **own, **places, UV_PYTHON=sys.executable)
        return Running(list(command), surroundings, folder, None).wait(300)


@pytest.fixture
def team(tmp_path: Path, host: Host) -> Iterator[Team]:
    commits = make_platform(host.repositories)
    shell = Shell(tmp_path / "shell")
    for name, text in platform_files(commits, host.git.url).items():
        shell.write(name, text)
    place = Up(tmp_path, host)
    yield Team(place, shell, commits, shell.folder / FILES[0])
    if place.running is not None:
        place.running.kill()


@pytest.fixture(scope="module")
def poetry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poetry in an environment of its own."""
    folder = tmp_path_factory.mktemp("poetry")
    surroundings = clean_environment(folder, UV_PYTHON_DOWNLOADS="never")
    for words in (("venv", "--quiet", "venv"), ("pip", "install", "--quiet", "--python", "venv/bin/python", POETRY)):
        subprocess.run([find_uv_bin(), *words], cwd=folder, env=surroundings, check=True)
    return folder / "venv" / "bin" / "poetry"


def without_devpi_web(folder: Path) -> dict[str, str]:
    """Variables with which a server finds an empty plugin in the place of devpi-web."""
    info = folder / "without" / "devpi_web-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: devpi-web\nVersion: 0\n")
    (info / "entry_points.txt").write_text(
        "[devpi_server]\ndevpi-web = no_devpi_web\ndevpi-web-whoosh = no_devpi_web.whoosh\n"
    )
    (info.parent / "no_devpi_web").mkdir()
    for name in ("__init__", "whoosh"):
        (info.parent / "no_devpi_web" / f"{name}.py").write_text('"""Nothing."""\n')
    return {"PYTHONPATH": str(info.parent)}


@pytest.mark.network
def test_first_day__from_the_platforms_file_to_a_team_that_installs(
    team: Team, host: Host, pip_new: Pip, uv: Uv, poetry: Path, tmp_path: Path
) -> None:
    said = team.up.start("-r", str(team.file), "--resolve")
    assert said.count(" -> ") == 13, said
    assert len(team.up.get("main/forks")["result"]["forks"]) == 32  # type: ignore[index]  # devpi's JSON
    assert [team.browse(path) for path in ("main/forks", "main/forks/+forks", "")] == [200, 200, 200]

    for installer, names in ((pip_new, ("modern", "nested", "sga")), (uv, ("safe", "lti-consumer", "drag-and-drop"))):
        target = tmp_path / f"first-{installer.name}"
        installer.install(team.up.index_url, *names, target=target).check()
        assert {path.name.partition("-")[0] for path in target.glob("*.dist-info")} == {
            name.replace("-", "_") for name in names
        }
    told = team.up.output.read_text()
    assert re.search(r"modern \(\w{7}\).*  queued", told), told

    team.login()
    fails = host.repositories.empty("fails-today")
    host.repositories.commit(fails, project_files("fails-today", "1.0.2", behaviour="fails"))
    line = f"fails-today @ git+{host.git.repository_url('fails-today')}@{fails.commit}\n"
    good = team.file.read_text()
    team.file.write_text(good + line)
    team.shell.forks("pin", "-r", team.file.name, "--yes", **ENVIRON).check()
    early = team.shell.forks("freeze", "-r", team.file.name, **ENVIRON)
    assert "'devpi forks build --all --wait' builds them" in early.stderr
    assert early.stderr.count("\n") <= 2
    assert team.shell.forks("build", "--all", "--wait").returncode == 1
    failed = team.shell.forks("freeze", "-r", team.file.name, **ENVIRON)
    assert "fails-today failed to build" in failed.stderr
    assert "'devpi forks log fails-today' shows why" in failed.stderr
    assert [team.browse(path) for path in ("main/forks", "main/forks/+forks")] == [200, 200]

    team.file.write_text(good)
    assert team.shell.forks("pin", "-r", team.file.name, "--check", **ENVIRON).returncode == 1
    team.shell.forks("unpin", "fails-today", "--yes").check()
    team.shell.forks("pin", "-r", team.file.name, "--check", **ENVIRON).check()
    pylock = team.shell.forks("freeze", "-r", team.file.name, "--format", "pylock", **ENVIRON).check().stdout
    (team.shell.folder / "pylock.toml").write_text(pylock)
    team.shell.forks("freeze", "-r", team.file.name, "--in-place", **ENVIRON).check()
    frozen = team.file.read_text()
    assert "git+" not in frozen.replace("come from git", "")
    assert "/archive/" not in frozen
    assert frozen.count("--hash=sha256:") == 30

    for installer in (pip_new, uv):
        target, arguments = tmp_path / f"frozen-{installer.name}", ["--require-hashes", "-r", str(team.file)]
        no_git = {"PATH": str(tmp_path / "nothing")}
        installer.install(team.up.index_url, arguments=arguments, target=target, environment=no_git).check()
        here = {path.name for path in target.glob("*.py")}
        assert {"modern.py", "nested.py", "staticfiles.py", "poll.py", "zendesk.py"} <= here
        assert (target / "lti_consumer.py").read_text() == "VERSION = '1.0.2'\n"
        assert "futures.py" not in here, "its marker says no"
    uv.install(None, arguments=["-r", str(team.shell.folder / "pylock.toml")], target=tmp_path / "locked").check()
    assert (tmp_path / "locked" / "modern.py").is_file()

    _projects(team, host, poetry)
    assert team.up.stop().returncode == 0


def _projects(team: Team, host: Host, poetry: Path) -> None:
    """A project of uv and one of Poetry, frozen, locked and installed without git."""
    sga = f"{host.git.url}/campus/sga/archive/{team.commits['sga']}.zip"
    head = '[project]\nname = "ours"\nversion = "1"\nrequires-python = ">=3.10"\n'
    file = team.shell.write(
        "with-uv/pyproject.toml",
        f'{head}dependencies = ["modern", "sga @ {sga}"]\n[tool.uv.sources]\n'
        f'modern = {{ git = "{host.git.url}/modern.git", rev = "{team.commits["modern"]}" }}\n',
    )
    team.shell.forks("freeze", "-r", "with-uv/pyproject.toml", "--in-place").check()
    team.tool(find_uv_bin(), "lock", folder=file.parent).check()
    locked = (file.parent / "uv.lock").read_text()
    for name in ("modern", "sga"):
        assert re.search(rf"{name}-1\.0\.2\S+\.whl.*hash = \"sha256:", locked), locked
    team.tool(find_uv_bin(), "sync", "--locked", "--no-install-project", folder=file.parent).check()
    assert list(file.parent.glob(".venv/lib/*/site-packages/modern.py"))

    file = team.shell.write(
        "with-poetry/pyproject.toml",
        '[tool.poetry]\nname = "ours"\nversion = "1"\npackage-mode = false\n[tool.poetry.dependencies]\n'
        f'python = ">=3.10"\nmodern = {{ git = "{host.git.url}/modern.git", rev = "{team.commits["modern"]}" }}\n',
    )
    team.shell.forks("freeze", "-r", "with-poetry/pyproject.toml", "--in-place").check()
    team.tool(str(poetry), "install", "--no-interaction", folder=file.parent).check()
    assert list(file.parent.glob(".venv/lib/*/site-packages/modern.py"))


def test_first_day__a_browser_without_devpi_web(
    team: Team, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = without_devpi_web(tmp_path)
    monkeypatch.setattr(
        "tests.functional.test_up.clean_environment", lambda folder, **more: clean_environment(folder, **hidden, **more)
    )
    team.up.start("-r", str(team.file), "--resolve")
    log = (team.up.serverdir / ".forkbuilder" / "server.log").read_text()
    assert re.findall(r"devpi-web-[0-9.]*[0-9]", log) == ["devpi-web-0"]
    fails = host.repositories.empty("fails-now")
    host.repositories.commit(fails, project_files("fails-now", "1.0.2", behaviour="fails"))
    team.file.write_text(f"fails-now @ git+{host.git.repository_url('fails-now')}@{fails.commit}\n")
    assert team.up.stop().returncode == 0
    team.up.start("-r", str(team.file))
    pages = ("", "main/forks", "main/forks/+forks")
    assert [team.landed(path) for path in pages] == [200] * 3, "pins that nobody has built"
    failed = team.up.get("main/forks/+simple/fails-now/")
    assert "/failed/building/" in str(failed)
    assert [team.landed(path) for path in pages] == [200] * 3, "a failed one among them"
    assert team.up.stop().returncode == 0
