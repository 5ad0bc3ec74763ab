"""A wheel for whoever asks: this machine's interpreters as clients of forks that are compiled."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreter, Interpreters
from devpi_forkbuilder.pipeline.process.environment import SEARCH_PATH
from tests.clients import Uv
from tests.functional.conftest import MakeLive
from tests.live import Host, Live, in_threads, stamped
from tests.pipeline.benches import tools
from tests.processes import Result, Running
from tests.repositories import Case, Content, Repository
from tests.surroundings import clean_environment, needs_compiler

pytestmark = [pytest.mark.functional, pytest.mark.network]

CYTHON: dict[str, Content] = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools", "cython>=3"]\n'
    'build-backend = "setuptools.build_meta"\n',
    "setup.py": "from Cython.Build import cythonize\nfrom setuptools import setup\n"
    'setup(name="cythonized", version="1.0.2", ext_modules=cythonize(["cythonized.pyx"]))\n',
    "cythonized.pyx": "def answer():\n    cdef int number = 42\n    return number\n",
}
CFFI: dict[str, Content] = {
    "pyproject.toml": '[build-system]\nrequires = ["setuptools", "cffi"]\nbuild-backend = "setuptools.build_meta"\n',
    "setup.py": 'from setuptools import setup\nsetup(name="with-cffi", version="1.0.2", py_modules=["with_cffi"], '
    'setup_requires=["cffi"], cffi_modules=["make.py:ffi"])\n',
    "make.py": 'from cffi import FFI\nffi = FFI()\nffi.cdef("int answer(void);")\n'
    'ffi.set_source("_with_cffi", "static int answer(void) { return 42; }")\n',
    "with_cffi.py": "from _with_cffi import lib\n\n\ndef answer():\n    return lib.answer()\n",
}
HOME = os.environ.get("HOME", "/")
"""Before tests get one of their own: rustup's launchers look there for the toolchain."""
RUST: dict[str, Content] = {
    "pyproject.toml": '[build-system]\nrequires = ["maturin>=1.7"]\nbuild-backend = "maturin"\n'
    '[project]\nname = "rusty"\nversion = "1.0.2"\n[tool.maturin]\nbindings = "bin"\n',
    "Cargo.toml": '[package]\nname = "rusty"\nversion = "1.0.2"\nedition = "2021"\n',
    "Cargo.lock": 'version = 3\n\n[[package]]\nname = "rusty"\nversion = "1.0.2"\n',
    "src/main.rs": 'fn main() { println!("42"); }\n',
}


@cache
def interpreters() -> dict[str, Interpreter]:
    """What this machine has, by the names that orders use; of two with one name the newest."""
    found: dict[str, Interpreter] = {}
    for one in Interpreters(tools().uv.path, os.environ).all():
        found.setdefault(one.name, one)
    return found


def usual() -> list[Interpreter]:
    """The CPythons of this machine that forks are built for."""
    return [one for name, one in interpreters().items() if name in {"3.9", "3.10", "3.11", "3.12", "3.13"}]


def some(count: int) -> list[Interpreter]:
    """That many of them."""
    wanted = usual()
    if len(wanted) < count:
        pytest.skip(f"this machine has {len(wanted)} interpreters from 3.9 to 3.13, and {count} are needed")
    return wanted[:count]


def fork_of(host: Host, project: str, files: dict[str, Content]) -> Repository:
    fork = host.repositories.empty(f"{project}-{next(host.numbers)}", Case(project))
    host.repositories.commit(fork, files)
    return fork


def pip(python: Interpreter, url: str, requirement: str, target: Path) -> Result:
    """Install with the pip that the interpreter came with."""
    home = target.with_name(f"{target.name}-home")
    home.mkdir()
    options = ("--target", str(target), "--index-url", url, "--no-cache-dir")
    command = [str(python.executable), "-m", "pip", "install", *options, requirement]
    return Running(command, clean_environment(home), home, None).wait(180)


def answer(python: Interpreter, module: str, target: Path) -> str:
    """What the installed module says, in the interpreter itself."""
    code = f"import {module}; print({module}.answer())"
    environment = clean_environment(target, PYTHONPATH=str(target))
    return Running([str(python.executable), "-c", code], environment, target, None).wait(60).check().stdout.strip()


