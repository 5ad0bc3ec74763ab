"""The tiers on kernels that know less: the launcher asks for a system call that is not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.pipeline.protocols import Sandbox
from devpi_forkbuilder.pipeline.sandbox import launcher, tier_landlock
from devpi_forkbuilder.pipeline.sandbox.launcher_plan import Launcher
from devpi_forkbuilder.pipeline.sandbox.rlimits import ResourceLimits
from devpi_forkbuilder.pipeline.sandbox.tier_landlock import LandlockSandbox
from devpi_forkbuilder.pipeline.sandbox.tier_uid import UidSandbox
from tests.pipeline.rooms import ROOT, OpenRoom, Room, room
from tests.pipeline.sandbox import test_contract as contract
from tests.pipeline.sandbox.test_contract import CANARY, DAEMON, cmdlines, listener, python

__all__ = ["listener", "room"]

NUMBERS = "LANDLOCK_RESTRICT_SELF = 444, 445, 446"
OF_NO_SERVER = 61900
SCOPES = "TCP_SINCE, SCOPES_SINCE = 4, 6"


def older(folder: Path, line: str, instead: str) -> Path:
    """The launcher with one line changed."""
    text = Path(launcher.__file__).read_text()
    assert text.count(line) == 1
    folder.mkdir(exist_ok=True)
    path = folder / "launcher.py"
    path.write_text(text.replace(line, instead))
    return path


def inside(room: Room, sandbox: Sandbox) -> Iterator[OpenRoom]:
    work = room.work()
    box = sandbox.box(work)
    yield OpenRoom(room, box, work)
    box.end()


@pytest.fixture(params=["no Landlock", "no scopes"])
def uid_box(request: pytest.FixtureRequest, tmp_path: Path, room: Room) -> Iterator[OpenRoom]:
    if room.name != "uid":
        pytest.skip("another tier")
    changes = {
        "no Landlock": (NUMBERS, NUMBERS.replace("444", "9999")),
        "no scopes": (SCOPES, "TCP_SINCE, SCOPES_SINCE = 4, 99"),
    }
    script = older(tmp_path, *changes[request.param])
    # the guard of such a kernel ends whatever has the build's user, in containers too
    yield from inside(room, UidSandbox(ResourceLimits(), room.folder, Launcher(script=script), OF_NO_SERVER))


@pytest.mark.skipif(not ROOT, reason="needs root")
@pytest.mark.parametrize("room", ["uid"], indirect=True)
class TestUid:
    def test_box__closed_files_are_not_read(self, uid_box: OpenRoom) -> None:
        secret = uid_box.room.file("server/secret", CANARY, 0o600)
        _, text = uid_box.python(python("attempt('read', lambda: open(sys.argv[1]).read())"), str(secret))
        assert text == "read PermissionError\n"

    def test_box__no_tcp(self, uid_box: OpenRoom, listener: object) -> None:
        port = str(listener.getsockname()[1])  # type: ignore[attr-defined]  # a socket
        assert uid_box.python(contract.TestNetwork.CONNECT, port)[1] == "tcp PermissionError\n"

    def test_run__ends_as_the_command_does(self, uid_box: OpenRoom) -> None:
        """The guard that ends whatever has the build's user leaves its broker the time to say how the command ended."""
        assert {uid_box.python("raise SystemExit(7)")[0] for _ in range(25)} == {7}

    @pytest.mark.slow
    def test_run__of_a_command_that_stops_its_broker_ends(self, uid_box: OpenRoom) -> None:
        assert uid_box.python("import os, signal; os.kill(os.getppid(), signal.SIGSTOP)")[0] == -9

    def test_end__daemon_is_dead(self, uid_box: OpenRoom) -> None:
        token = f"daemon-of-old-uid-{os.getpid()}"
        assert uid_box.python(DAEMON, token, "")[0] == 0
        uid_box.box.end()
        assert token not in cmdlines()

    def test_end__what_was_left_in_shared_folders_is_gone(self, uid_box: OpenRoom) -> None:
        name = f"forkbuilder-left-{os.getpid()}"
        uid_box.shell(f"mkdir -p /tmp/{name}/below /dev/shm/{name}")
        uid_box.box.end()
        assert not Path("/tmp", name).exists()
        assert not Path("/dev/shm", name).exists()


@pytest.mark.parametrize("room", ["landlock"], indirect=True)
class TestLandlock:
    def test_box__nothing_runs_without_landlock(self, room: Room) -> None:
        script = older(room.folder / "old", NUMBERS, NUMBERS.replace("444", "9999"))
        for box in inside(room, LandlockSandbox(ResourceLimits(), launcher_for(room, script))):
            status, text = box.shell("echo ran")
            assert status == launcher.WALL_MISSING
            assert text == "launcher: Landlock version 3 is needed, this kernel has none\n"

    def test_end__marked_daemon_is_dead_without_a_guard(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tier_landlock, "PATIENCE", 0.0)
        script = older(room.folder / "old", SCOPES, "TCP_SINCE, SCOPES_SINCE = 4, 99")
        token = f"daemon-of-old-landlock-{os.getpid()}"
        daemon = DAEMON.replace("arguments, {}", "arguments, os.environ")
        for box in inside(room, LandlockSandbox(ResourceLimits(), launcher_for(room, script))):
            assert box.python(daemon, token, "")[0] == 0
            assert token in cmdlines()
            box.box.end()
            assert token not in cmdlines()


def launcher_for(room: Room, script: Path) -> Launcher:
    sandbox = room.sandbox
    assert isinstance(sandbox, LandlockSandbox)
    return Launcher(sandbox.launcher.python, sandbox.launcher.home, script)
