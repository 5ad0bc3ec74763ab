"""What is killed, hangs or is away costs time, and nothing else."""

from __future__ import annotations

import pytest

from tests.farm.farms import Farm
from tests.postgres import Postgres
from tests.repositories import Repository

pytestmark = [pytest.mark.slow, pytest.mark.faults]
LONG = 120.0


def building(farm: Farm, index: str, fork: Repository) -> None:
    farm.live.build(index, fork.project).check(202)
    farm.live.wait_for(index, fork.project, "building")


def wheels(farm: Farm, index: str, fork: Repository) -> int:
    """How many files the pin has; more than one: it was published twice."""
    return len(farm.live.files(index, fork.project))


def test_worker_killed__another_one_builds(farm: Farm) -> None:
    fork = farm.host.slow(4)
    index = farm.live.index_of(fork)
    victim = farm.worker("victim", "--builds", "1")
    building(farm, index, fork)
    farm.worker("other", "--builds", "1").wait_for("builds for Python")
    victim.kill()
    assert farm.live.wait_for(index, fork.project, timeout=LONG)["state"] == "built"
    assert "taken by the worker other (attempt 2)" in farm.live.log(index, fork)
    assert wheels(farm, index, fork) == 1


def test_worker_hung__another_one_builds_and_what_it_sends_late_is_refused(farm: Farm) -> None:
    fork = farm.host.slow(4)
    index = farm.live.index_of(fork)
    hung = farm.worker("hung", "--builds", "1")
    building(farm, index, fork)
    hung.pause()
    try:
        farm.worker("other", "--builds", "1")
        assert farm.live.wait_for(index, fork.project, timeout=LONG)["state"] == "built"
    finally:
        hung.go_on()
    hung.wait_for("given up", LONG)
    assert wheels(farm, index, fork) == 1


def test_primary_killed__its_orders_are_built_after_it(farm: Farm) -> None:
    fork = farm.host.slow(6)
    index = farm.live.index_of(fork)
    worker = farm.worker("alpha", "--builds", "1")
    building(farm, index, fork)
    farm.server.kill()
    farm.server.start()
    assert farm.live.wait_for(index, fork.project, "built", timeout=LONG)
    assert "given up" in worker.text()
    assert wheels(farm, index, fork) == 1


def test_database_restarted__what_runs_goes_on_and_what_waits_is_built(farm: Farm, postgres: Postgres) -> None:
    running, waiting = farm.host.slow(6), farm.host.fork("inline")
    index = farm.live.index_of(running, waiting)
    farm.worker("alpha", "--builds", "1")
    building(farm, index, running)
    farm.live.build(index, waiting.project).check(202)
    postgres.restart(crash=True)
    for fork in (running, waiting):
        assert farm.live.wait_for(index, fork.project, timeout=LONG)["state"] == "built"
        assert wheels(farm, index, fork) == 1


def test_database_emptied__orders_are_offered_again(farm: Farm, postgres: Postgres) -> None:
    fork = farm.host.fork("inline")
    index = farm.live.index_of(fork)
    farm.live.build(index, fork.project).check(202)
    farm.live.wait_for_log(index, fork, "offered to workers")
    words = ["-h", "127.0.0.1", "-p", str(postgres.port), "-U", "devpi", "-d", farm.dsn.rpartition("/")[2]]
    postgres.run("psql", *words, "-c", "TRUNCATE procrastinate_jobs CASCADE")
    farm.live.wait_for_log(index, fork, "it is offered again")
    farm.worker("alpha")
    assert farm.live.wait_for(index, fork.project, timeout=LONG)["state"] == "built"
