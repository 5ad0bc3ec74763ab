"""Programs and interpreters of the machine: what is found, and what is said when it is not."""

from __future__ import annotations

import os
import sys
import sysconfig
import threading
from pathlib import Path

import pytest
from packaging.tags import sys_tags

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.frontend.interpreters import Interpreter, Interpreters, interpreter_search_path
from devpi_forkbuilder.pipeline.process.environment import search_path
from devpi_forkbuilder.pipeline.process.programs import Tools, find_git
from tests.pipeline.rooms import UNPRIVILEGED


@pytest.fixture(scope="module")
def tools():
    return Tools.find(os.environ["PATH"])


@pytest.fixture
def own_folder():
    return Path(sys._base_executable).parent


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_tools__identity_names_versions(tools):
    assert tools.uv.path.is_file()
    assert tools.git.path.is_file()
    assert f"uv {tools.uv.version}" in tools.identity
    assert f"git {tools.git.version}" in tools.identity
    assert tools.git.version[0].isdigit()


def test_tools__git_missing(tmp_path):
    with pytest.raises(InfrastructureError) as caught:
        Tools.find(str(tmp_path))
    assert caught.value.reference == "program-missing"
    assert "git is not installed" in caught.value.what


def test_tools__git_broken(tmp_path):
    program(tmp_path, "git", "exit 1")
    with pytest.raises(InfrastructureError) as caught:
        Tools.find(str(tmp_path))
    assert caught.value.reference == "program-broken"


@pytest.mark.parametrize(
    ("version", "implementation", "threads", "name", "yes"),
    [
        ("3.12.1", "cpython", False, "3.12", True),
        ("3.12.1", "cpython", False, "3.12.1", True),
        ("3.12.1", "cpython", False, "cpython3.12", True),
        ("3.12.1", "cpython", False, "cpython-3.12", True),
        ("3.12.1", "cpython", False, "3.1", False),
        ("3.12.1", "cpython", False, "3.12.10", False),
        ("3.12.1", "cpython", False, "pypy3.12", False),
        ("3.12.1", "cpython", False, "3.12t", False),
        ("3.13.0", "cpython", True, "3.13t", True),
        ("3.13.0", "cpython", True, "3.13", False),
        ("3.10.14", "pypy", False, "pypy3.10", True),
        ("3.10.14", "pypy", False, "3.10", False),
        ("3.12.1", "cpython", False, "3.12\n", False),
        ("3.12.1", "cpython", False, "/usr/bin/python3.12", False),
        ("3.12.1", "cpython", False, "--help", False),
    ],
)
def test_interpreter__is_called(version, implementation, threads, name, yes):
    assert Interpreter(Path("/p"), version, implementation, Path("/"), threads).is_called(name) is yes


@pytest.mark.parametrize(
    ("version", "implementation", "threads", "name"),
    [("3.12.1", "cpython", False, "3.12"), ("3.13.0", "cpython", True, "3.13t"), ("3.10.1", "pypy", False, "pypy3.10")],
)
def test_interpreter__name(version, implementation, threads, name):
    assert Interpreter(Path("/p"), version, implementation, Path("/"), threads).name == name


def test_search_path__launchers_give_way_to_what_they_stand_for(tmp_path):
    for folder in ("shims", "versions/3.9.1/bin", "versions/3.12.1/bin"):
        (tmp_path / folder).mkdir(parents=True)
    found = interpreter_search_path({"PATH": f"{tmp_path}/shims:/usr/bin"}).split(":")
    assert found == [f"{tmp_path}/versions/3.9.1/bin", f"{tmp_path}/versions/3.12.1/bin", "/usr/bin"]


def test_search_path__a_folder_that_is_only_called_shims_stays(tmp_path):
    assert interpreter_search_path({"PATH": f"{tmp_path}/shims"}) == f"{tmp_path}/shims"


def test_search_path__pyenv_root(tmp_path):
    (tmp_path / "versions/3.9.1/bin").mkdir(parents=True)
    assert (
        interpreter_search_path({"PATH": "/bin", "PYENV_ROOT": str(tmp_path)}) == f"/bin:{tmp_path}/versions/3.9.1/bin"
    )


