"""Any user id starts, and what cannot start says why in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docker.engine import Engine

START = 180.0
DROPPED = ("--cap-drop", "ALL", "--security-opt", "no-new-privileges:true")


@contextmanager
def started(engine: Engine, image: str, words: Sequence[str]) -> Iterator[str]:
    container = engine.out("run", "-d", *words, image)
    try:
        yield container
    finally:
        engine.docker("rm", "-fv", container)


def ended(engine: Engine, container: str) -> str:
    """What a container has said that did not start."""
    engine.wait_for(lambda: not engine.inspect(container)["State"]["Running"], "it ends")
    assert engine.inspect(container)["State"]["ExitCode"] == 1
    return engine.docker("logs", container).output


@pytest.mark.parametrize("user", ["1234", "1000680000:0", "0:0"])
def test_server__runs_as_any_user(engine: Engine, server_image: str, user: str) -> None:
    with started(engine, server_image, ["--user", user, *DROPPED, "-e", "FORKBUILDER_SANDBOX=landlock"]) as container:
        engine.wait_until_healthy(container, START)
        said = engine.docker("logs", container).output
        assert "Traceback" not in said
        assert engine.get(container, "main/forks")[0] == 200


def test_server__a_folder_of_somebody_elses(engine: Engine, server_image: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    with started(engine, server_image, ["-v", f"{folder}:/data", *DROPPED]) as container:
        said = ended(engine, container)
    assert "User 10001 may not write in /data" in said
    assert "chown" in said
    assert len(said.strip().splitlines()) <= 3, said


def test_server__root_without_capabilities_and_no_tier(engine: Engine, server_image: str) -> None:
    with started(engine, server_image, ["--user", "0:0", *DROPPED, "-e", "FORKBUILDER_SANDBOX=uid"]) as container:
        said = ended(engine, container)
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 4, said


def test_server__a_read_only_file_system(engine: Engine, server_image: str) -> None:
    with started(engine, server_image, ["--read-only", "-v", "/data-elsewhere", *DROPPED]) as container:
        engine.wait_until_healthy(container, START)  # /data is a volume, and nothing else is written
        assert "Traceback" not in engine.docker("logs", container).output


def test_server__a_disk_below_its_floor_is_unhealthy_and_says_so(engine: Engine, server_image: str) -> None:
    with started(engine, server_image, [*DROPPED, "-e", "FORKBUILDER_DISK_FLOOR=100000G"]) as container:
        engine.wait_for(lambda: engine.health(container) == "unhealthy", "it is unhealthy")
        log = engine.inspect(container)["State"]["Health"]["Log"]
        assert "less than the floor" in log[-1]["Output"]


def test_image__has_no_file_that_runs_as_somebody_else(engine: Engine, server_image: str) -> None:
    words = ("run", "--rm", "--user", "0:0", "--entrypoint", "find", server_image)
    assert engine.out(*words, "/", "-xdev", "-type", "f", "-perm", "/6000") == ""
