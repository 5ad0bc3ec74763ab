"""Awkward builds: pins that need pins, repositories that are gone, versions that come from tags."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.client.shell import Shell
from tests.clients import Uv
from tests.functional.conftest import MakeLive
from tests.functional.test_interpreters import answer, some
from tests.live import Host, Live
from tests.repositories import Repository

pytestmark = pytest.mark.functional

PYPROJECT = '[build-system]\nrequires = [{}]\nbuild-backend = "inline_backend"\nbackend-path = ["."]\n'


def needing(host: Host, project: str, *needs: str) -> Repository:
    """A fork whose build requires `needs`."""
    requires = ", ".join(f'"{name}"' for name in needs)
    return host.fork("inline", project=project, files={"pyproject.toml": PYPROJECT.format(requires)})


@pytest.fixture
def one_worker(own: MakeLive) -> Live:
    return own("--forkbuilder-workers", "1")


@pytest.mark.network
def test_needs__pins_are_built_in_turn_by_one_worker(one_worker: Live, uv: Uv, tmp_path: Path) -> None:
    live = one_worker
    forks = [needing(live.host, "top", "middle"), needing(live.host, "middle", "bottom"), needing(live.host, "bottom")]
    index = live.index_of(*forks)
    uv.install(live.url(index), "top", target=tmp_path / "target").check()
    for project in ("top", "middle", "bottom"):
        assert live.state(index, project)["state"] == "built"
    assert [live.host.git.fetches(fork.name) for fork in forks] == [1, 1, 1]


def test_needs__a_cycle_ends_at_once_and_is_named(one_worker: Live, uv: Uv) -> None:
    live = one_worker
    index = live.index_of(needing(live.host, "hen", "egg"), needing(live.host, "egg", "hen"))
    refused = uv.install(live.url(index), "hen")
    assert refused.returncode != 0
    error = live.state(index, "hen")["error"]
    assert error["kind"] == "build"
    assert "egg needs hen needs egg" in error["message"] or "hen needs egg needs hen" in error["message"]


@pytest.mark.slow
@pytest.mark.network
def test_source__outlives_repository_and_mirror(own: MakeLive, uv: Uv, tmp_path: Path) -> None:
    live, (first, second) = own(every_python=True), some(2)
    fork = live.host.fork("extension")
    index = live.index_of(fork)
    uv.install(live.url(index), "extension", arguments=("--python", str(first.executable))).check()
    live.wait_for_metric("running", lambda running: running == 0)  # the archive is made when the files are out
    archive = live.server.get(f"{index}/+forks/extension/{fork.commit}/source").check()
    assert archive.headers["content-type"] == "application/gzip"
    with tarfile.open(fileobj=io.BytesIO(archive.body)) as members:
        names = {name.partition("/")[2] for name in members.getnames()}
    assert names == {"extension.c", "pyproject.toml", "setup.py"}
    shutil.rmtree(fork.path)
    shutil.rmtree(live.server.serverdir / ".forkbuilder" / "mirrors")
    target = tmp_path / "target"
    uv.install(live.url(index), "extension", target=target, arguments=("--python", str(second.executable))).check()
    assert answer(second, "extension", target) == "42"
    assert len(live.state(index, "extension")["files"]) == 2
    live.server.restart()
    assert live.server.get(f"{index}/+forks/extension/{fork.commit}/source").body == archive.body


def test_source__of_what_is_not_built_or_not_pinned(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    assert live.server.get(f"{index}/+forks/inline/{fork.commit}/source").status == 404
    assert live.server.get(f"{index}/+forks/inline/{'0' * 40}/source").status == 404


@pytest.mark.network
def test_freeze__of_a_compiled_fork_has_a_wheel_for_each_interpreter(live: Live, uv: Uv, tmp_path: Path) -> None:
    first, second = some(2)
    fork = live.host.fork("extension")
    index = live.index_of(fork)
    shell = Shell(tmp_path / "shell").use(live.server, index)
    shell.write("github.txt", f"{live.host.pin(fork)}\n")
    uv.install(live.url(index), "extension", arguments=("--python", str(first.executable))).check()
    gap = shell.forks("freeze", "-r", "github.txt", "--python", second.name, "--strict")
    assert gap.returncode == 1
    assert f"has no wheel for Python {second.name}, so its hash is missing" in gap.stderr
    names = [word for one in (first, second) for word in ("--python", one.name)]
    frozen = shell.forks("freeze", "-r", "github.txt", *names, "--build").check().stdout
    shell.write("locked.txt", frozen)
    hashes = {file["sha256"] for file in live.state(index, "extension")["files"]}
    assert len(hashes) == 2
    assert set(re.findall(r"--hash=sha256:([0-9a-f]{64})", frozen)) == hashes
    for python in (first, second):
        target, by = tmp_path / python.name, ("--python", str(python.executable))
        arguments = (*by, "--require-hashes", "-r", str(shell.folder / "locked.txt"))
        uv.install(live.url(index), target=target, arguments=arguments, environment=without_git(tmp_path)).check()
        assert answer(python, "extension", target) == "42"


def without_git(folder: Path) -> dict[str, str]:
    """A search path with no program on it."""
    (folder / "nothing").mkdir(exist_ok=True)
    return {"PATH": str(folder / "nothing")}