@pytest.fixture
def closed(tmp_path):
    """A folder that this process may not look into, with pyenv's folders in it."""
    for name in ("shims", "versions/3.9.1/bin"):
        (tmp_path / "closed" / name).mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    if os.geteuid():
        yield tmp_path / "closed"
    else:
        os.seteuid(UNPRIVILEGED)  # root may look into everything
        try:
            yield tmp_path / "closed"
        finally:
            os.seteuid(0)
    (tmp_path / "closed").chmod(0o700)


def odd_entries(folder: Path) -> dict[str, str]:
    (folder / "a-file").touch()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    names = ("a-file", "dangling", "loop", "not-there")
    return {"empty": "", "relative": "shims", **{name: f"{folder}/{name}/shims" for name in names}}


def test_search_path__closed_folders_of_launchers(closed):
    path = f"{closed}/shims:/usr/bin"
    assert interpreter_search_path({"PATH": path, "PYENV_ROOT": str(closed)}) == path
    assert git_at(f"{closed}/shims:{os.environ['PATH']}") == git_at(os.environ["PATH"])


@pytest.mark.parametrize("kind", ["empty", "relative", "a-file", "dangling", "loop", "not-there"])
def test_search_path__odd_entries_are_passed_over(kind, tmp_path, monkeypatch):
    program(tmp_path / "shims", "git", "echo git version 0.0.1")
    program(tmp_path, "git", "echo git version 0.0.1")
    entry = odd_entries(tmp_path)[kind]
    monkeypatch.chdir(tmp_path)
    found = interpreter_search_path({"PATH": f"{entry}:/usr/bin"}).split(":")
    assert found == ([entry, "/usr/bin"] if Path(entry).is_absolute() else ["/usr/bin"])
    assert search_path({"PATH": f"{entry}:/usr/bin"}).split(":") == found
    assert git_at(f"{entry}:{os.environ['PATH']}") == git_at(os.environ["PATH"])


def git_at(path: str) -> tuple[Path, str]:
    found = find_git(path)
    return found.path, found.version


def test_own__is_the_base_interpreter(tools):
    own = Interpreters(tools.uv.path, {"PATH": "/nowhere"}).own()
    assert own.executable == Path(sys._base_executable)
    assert own.prefix == Path(sys.base_prefix)
    assert Path(sysconfig.get_path("stdlib")).is_relative_to(own.prefix)
    assert own.version == ".".join(map(str, sys.version_info[:3]))


def test_find__empty_name_is_the_servers_own(tools):
    interpreters = Interpreters(tools.uv.path, {"PATH": "/nowhere"})
    assert interpreters.find("") == interpreters.own()


def test_find__missing_lists_what_there_is(tools, tmp_path):
    interpreters = Interpreters(tools.uv.path, {"PATH": str(tmp_path), "HOME": str(tmp_path)})
    with pytest.raises(InfrastructureError) as caught:
        interpreters.find("3.99")
    assert caught.value.reference == "interpreter-missing"
    assert f"builds for {interpreters.own().name}" in caught.value.what


def test_all__broken_and_silent_programs_do_not_confuse(tools, tmp_path, own_folder):
    program(tmp_path / "broken", "python3.12", "exit 127")
    program(tmp_path / "silent", "python3.13", "exit 0")
    launcher = program(tmp_path / "launchers", "python3", f'exec "{sys._base_executable}" "$@"')
    path = f"{tmp_path}/broken:{tmp_path}/silent:{launcher.parent}:{own_folder}"
    interpreters = Interpreters(tools.uv.path, {"PATH": path, "HOME": str(tmp_path)})
    found = interpreters.all()
    assert found[0] == interpreters.own()
    assert not [one for one in found if one.executable.is_relative_to(tmp_path)]
    assert len({one.executable.resolve() for one in found}) == len(found)


