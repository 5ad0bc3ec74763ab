"""The two steps of a build: what is run where, what is installed, and what each failure is called."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.index_health import IndexHealth
from devpi_forkbuilder.errors import BuildError, ForkbuilderError, InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.frontend import hook_runner, pep517
from devpi_forkbuilder.pipeline.frontend import requirements_env as supplies_module
from devpi_forkbuilder.pipeline.frontend.build_env import BuildEnv
from devpi_forkbuilder.pipeline.frontend.pep517 import BuildOutputs, build
from devpi_forkbuilder.pipeline.frontend.requirements_env import RequirementsEnv, refused_install, supply
from devpi_forkbuilder.pipeline.process.command import Finished
from devpi_forkbuilder.pipeline.process.deep_tree import remove
from devpi_forkbuilder.pipeline.process.environment import QUIET_TOOLS
from devpi_forkbuilder.pipeline.process.time_limits import BuildLimits, Deadline
from tests.hostile_trees import nest
from tests.pipeline.benches import EPOCH, Clock, build_env
from tests.repositories import FORKS

NOWHERE = "http://127.0.0.1:9/simple/"

BACKEND = """\
import json, os, sys, zipfile
from pathlib import Path

{more}

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    before_wheel()
    name = "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(wheel_directory) / name, "w") as archive:
        archive.writestr("environment.json", json.dumps(dict(os.environ)))
        archive.writestr("path.json", json.dumps(sys.path))
    return name
"""


def project(folder: Path, more: str = "def before_wheel(): pass", requires: str = "", backend: str = BACKEND) -> Path:
    """A project with an in-tree back end, at the place of the bench's checkout."""
    source = folder / "work" / "box" / "src"
    (source / "backend.py").write_text(backend.format(more=more))
    (source / "pyproject.toml").write_text(
        f'[build-system]\nrequires = [{requires}]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return source


def wheel_member(folder: Path, member: str) -> object:
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read(member))


def test_build__in_tree_back_end_needs_no_index(tmp_path):
    desk = build_env(tmp_path)
    left = build(desk, BuildOutputs(project(tmp_path), index_url=NOWHERE))
    assert [path.name for path in left.wheel.iterdir()] == ["demo-1.0-py3-none-any.whl"]
    assert left.held == ()
    assert left.sdist is None


def test_build__environment_is_a_short_list(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@proxy.invalid:1")
    monkeypatch.setenv("UV_INDEX_URL", NOWHERE)
    desk = build_env(tmp_path, extra=(("EXTRA_FLAG", "on"),))
    left = build(desk, BuildOutputs(project(tmp_path)))
    found = wheel_member(left.wheel, "environment.json")
    assert "hunter2" not in json.dumps(found)
    assert "UV_INDEX_URL" not in found
    assert found["SOURCE_DATE_EPOCH"] == str(EPOCH)
    assert found["EXTRA_FLAG"] == "on"
    assert Path(found["HOME"]).is_relative_to(desk.folder.box)
    assert Path(found["TMPDIR"]).is_relative_to(desk.folder.box)
    assert not Path(found["UV_CACHE_DIR"]).is_relative_to(tmp_path / "uv-cache")


def test_build__source_tree_gets_no_bytecode(tmp_path):
    desk = build_env(tmp_path)
    source = project(tmp_path)
    build(desk, BuildOutputs(source))
    assert not list(source.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("more", "reference", "said"),
    [
        ("def before_wheel(): raise SystemExit(7)", "build-failed", "ended with status"),
        ("raise ImportError('no frobnicator')", "hook-failed", "failed in get_requires_for_build_wheel"),
        ("def get_requires_for_build_wheel(c): raise SystemExit(3)", "hook-failed", "with status 3"),
        ("def get_requires_for_build_wheel(c): return ['--index-url=x']", "hook-failed", "not a list of requirements"),
        ("def get_requires_for_build_wheel(c): return [1]", "hook-failed", "not a list of requirements"),
        ("def get_requires_for_build_wheel(c): os._exit(0)", "hook-failed", "not a list of requirements"),
        ("def get_requires_for_build_wheel(c): return ['x @ file:///etc/x.whl']", "requirement-refused", "file:///etc"),
    ],
)
def test_build__failures_of_the_project(tmp_path, more, reference, said):
    desk = build_env(tmp_path)
    with pytest.raises(BuildError) as caught:
        build(desk, BuildOutputs(project(tmp_path, more), index_url=NOWHERE))
    assert caught.value.reference == reference
    assert said in caught.value.what
    assert caught.value.next_step


def test_build__hook_output_goes_to_the_log_not_into_the_answer(tmp_path):
    more = (
        "def before_wheel(): pass\n"
        "def get_requires_for_build_wheel(c):\n"
        "    print('from python'); os.system('echo from a child'); os.write(1, b'from the descriptor')\n"
        "    return []"
    )
    desk = build_env(tmp_path)
    build(desk, BuildOutputs(project(tmp_path, more)))
    for said in ("from python", "from a child", "from the descriptor"):
        assert said in desk.watch.log.text


def test_build__back_end_from_elsewhere_than_backend_path(tmp_path):
    desk = build_env(tmp_path)
    source = project(tmp_path)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "json"\nbackend-path = ["."]\n'
    )
    with pytest.raises(BuildError) as caught:
        build(desk, BuildOutputs(source))
    assert caught.value.reference == "hook-failed"
    assert "is not in backend-path" in desk.watch.log.text