def knowing(clients: Sequence[Interpreter], unknown: Interpreter, home: Path) -> dict[str, str]:
    """The environment of a server that finds the interpreters `clients`, and not `unknown`."""
    folders = [*SEARCH_PATH.split(":"), *(str(one.executable.parent) for one in clients)]
    if str(unknown.executable.parent) in folders:
        pytest.skip(f"{unknown.executable} cannot be hidden from a server")
    return {"PATH": ":".join(folders), "HOME": str(home)}


each_installer = pytest.mark.parametrize("installer", [pytest.param("pip", marks=pytest.mark.installers), "uv"])


@pytest.mark.slow
@needs_compiler
@each_installer
def test_extension__three_interpreters_ask_at_once_and_a_fourth_that_the_server_lacks(
    own: MakeLive, uv: Uv, installer: str, tmp_path: Path
) -> None:
    *clients, fourth = some(4)
    live = own(environment=knowing(clients, fourth, tmp_path))
    fork = live.host.fork("extension")
    index = live.index_of(fork)
    results: dict[str, Result] = {}

    def install(python: Interpreter) -> Callable[[], None]:
        def work() -> None:
            target = tmp_path / python.name
            if installer == "pip":
                results[python.name] = pip(python, live.url(index), "extension", target)
            else:
                arguments = ("--python", str(python.executable))
                results[python.name] = uv.install(live.url(index), "extension", target=target, arguments=arguments)

        return work

    for thread in in_threads([install(python) for python in (*clients, fourth)]):
        thread.join()
    for python in clients:
        results[python.name].check()
        assert answer(python, "extension", tmp_path / python.name) == "42"
    assert results[fourth.name].returncode != 0
    assert f"no file for Python {fourth.name} on linux" in results[fourth.name].output
    told = re.search(r"this server builds for Python (.*) on linux", results[fourth.name].output)
    assert told is not None
    assert set(told[1].split(", ")) >= {python.name for python in clients}
    assert fourth.name not in told[1].split(", ")
    state = live.state(index, "extension")
    assert len(state["files"]) == len(state["targets"]) == 3
    assert live.host.git.fetches(fork.name) == 1
    if find_spec("auditwheel") is not None:
        assert all("manylinux" in target for target in state["targets"])


@needs_compiler
def test_extension__an_interpreter_that_the_server_lacks_hears_what_it_has(
    own: MakeLive, uv: Uv, tmp_path: Path
) -> None:
    here, last = some(2)
    live = own(environment=knowing([], last, tmp_path))
    index = live.index_of(live.host.fork("extension"))
    refused = uv.install(live.url(index), "extension", arguments=("--python", str(last.executable)))
    assert refused.returncode != 0
    assert f"no file for Python {last.name} on linux" in refused.output
    assert f"this server builds for Python {here.name}" in refused.output
    uv.install(live.url(index), "extension", arguments=("--python", str(here.executable))).check()


@needs_compiler
@each_installer
def test_extension__plain_gives_the_source_to_an_interpreter_that_the_server_lacks(
    own: MakeLive, uv: Uv, installer: str, tmp_path: Path
) -> None:
    here, last = some(2)
    live = own(mirror=True, environment=knowing([], last, tmp_path))
    fork = live.host.fork("extension")
    index = live.index(live.host.pin(fork), bases=("root/pypi",), fork_versions="plain")
    for number in range(2):  # cold, and when the wheel for another is there
        target = tmp_path / f"target-{number}"
        if installer == "pip":
            pip(last, live.url(index), "extension", target).check()
        else:
            uv.install(
                live.url(index), "extension", target=target, arguments=("--python", str(last.executable))
            ).check()
        assert answer(last, "extension", target) == "42"
    names = sorted(live.files(index, "extension"))
    assert len(names) == 2
    assert names[0].startswith(f"extension-1.0.2-cp{here.name.replace('.', '')}-")
    assert names[1] == "extension-1.0.2.tar.gz"


