"""A wheel for whoever asks: this machine's interpreters as clients of forks that are compiled."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.environment import SEARCH_PATH
from devpi_forkbuilder.pipeline.interpreters import Interpreter, Interpreters
from tests.clients import Uv
from tests.functional.conftest import MakeLive
from tests.live import Host, Live, in_threads, stamped
from tests.pipeline.benches import tools
from tests.processes import Result, Running
from tests.repositories import Case, Content, Repository
from tests.surroundings import clean_environment

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


def some(count: int) -> list[Interpreter]:
    """That many interpreters that forks are built for."""
    wanted = [one for name, one in interpreters().items() if name in {"3.9", "3.10", "3.11", "3.12", "3.13"}]
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


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_extension__three_interpreters_ask_at_once(live: Live, uv: Uv, installer: str, tmp_path: Path) -> None:
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

    clients = some(3)
    for thread in in_threads([install(python) for python in clients]):
        thread.join()
    for python in clients:
        results[python.name].check()
        assert answer(python, "extension", tmp_path / python.name) == "42"
    state = live.state(index, "extension")
    assert len(state["files"]) == len(state["targets"]) == 3
    assert live.host.git.fetches(fork.name) == 1
    if find_spec("auditwheel") is not None:
        assert all("manylinux" in target for target in state["targets"])


def test_extension__an_interpreter_that_the_server_lacks_hears_what_it_has(
    own: MakeLive, uv: Uv, tmp_path: Path
) -> None:
    here, *_, last = some(2)
    live = own(environment={"PATH": SEARCH_PATH, "HOME": str(tmp_path)})
    index = live.index_of(live.host.fork("extension"))
    refused = uv.install(live.url(index), "extension", arguments=("--python", str(last.executable)))
    assert refused.returncode != 0
    assert f"no file for Python {last.name} on linux" in refused.output
    assert f"this server builds for Python {here.name}" in refused.output
    uv.install(live.url(index), "extension", arguments=("--python", str(here.executable))).check()


@pytest.mark.parametrize(("project", "files"), [("cythonized", CYTHON), ("with-cffi", CFFI)])
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


def test_extension__in_rust(live: Live, uv: Uv, tmp_path: Path) -> None:
    if shutil.which("cargo", path=SEARCH_PATH) is None:
        pytest.skip(f"builds find programs in {SEARCH_PATH}, and cargo is not there")
    index = live.index_of(fork_of(live.host, "rusty", RUST))
    uv.install(live.url(index), "rusty", target=tmp_path / "target").check()
    command = [str(tmp_path / "target" / "bin" / "rusty")]
    assert Running(command, {}, tmp_path, None).wait(60).check().stdout == "42\n"


def test_pythons__are_there_before_anybody_asks(live: Live, uv: Uv) -> None:
    first, second = some(2)
    fork = live.host.fork("extension")
    index = live.index_of(fork, fork_pythons=[first.name, second.name])
    uv.install(live.url(index), "extension", arguments=("--python", str(first.executable))).check()
    live.wait_for_metric("running", lambda value: value == 0)
    names = live.files(index, "extension")
    assert len(names) == 2
    assert all(name.startswith(f"extension-{stamped(fork)}-cp") for name in names)