def test_build__silence_and_time(tmp_path):
    more = "import threading\ndef before_wheel(): threading.Event().wait()"
    desk = build_env(tmp_path, limits=BuildLimits(timeout=60, silence=0.5))
    with pytest.raises(LimitsError) as caught:
        build(desk, BuildOutputs(project(tmp_path, more)))
    assert caught.value.reference == "silence"


def test_deadline__is_one_for_all_commands():
    clock = Clock()
    deadline = Deadline(BuildLimits(timeout=10), clock)
    clock.now += 9
    assert deadline.left() == 1
    clock.now += 1
    with pytest.raises(LimitsError) as caught:
        deadline.left()
    assert caught.value.reference == "timeout"


def test_build__time_spent_is_time_gone(tmp_path):
    clock = Clock()
    desk = build_env(tmp_path, limits=BuildLimits(timeout=10), clock=clock)
    clock.now += 11
    with pytest.raises(LimitsError) as caught:
        build(desk, BuildOutputs(project(tmp_path)))
    assert caught.value.reference == "timeout"


def test_build__failing_sdist_leaves_the_wheel(tmp_path):
    more = "def before_wheel(): pass\ndef build_sdist(d, c=None): raise SystemExit('no sources to give')"
    desk = build_env(tmp_path)
    left = build(desk, BuildOutputs(project(tmp_path, more), sdist=True))
    assert left.sdist is None
    assert list(left.wheel.glob("*.whl"))
    assert any(line.startswith("no source distribution: ") for line in desk.watch.log.said)


def test_build__sdist_comes_from_an_untouched_copy(tmp_path):
    more = (
        "def before_wheel(): Path('left-by-the-wheel').touch()\n"
        "def build_sdist(d, c=None):\n"
        "    Path(d, 'demo-1.0.tar.gz').write_text(str(Path('left-by-the-wheel').exists()))\n"
        "    return 'demo-1.0.tar.gz'"
    )
    desk = build_env(tmp_path)
    left = build(desk, BuildOutputs(project(tmp_path, more), sdist=True))
    assert (left.sdist / "demo-1.0.tar.gz").read_text() == "False"


def test_build__a_hook_cannot_trap_the_output_folder(tmp_path):
    target = tmp_path / "elsewhere"
    target.mkdir()
    trap = f"os.symlink({str(target)!r}, '../out')"
    more = f"def before_wheel(): pass\ndef get_requires_for_build_wheel(c): {trap}; return []"
    desk = build_env(tmp_path)
    left = build(desk, BuildOutputs(project(tmp_path, more)))
    assert not list(target.iterdir())
    assert not left.wheel.is_symlink()
    assert list(left.wheel.glob("*.whl"))


def test_supply__index_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(QUIET_TOOLS, "UV_HTTP_RETRIES", "0")  # the server's own variables do not reach builds
    monkeypatch.setattr(supplies_module, "PAUSES", (0.0, 0.0))
    desk = build_env(tmp_path)
    with pytest.raises(InfrastructureError) as caught:
        supply(desk, RequirementsEnv(("setuptools",), index_url=NOWHERE))
    assert caught.value.reference == "index-unreachable"
    assert caught.value.retryable
    assert len([line for line in desk.watch.log.said if line.startswith("trying again")]) == 2


