"""Forks are built by workers, as they would be by the server itself."""

from __future__ import annotations

import signal
import sys

from tests.farm.farms import OLDER, STOP, Farm
from tests.live import in_threads


def test_worker__builds_a_private_fork_without_git_and_credentials(farm: Farm) -> None:
    fork = farm.host.fork("inline")
    farm.host.git.require_login(fork.name, "bob", "of-bob")
    index = farm.live.index_of(fork)
    # no program is found by name: neither git nor bubblewrap of the distribution
    worker = farm.worker("alpha", "--builds", "2", environment={"PATH": "/nowhere"})
    worker.wait_for("builds for Python")
    file = farm.live.file(index, fork.project)
    assert file["filename"].endswith("-py3-none-any.whl")
    log = farm.live.log(index, fork)
    assert "taken by the worker alpha (attempt 1)" in log
    assert "[worker] worker alpha, devpi-forkbuilder" in log
    assert "Published:" in log
    assert "of-bob" not in worker.text() + log
    assert farm.server.log_text().count("Traceback") == 0


def test_worker__writes_the_trace_of_the_request_that_began_the_build(farm: Farm) -> None:
    fork = farm.host.fork("inline")
    index = farm.live.index_of(fork)
    worker = farm.worker("alpha")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    header = f"00-{trace}-00f067aa0ba902b7-01"
    farm.live.page(index, fork.project, traceparent=header).check()
    worker.wait_for(f"sent {fork.project}")
    assert worker.text().count(f"trace {trace}") == 2
    assert trace in farm.server.log_text()


def test_worker__that_stops_hands_its_build_back(farm: Farm) -> None:
    fork = farm.host.slow(8)
    index = farm.live.index_of(fork)
    first = farm.worker("first", "--builds", "1")
    farm.live.build(index, fork.project).check(202)
    first.wait_for("building slow")
    farm.live.wait_for(index, fork.project, "building")
    second = farm.worker("second", "--builds", "1")
    second.wait_for("builds for Python")
    assert farm.live.state(index, fork.project)["worker"] == "first"
    assert farm.live.metric("farm_building") == 1
    assert farm.live.metric("farm_workers") >= 1
    assert first.stop().returncode == 0
    assert farm.live.wait_for(index, fork.project, timeout=90)["state"] == "built"
    assert "the worker first stops: another one builds it" in farm.live.log(index, fork)


def test_worker__of_an_older_release_is_refused_and_another_one_builds(farm: Farm) -> None:
    fork = farm.host.fork("inline")
    index = farm.live.index_of(fork)
    old = farm.worker("old", program=(sys.executable, "-c", OLDER, "worker"))
    old.wait_for("builds for Python")
    (asking,) = in_threads([lambda: farm.live.file(index, fork.project) and None])
    old.running.wait(STOP)
    assert "install the same release there" in old.text()
    assert old.running.popen.returncode == 1
    farm.worker("new")
    asking.join(90)
    assert farm.live.state(index, fork.project)["state"] == "built"


def test_worker__ends_at_ctrl_c(farm: Farm) -> None:
    worker = farm.worker("alpha")
    worker.wait_for("builds for Python")
    worker.running.signal(signal.SIGINT)
    worker.running.wait(STOP)
    assert worker.running.popen.returncode == 0
    assert "Traceback" not in worker.text()
