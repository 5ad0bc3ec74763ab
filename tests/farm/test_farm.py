"""Forks are built by workers, as they would be by the server itself."""

from __future__ import annotations

from tests.farm.farms import Farm


def test_worker__builds_a_fork_and_the_primary_publishes_it(farm: Farm) -> None:
    fork = farm.host.fork("inline")
    index = farm.live.index_of(fork)
    farm.worker("alpha", "--builds", "1").wait_for("builds for Python")
    file = farm.live.file(index, fork.project)
    assert file["filename"].endswith("-py3-none-any.whl")
    log = farm.live.log(index, fork)
    assert "taken by the worker alpha (attempt 1)" in log
    assert "[worker] worker alpha, devpi-forkbuilder" in log
    assert "Published:" in log
