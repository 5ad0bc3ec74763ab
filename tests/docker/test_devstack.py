"""One server beside the containers of a development stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docker.conftest import CUT, Forks, MakeStack
from tests.docker.engine import HEALTHY, Engine, Stack
from tests.live import stamped

PUBLIC = "iniconfig"
SERVER = "forkbuilder"
STOP = 10.0
PRIMARY = "MASTER"  # as devpi-server 6 calls it in +status


def test_devstack__installs_and_still_does_without_network(
    engine: Engine, make_stack: MakeStack, client_image: str, forks: Forks, pins: Path
) -> None:
    fork = forks.make("inline")
    (pins / "github.txt").write_text(forks.pin(fork) + "\n")
    pip = f"pip install --no-cache-dir --quiet inline==1.0.2 {PUBLIC}; pip freeze"
    uv = f"uv pip install --no-cache --quiet inline==1.0.2 {PUBLIC}; uv pip freeze"
    with make_stack("devstack") as stack:
        print(f"devstack is healthy after {stack.up('devstack'):.1f} s")
        first = stack.run_client(client_image, pip).check().stdout
        assert f"inline=={stamped(fork)}" in first
        assert PUBLIC in first
        stack.down("devstack")
        assert not stack.containers()
        cut = [*stack.files, CUT]
        seconds = stack.up("devstack", SERVER, files=cut)
        assert seconds < HEALTHY
        print(f"devstack is healthy again after {seconds:.1f} s, without network")
        assert stack.run_client(client_image, pip).check().stdout == first
        assert set(stack.run_client(client_image, uv).check().stdout.split()) >= {f"inline=={stamped(fork)}"}
        assert "devpi-forkbuilder serves the index main/forks" in stack.logs()
        status, _, body = engine.get(stack.name(SERVER), "+status")
        assert (status, json.loads(body)["result"]["role"]) == (200, PRIMARY)


@pytest.fixture
def building(make_stack: MakeStack, engine: Engine, forks: Forks, pins: Path) -> object:
    """A stack whose server builds a fork that takes 20 seconds."""
    fork = forks.make("slow", files={"SECONDS": "20"})
    (pins / "github.txt").write_text(forks.pin(fork) + "\n")
    with make_stack("stop") as stack:
        stack.up("devstack")
        assert engine.post(stack.name(SERVER), "main/forks/+forks/slow/miss") == 202
        wait_for_state(engine, stack, "building")
        yield stack


def wait_for_state(engine: Engine, stack: Stack, wanted: str) -> None:
    def reached() -> bool:
        _, _, body = engine.get(stack.name(SERVER), "main/forks/+forks/slow")
        (found,) = json.loads(body)["result"]
        assert found["state"] != "failed", found["error"]
        return bool(found["state"] == wanted)

    engine.wait_for(reached, f"slow is {wanted}")


def test_stop__ends_in_time_and_the_build_is_done_after_the_next_start(building: Stack, engine: Engine) -> None:
    name = building.name(SERVER)
    seconds = engine.docker("stop", "-t", "30", name).check().seconds
    assert seconds < STOP
    print(f"docker stop during a build: {seconds:.1f} s")
    assert engine.inspect(name)["State"]["ExitCode"] == 0
    engine.out("start", name)
    engine.wait_until_healthy(name)
    wait_for_state(engine, building, "built")


def test_kill__the_server_starts_again_and_builds_for_who_asks(building: Stack, engine: Engine) -> None:
    name = building.name(SERVER)
    engine.out("kill", name)
    engine.out("start", name)
    engine.wait_until_healthy(name)
    assert engine.post(name, "main/forks/+forks/slow/miss") == 202
    wait_for_state(engine, building, "built")
