"""devpi-export and devpi-import carry pins, files and their provenance: nothing is built again after it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

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


def devpi(function: str, folder: Path, *arguments: str, before: str = "") -> Result:
    command = [sys.executable, "-c", COMMAND.format(function, before), *arguments]
    return Running(command, clean_environment(folder), folder, None).wait(120)


def exported(server: DevpiServer, folder: Path) -> Path:
    server.stop()
    place = folder / "exported"
    devpi("export", folder, "--serverdir", str(server.serverdir), str(place)).check()
    return place


def imported(folder: Path, place: Path, *options: str) -> DevpiServer:
    """A server of its own that was made from an export; not started."""
    server = DevpiServer(folder, *options, template=None)
    (server.serverdir / "secret").rename(folder / "secret")
    shutil.rmtree(server.serverdir)
    devpi("import_", folder, "--serverdir", str(server.serverdir), str(place)).check()
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