@pytest.mark.parametrize(
    ("health", "wanted", "tries", "error"),
    [
        (IndexHealth(unmet=("helper",)), "helper>=2", 1, BuildError),
        (IndexHealth(), "helper>=2", 3, BuildError),
        (IndexHealth(fault="The index x answered 502 for helper."), "helper>=2", 3, InfrastructureError),
    ],
)
def test_supply__indexes_are_asked_before_the_fork_is_blamed(tmp_path, monkeypatch, health, wanted, tries, error):
    monkeypatch.setattr(supplies_module, "PAUSES", (0.0, 0.0))
    desk, asked = build_env(tmp_path), []

    def ask(requirements, constraints):
        asked.append((requirements, constraints))
        return health

    with pytest.raises(ForkbuilderError) as caught:
        supply(desk, RequirementsEnv((wanted,), ("helper<9",), index_url=local_index(tmp_path), health=ask))
    assert type(caught.value) is error
    assert caught.value.retryable  # a release may come, and no index is broken for good
    assert health.fault in caught.value.what
    assert asked[0] == ((wanted,), ("helper<9",))
    assert len([line for line in desk.watch.log.said if line.startswith("trying again")]) == tries - 1


def test_supply__not_while_the_projects_code_may_run(tmp_path):
    desk = build_env(tmp_path)
    desk.inside(desk.folder.source)
    with pytest.raises(RuntimeError):
        desk.supply(("--version",), "uv")


