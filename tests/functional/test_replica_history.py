"""A replica follows one history: a primary restored from an older backup, or another server, is told from its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.devpi import Answer, DevpiServer
from tests.live import SIMPLE_JSON, Host
from tests.sites import Site, running_site

pytestmark = pytest.mark.functional
PIP = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}
SOON = 40.0


@pytest.fixture
def site(host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, host, devpi_templates(False)) as made:
        yield made


def wait_for(server: DevpiServer, status: int) -> Answer:
    deadline = time.monotonic() + SOON
    while (answer := server.get("+forkbuilder/ready")).status != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)  # a replica asks when it asks
    return answer


def reason(answer: Answer) -> str:
    (message,) = [check["message"] for check in answer.result["checks"] if not check["ok"]]
    return str(message)


def restored(site: Site, tmp_path: Path, then: Callable[[], None]) -> None:
    """The primary goes on from a backup that is older than what the replica has; `then` changes it again."""
    primary, backup = site.primary.server, tmp_path / "backup"
    primary.stop()
    shutil.copytree(primary.serverdir, backup)
    primary.start()
    site.primary.create("root/lost")
    site.settle()
    primary.stop()
    shutil.rmtree(primary.serverdir)
    shutil.copytree(backup, primary.serverdir)
    primary.start()
    then()


def test_restored_primary__with_as_many_changes_as_before(site: Site, tmp_path: Path) -> None:
    replica = site.replica.server
    wait_for(replica, 200)
    restored(site, tmp_path, lambda: [site.primary.create(f"root/other{number}") for number in range(3)])
    refused = wait_for(replica, 503)
    assert "is not the one that this replica has" in reason(refused)
    assert "remove its server directory" in reason(refused)
    assert replica.get("root/lost/+simple/any/", PIP).status == 503
    assert replica.get("+forkbuilder/live").status == 200
    metrics = {
        name: value
        for name, _, value in replica.get("+status", {"Accept": "application/json"}).check().result["metrics"]
    }
    assert metrics["devpi_forkbuilder_replica_diverged"] == 1
    assert replica.get("root/other1").status == 503
    assert "root/lost" not in site.primary.server.get("root", {"Accept": "application/json"}).text
    doctor = [sys.executable, "-m", "devpi_forkbuilder.commands.main", "doctor", "--json"]
    arguments = ["--serverdir", str(tmp_path / "none"), "--index-url", f"{replica.url}/root/lost"]
    told = subprocess.run([*doctor, *arguments], capture_output=True, text=True, check=False, timeout=100)
    [finding] = [one for one in json.loads(told.stdout) if one["name"] == "health"]
    assert finding["state"] == "failed"
    assert "is not the one that this replica has" in finding["what"]


@pytest.mark.slow
def test_restored_primary__with_fewer_changes(site: Site, tmp_path: Path) -> None:
    wait_for(site.replica.server, 200)
    restored(site, tmp_path, lambda: None)
    assert "fewer changes than this replica" in reason(wait_for(site.replica.server, 503))


def test_primary_that_is_away__leaves_its_replica_ready(site: Site) -> None:
    wait_for(site.replica.server, 200)
    site.primary.server.stop()
    assert site.replica.server.restart().get("+forkbuilder/ready").status == 200
    site.primary.server.start()
    site.primary.create("root/later")
    site.settle()


def test_another_primary__is_refused_and_named(
    site: Site, tmp_path: Path, devpi_templates: Callable[[bool], Path]
) -> None:
    """As after a promotion that has not kept the primary's identity."""
    other = DevpiServer(tmp_path / "other", "--role", "primary", template=devpi_templates(False))
    shutil.copy2(site.primary.server.serverdir / "secret", other.serverdir / "secret")
    node = other.serverdir / ".nodeinfo"
    node.write_text(json.dumps({**json.loads(node.read_text()), "uuid": uuid.uuid4().hex}))
    wait_for(site.replica.server, 200)
    site.primary.server.stop()
    other.port = site.primary.server.port
    with other:
        assert "is another one than this replica's primary was" in reason(wait_for(site.replica.server, 503))
    site.primary.server.start()
