"""devpi-export and devpi-import carry pins, files and their provenance: nothing is built again after it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.names import SEVEN
from tests.devpi import DevpiServer
from tests.functional.conftest import MakeLive
from tests.live import METADATA, Host, Live, wheel_of
from tests.processes import Result, Running
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
COMMAND = """
from devpi_server.config import get_pluginmanager
from devpi_server.importexport import {0}
manager = get_pluginmanager(load_entrypoints=False)
{1}
manager.load_setuptools_entrypoints("devpi_server")
raise SystemExit({0}(pluginmanager=manager))
"""
WITHOUT_US = 'manager.set_blocked("devpi-forkbuilder")'


SEVENS_PYTHON = os.environ.get("FORKBUILDER_TEST_DEVPI7", "")
"""An interpreter with this plugin and devpi-server 7 (the ring devpi7 of `.ci/run` makes one)."""


class ServerOfSeven(DevpiServer):
    """A server of devpi-server 7 beside those of version 6."""

    python = SEVENS_PYTHON


def devpi(function: str, folder: Path, *arguments: str, before: str = "", python: str = sys.executable) -> Result:
    command = [python, "-c", COMMAND.format(function, before), *arguments]
    return Running(command, clean_environment(folder), folder, None).wait(120)


def exported(server: DevpiServer, folder: Path) -> Path:
    server.stop()
    place = folder / "exported"
    devpi("export", folder, "--serverdir", str(server.serverdir), str(place), python=server.python).check()
    return place


def imported(folder: Path, place: Path, *options: str, kind: type[DevpiServer] = DevpiServer) -> DevpiServer:
    """A server of its own that was made from an export; not started."""
    server = kind(folder, *options, template=None)
    (server.serverdir / "secret").rename(folder / "secret")
    shutil.rmtree(server.serverdir)
    devpi("import_", folder, "--serverdir", str(server.serverdir), str(place), python=kind.python).check()
    server.serverdir.chmod(0o700)
    (folder / "secret").rename(server.serverdir / "secret")
    return server


@pytest.mark.slow
def test_export__pins_files_and_provenance_arrive_without_the_git_host(
    own: MakeLive, host: Host, tmp_path: Path
) -> None:
    built, waiting = host.fork("inline"), host.fork("counts")
    live = own()
    index = live.index_of(waiting, built)  # what comes after it would be built ahead
    page = live.files(index, built.project)
    lines = live.server.api("GET", index).check().result["forks"]
    place = exported(live.server, tmp_path)
    host.git.hide(built.name)
    host.git.hide(waiting.name)
    fetches = len(host.git.requests)
    with imported(tmp_path / "copy", place, METADATA) as server:  # no URL is allowed there: old pins stay all the same
        copy = Live(server, host)
        config = server.api("GET", index).check().result
        assert (config["type"], config["forks"]) == ("forkbuilder", lines)
        after = copy.files(index, built.project)
        assert {name: file["hashes"] for name, file in after.items()} == {
            name: file["hashes"] for name, file in page.items()
        }
        assert after.keys() == {wheel_of(built)}
        state = copy.state(index, built.project)
        assert (state["state"], state["commit"]) == ("built", built.commit)
        assert copy.state(index, waiting.project)["state"] == "wanted"
    assert len(host.git.requests) == fetches


@pytest.mark.skipif(SEVEN or not SEVENS_PYTHON, reason="needs FORKBUILDER_TEST_DEVPI7, a Python with devpi-server 7")
def test_export__of_version_6_becomes_a_server_of_version_7(own: MakeLive, host: Host, tmp_path: Path) -> None:
    fork = host.fork("inline")
    live = own()
    index = live.index_of(fork)
    page = live.files(index, fork.project)
    place = exported(live.server, tmp_path)
    fetches = len(host.git.requests)
    with imported(tmp_path / "copy", place, kind=ServerOfSeven) as server:
        copy = Live(server, host)
        assert server.api("GET", "+api").check().headers["x-devpi-server-version"].startswith("7.")
        after = copy.files(index, fork.project)
        assert {name: file["hashes"] for name, file in after.items()} == {
            name: file["hashes"] for name, file in page.items()
        }
        state = copy.state(index, fork.project)
        assert (state["state"], state["commit"]) == ("built", fork.commit)
        again = exported(server, tmp_path / "copy")
    with imported(tmp_path / "second", again, kind=ServerOfSeven) as server:
        assert Live(server, host).state(index, fork.project)["state"] == "built"
    assert len(host.git.requests) == fetches


def test_export__import_without_the_plugin_says_what_is_missing(own: MakeLive, host: Host, tmp_path: Path) -> None:
    fork = host.fork("inline")
    live = own()
    index = live.index_of(fork)
    live.file(index, fork.project)
    place = exported(live.server, tmp_path)
    refused = devpi("import_", tmp_path, "--serverdir", str(tmp_path / "copy"), str(place), before=WITHOUT_US)
    assert refused.returncode != 0
    assert "Unknown index type 'forkbuilder'" in refused.output
    assert "install the necessary plugin" in refused.output