def test_all__a_virtual_environment_is_its_base(tools, tmp_path):
    path = f"{sys.prefix}/bin"
    found = Interpreters(tools.uv.path, {"PATH": path, "HOME": str(tmp_path)}).all()
    assert [one.executable.resolve() for one in found] == [Path(sys._base_executable).resolve()]


def test_all__without_uv_there_is_the_servers_own(tmp_path):
    interpreters = Interpreters(tmp_path / "no-uv", {"PATH": "/usr/bin"})
    assert interpreters.all() == (interpreters.own(),)


def test_find__what_was_installed_since_is_found(tools, tmp_path, other_interpreter):
    interpreters = Interpreters(tools.uv.path, {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)})
    with pytest.raises(InfrastructureError):
        interpreters.find(other_interpreter.name)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(other_interpreter.executable)
    assert interpreters.find(other_interpreter.name).executable.samefile(other_interpreter.executable)


def test_all__asked_by_threads_looks_once(tools, tmp_path, own_folder):
    counted = program(tmp_path, "uv", f'echo x >> "{tmp_path}/count"; exec "{tools.uv.path}" "$@"')
    interpreters = Interpreters(counted, {"PATH": f"{own_folder}:/usr/bin:/bin", "HOME": str(tmp_path)})
    threads = [threading.Thread(target=interpreters.all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "x\n"


def test_offer__what_is_installed_on_this_machine(tools):
    interpreters = Interpreters(tools.uv.path, os.environ)
    server_targets = interpreters.server_targets()
    assert server_targets.pythons[0] == interpreters.own().name
    assert set(server_targets.pythons) == {one.name for one in interpreters.all()}
    assert server_targets.platform.interpreter == interpreters.own().name
    assert server_targets.platform.accepts(f"x-1-{next(sys_tags())}.whl")


def test_downloads__are_offered_when_they_are_allowed(tools, tmp_path):
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    server_targets = Interpreters(tools.uv.path, environ, tmp_path / "pythons").server_targets()
    assert {"3.9", "3.13", "3.13t", "pypy3.10"} <= set(server_targets.pythons)
    assert "3.13" not in Interpreters(tools.uv.path, environ).server_targets().pythons[1:]


def test_downloads__are_fetched_when_a_build_needs_them(tools, tmp_path, other_interpreter):
    place = tmp_path / "bin" / "python3"
    script = f"""if [ "$2" = install ]; then
  mkdir -p "{place.parent}"; ln -s "{other_interpreter.executable}" "{place}"; echo "$@" >> "{tmp_path}/installed"
  echo "$UV_PYTHON_INSTALL_DIR" >> "{tmp_path}/installed"
else
  exec "{tools.uv.path}" "$@"
fi"""
    uv = program(tmp_path, "uv", script)
    environ = {"PATH": f"{place.parent}:/bin:/usr/bin", "HOME": str(tmp_path)}
    name = other_interpreter.name
    with pytest.raises(InfrastructureError) as caught:
        Interpreters(uv, environ).find(name)
    assert caught.value.reference == "interpreter-missing"
    assert Interpreters(uv, environ, tmp_path / "pythons").find(name).name == name
    asked = (tmp_path / "installed").read_text().splitlines()
    assert asked == [f"python install --no-bin {name}", str(tmp_path / "pythons")]


def test_downloads__that_fail_are_told(tools, tmp_path):
    script = f'[ "$2" = install ] && exit 1; exec "{tools.uv.path}" "$@"'
    interpreters = Interpreters(program(tmp_path, "uv", script), {"PATH": "/bin"}, tmp_path / "pythons")
    with pytest.raises(InfrastructureError) as caught:
        interpreters.find("pypy3.8")
    assert caught.value.reference == "interpreter-download-failed"
    assert caught.value.retryable


@pytest.fixture(scope="module")
def other_interpreter(tools):
    interpreters = Interpreters(tools.uv.path, os.environ)
    own = interpreters.own()
    for one in interpreters.all():
        if one.name != own.name:
            return one
    pytest.skip("this machine has one interpreter only")
