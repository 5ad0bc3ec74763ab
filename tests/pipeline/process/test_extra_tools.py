"""Folders with an operator's programs: who may change them, and that each tier lets builds run what is in them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.process.environment import SEARCH_PATH
from devpi_forkbuilder.pipeline.process.extra_tools import ToolFolders
from tests.pipeline.rooms import ROOT, Room, room

__all__ = ["room"]


def folder_of_tools(place: Path) -> Path:
    """With a real program under a name that no system has, and what belongs to it."""
    programs = place / "kit" / "bin"
    programs.mkdir(parents=True)
    shutil.copy2(Path(str(shutil.which("expr"))).resolve(), programs / "forkbuilder-expr")
    (place / "kit" / "lib").mkdir()
    (place / "kit" / "lib" / "data").write_text("its data\n")
    (programs / "elsewhere").symlink_to("/nowhere")
    return place / "kit"


def test_search_path__bin_where_there_is_one(tmp_path: Path) -> None:
    kit = folder_of_tools(tmp_path)
    (tmp_path / "flat").mkdir()
    found = ToolFolders.judged([kit, tmp_path / "flat"])
    assert found.folders == (kit, tmp_path / "flat")
    assert found.search_path == f"{kit}/bin:{tmp_path}/flat:{SEARCH_PATH}"
    assert ToolFolders().search_path == SEARCH_PATH


def test_judged__a_link_is_what_it_leads_to(tmp_path: Path) -> None:
    kit = folder_of_tools(tmp_path)
    (tmp_path / "current").symlink_to(kit)
    assert ToolFolders.judged([tmp_path / "current"]).folders == (kit,)


@pytest.mark.parametrize("part", ["", "bin", "bin/forkbuilder-expr", "lib/data", ".."])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_judged__what_others_can_change_is_refused(tmp_path: Path, part: str, mode: int) -> None:
    kit = folder_of_tools(tmp_path)
    path = (kit / part).resolve()
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(InfrastructureError) as caught:
        ToolFolders.judged([kit])
    assert caught.value.reference == "tools-exposed"
    assert f"{path} (--forkbuilder-tools)" in caught.value.what
    assert f"chmod go-w {path}" in caught.value.message
    assert not caught.value.retryable


@pytest.mark.skipif(not ROOT, reason="needs root to give a file away")
def test_judged__what_another_user_owns_is_refused(tmp_path: Path) -> None:
    kit = folder_of_tools(tmp_path)
    os.chown(kit / "lib" / "data", 41001, 41001)
    with pytest.raises(InfrastructureError) as caught:
        ToolFolders.judged([kit])
    assert caught.value.reference == "tools-exposed"


def test_judged__a_folder_of_everybody_above_it_is_fine_when_it_is_sticky(tmp_path: Path) -> None:
    kit = folder_of_tools(tmp_path)
    tmp_path.chmod(0o1777)
    assert ToolFolders.judged([kit]).folders == (kit,)


@pytest.mark.parametrize("name", ["missing", "file", "a:b"])
def test_judged__what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "a:b").mkdir()
    with pytest.raises(InfrastructureError) as caught:
        ToolFolders.judged([tmp_path / name])
    assert caught.value.reference == "tools-missing"
    assert not caught.value.retryable


def test_box__runs_the_tools_and_cannot_change_them(room: Room) -> None:
    kit = folder_of_tools(room.folder)
    folders = ToolFolders((kit,))
    script = f"forkbuilder-expr 40 + 2; cat {kit}/lib/data; echo x > {kit}/lib/data; rm -f {kit}/bin/forkbuilder-expr"
    with room.box(readable=folders.folders) as box:
        _, text = box.shell(script, env={"PATH": folders.search_path})
    assert text.startswith("42\nits data\n"), text
    assert (kit / "lib" / "data").read_text() == "its data\n"
    assert (kit / "bin" / "forkbuilder-expr").exists()