def local_index(folder: Path) -> str:
    """A simple index on disk with one wheel, `helper` 1.0."""
    page = folder / "index" / "helper"
    page.mkdir(parents=True)
    name = "helper-1.0-py3-none-any.whl"
    with zipfile.ZipFile(page / name, "w") as archive:
        archive.writestr("helper.py", "VALUE = 1\n")
        archive.writestr("helper-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: helper\nVersion: 1.0\n")
        archive.writestr(
            "helper-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(
            "helper-1.0.dist-info/RECORD",
            "helper.py,,\nhelper-1.0.dist-info/METADATA,,\nhelper-1.0.dist-info/WHEEL,,\nhelper-1.0.dist-info/RECORD,,\n",
        )
    (page / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')
    return (folder / "index").as_uri()


def sdist_in(page: Path, code: str) -> None:
    """A project of the index that exists as source only; its back end runs `code`, and builds nothing."""
    page.mkdir()
    name = f"{page.name}-1.0"
    table = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    info = f"Metadata-Version: 2.1\nName: {page.name}\nVersion: 1.0\n"
    with tarfile.open(page / f"{name}.tar.gz", "w:gz") as archive:
        for file, text in {"pyproject.toml": table, "backend.py": code, "PKG-INFO": info}.items():
            member = tarfile.TarInfo(f"{name}/{file}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    (page / "index.html").write_text(f'<!DOCTYPE html><a href="{name}.tar.gz">{name}.tar.gz</a>')


def test_supply__lists_what_the_environment_holds(tmp_path):
    desk = build_env(tmp_path)
    assert supply(desk, RequirementsEnv(("helper",), index_url=local_index(tmp_path))) == ("helper==1.0",)


def test_supply__unmet(tmp_path):
    desk = build_env(tmp_path)
    with pytest.raises(BuildError) as caught:
        supply(desk, RequirementsEnv(("helper>=2",), index_url=local_index(tmp_path)))
    assert caught.value.reference == "requirements-unresolvable"
    assert "helper>=2" in caught.value.what


@pytest.mark.parametrize("network", [False, True])
def test_supply__code_of_requirements_runs_only_where_the_projects_may_use_the_network(tmp_path, network):
    index = local_index(tmp_path)
    marker = tmp_path / "marker"
    sdist_in(tmp_path / "index" / "sourceonly", f"import pathlib; pathlib.Path({str(marker)!r}).touch()")
    desk = build_env(tmp_path, network=network)
    with pytest.raises(BuildError) as caught:
        supply(desk, RequirementsEnv(("sourceonly",), index_url=index))
    assert caught.value.reference == "requirements-unresolvable"
    assert ("fork_build_network" in caught.value.message) is not network
    assert marker.exists() is network


def test_supply__constraints_hold(tmp_path):
    desk = build_env(tmp_path)
    with pytest.raises(BuildError) as caught:
        supply(desk, RequirementsEnv(("helper",), constraints=("helper<1",), index_url=local_index(tmp_path)))
    assert caught.value.reference == "requirements-unresolvable"


def test_supply__cache_and_environment_share_no_file(tmp_path):
    desk = build_env(tmp_path)
    supply(desk, RequirementsEnv(("helper",), index_url=local_index(tmp_path)))
    (installed,) = desk.folder.environment.rglob("helper.py")
    assert installed.stat().st_nlink == 1


def test_build__what_the_hook_asks_for_is_there_in_an_environment_made_anew(tmp_path):
    more = (
        "def get_requires_for_build_wheel(c):\n"
        "    (Path(sys.prefix) / 'left-by-the-hook').touch()\n"
        "    return ['helper']\n"
        "def before_wheel():\n"
        "    import helper\n"
        "    assert not (Path(sys.prefix) / 'left-by-the-hook').exists()"
    )
    desk = build_env(tmp_path)
    left = build(desk, BuildOutputs(project(tmp_path, more), index_url=local_index(tmp_path)))
    assert left.held == ("helper==1.0",)


def test_build__what_the_hook_asks_for_and_is_there_already_is_not_installed_twice(tmp_path):
    more = "def get_requires_for_build_wheel(c): return ['helper>=1']\ndef before_wheel(): import helper"
    desk = build_env(tmp_path)
    build(desk, BuildOutputs(project(tmp_path, more, requires='"helper"'), index_url=local_index(tmp_path)))
    assert desk.watch.log.text.count("+ helper==1.0") == 1


@pytest.mark.parametrize(
    ("line", "yes"),
    [
        ("setuptools>=64", False),
        ("x @ https://host/x-1.0-py3-none-any.whl", True),
        ("x @ https://host/${HTTPS_PROXY}/x-1.0-py3-none-any.whl", True),
        ("x @ file:///srv/devpi/x-1.0-py3-none-any.whl", True),
        ("x @ http://169.254.169.254/x-1.0-py3-none-any.whl", True),
        ("x @ git+https://host/x", True),
    ],
)
def test_refused(line, yes):
    assert refused_install([line]) == ([line] if yes else [])


def test_hook__runs_on_every_interpreter_from_3_6():
    """No syntax or module that a build environment's old interpreter does not know."""
    ast.parse(Path(hook_runner.__file__).read_text(), feature_version=(3, 6))


@pytest.mark.network
@pytest.mark.parametrize("case", ["pure-setuptools", "hatchling", "flit", "poetry"])
def test_build__usual_back_ends(tmp_path, case):
    desk = build_env(tmp_path)
    source = desk.folder.source
    shutil.copytree(FORKS / case, source, dirs_exist_ok=True)
    left = build(desk, BuildOutputs(source, sdist=True))
    assert len(list(left.wheel.glob("*.whl"))) == 1
    assert len(list(left.sdist.glob("*.tar.gz"))) == 1
    assert left.held


@pytest.mark.network
def test_build__requirement_without_a_wheel_is_built_in_the_box(tmp_path):
    more = "def get_requires_for_build_wheel(c): return ['docopt']\ndef before_wheel(): import docopt"
    desk = build_env(tmp_path, network=True)
    left = build(desk, BuildOutputs(project(tmp_path, more)))
    assert [pair for pair in left.held if pair.startswith("docopt==")]


@pytest.mark.network
def test_build__constrained_old_setuptools(tmp_path):
    desk = build_env(tmp_path)
    source = desk.folder.source
    (source / "setup.py").write_text("from setuptools import setup\nsetup(name='old', version='1.0', py_modules=[])\n")
    left = build(desk, BuildOutputs(source, constraints=("setuptools<58",)))
    assert [pair for pair in left.held if pair.startswith("setuptools==57.")]
    assert [pair for pair in left.held if pair.startswith("wheel==")]
    assert sys.version_info[:2] == tuple(map(int, desk.interpreter.version.split(".")[:2]))


def test_copy__as_many_levels_as_a_checkout_may_have(tmp_path: Path) -> None:
    """A path of 1,024 bytes has 512 levels, and copying them by calls within calls takes twice as many."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    innermost = nest(source, "a", 511)
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, 0o755, dir_fd=innermost))
    os.close(innermost)
    (source / "link").symlink_to("a")
    pep517._copy_tree(source, target)
    assert (target.joinpath(*["a"] * 511) / "file").stat().st_mode & 0o777 == 0o755
    assert (target / "link").readlink() == Path("a")
    assert remove(tmp_path / "source")
    assert remove(tmp_path / "target")


def test_supply__each_try_has_a_fresh_environment(tmp_path, monkeypatch):
    """A try that failed may leave files, and the next one would trust their RECORD."""
    monkeypatch.setattr(supplies_module, "PAUSES", (0.0, 0.0))
    desk = build_env(tmp_path)
    left, seen = desk.folder.environment / "half-installed", []

    def installed(arguments, label, more=None):
        if arguments[0] != "pip":
            return BuildEnv.supply(desk, arguments, label, more)
        seen.append(left.exists())
        left.touch()
        return Finished(1 if len(seen) < 3 else 0, 0.0, b"", b"")

    monkeypatch.setattr(desk, "supply", installed)
    supply(desk, RequirementsEnv(("demo",), index_url=NOWHERE))
    assert seen == [False, False, False]