@pytest.mark.slow
@needs_compiler
def test_extension__each_interpreter_of_this_machine(live: Live, uv: Uv, tmp_path: Path) -> None:
    fork = live.host.fork("extension")
    index = live.index_of(fork)
    for python in usual():
        target, arguments = tmp_path / python.name, ("--python", str(python.executable))
        uv.install(live.url(index), "extension", target=target, arguments=arguments).check()
        assert answer(python, "extension", target) == "42"
    assert len(live.files(index, "extension")) == len(usual())
    assert live.host.git.fetches(fork.name) == 1


def pypy() -> Interpreter:
    found = [one for name, one in interpreters().items() if name.startswith("pypy3.")]
    if not found:
        pytest.skip("this machine has no PyPy (Debian: pypy3, pypy3-venv, pypy3-dev)")
    return found[0]


@needs_compiler
@each_installer
def test_extension__for_pypy(live: Live, uv: Uv, installer: str, tmp_path: Path) -> None:
    python = pypy()
    index = live.index_of(live.host.fork("extension"))
    target, number = tmp_path / "target", python.name.removeprefix("pypy").replace(".", "")
    if installer == "pip":
        made = [str(python.executable), "-m", "venv", str(tmp_path / "venv")]
        Running(made, clean_environment(tmp_path), tmp_path, None).wait(120).check()
        pip(
            replace(python, executable=tmp_path / "venv" / "bin" / "python"), live.url(index), "extension", target
        ).check()
    else:
        arguments = ("--python", str(python.executable))
        uv.install(live.url(index), "extension", target=target, arguments=arguments).check()
    assert answer(python, "extension", target) == "42"
    (name,) = live.files(index, "extension")
    assert f"-pp{number}-pypy{number}_pp73-" in name


@needs_compiler
@pytest.mark.parametrize(
    ("project", "files"), [("cythonized", CYTHON), pytest.param("with-cffi", CFFI, marks=pytest.mark.slow)]
)
def test_extension__of_other_kinds(live: Live, uv: Uv, project: str, files: dict[str, Content], tmp_path: Path) -> None:
    fork = fork_of(live.host, project, files)
    index = live.index_of(fork)
    (python,) = some(1)
    target = tmp_path / "target"
    arguments = ("--python", str(python.executable))
    uv.install(live.url(index), project, target=target, arguments=arguments).check()
    if project == "with-cffi":  # its back end for the running interpreter, from the public index
        uv.run("install", "--target", str(target), "cffi", *arguments).wait(120).check()
    assert answer(python, project.replace("-", "_"), target) == "42"


def rust() -> tuple[str, ...]:
    """The options with which builds find a Rust toolchain."""
    if shutil.which("cargo", path=SEARCH_PATH) is not None:
        return ()
    rustc = shutil.which("rustc")
    if rustc is None:
        pytest.skip("there is no rustc on PATH")
    asked = Running([rustc, "--print", "sysroot"], dict(os.environ) | {"HOME": HOME}, Path("/"), None).wait(60)
    sysroot = Path(asked.stdout.strip())
    if asked.returncode or not (sysroot / "bin" / "cargo").exists():
        pytest.skip(f"{rustc} has no cargo beside it")
    return "--forkbuilder-tools", str(sysroot)


@pytest.mark.slow
def test_extension__in_rust_with_the_operators_tools(own: MakeLive, uv: Uv, tmp_path: Path) -> None:
    live = own(*rust())
    index = live.index_of(fork_of(live.host, "rusty", RUST))
    uv.install(live.url(index), "rusty", target=tmp_path / "target").check()
    command = [str(tmp_path / "target" / "bin" / "rusty")]
    assert Running(command, {}, tmp_path, None).wait(60).check().stdout == "42\n"


@needs_compiler
def test_pythons__are_there_before_anybody_asks(live: Live, uv: Uv) -> None:
    first, second = some(2)
    fork = live.host.fork("extension")
    index = live.index_of(fork, fork_pythons=[first.name, second.name])
    uv.install(live.url(index), "extension", arguments=("--python", str(first.executable))).check()
    live.wait_for_metric("running", lambda value: value == 0)
    names = live.files(index, "extension")
    assert len(names) == 2
    assert all(name.startswith(f"extension-{stamped(fork)}-cp") for name in names)
