"""The database role of workers that the documentation makes: enough to work, and no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.farm.farms import Farm
from tests.postgres import Postgres

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "farm.md"


def sql_of_workers() -> str:
    blocks = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "CREATE ROLE worker" in block]
    return str(found)


def test_role__of_a_worker_builds_and_reads_no_orders(farm: Farm, postgres: Postgres) -> None:
    import psycopg  # noqa: PLC0415 - the extra farm may not be installed

    fork = farm.host.fork("inline")
    index = farm.live.index_of(fork)
    farm.live.build(index, fork.project).check(202)
    farm.live.wait_for_log(index, fork, "offered to workers")
    with psycopg.connect(farm.dsn, autocommit=True) as owner:
        owner.execute(sql_of_workers())  # type: ignore[call-overload]  # a literal for psycopg is a test's text
    dsn = farm.dsn.replace("//devpi@", "//worker@")
    with psycopg.connect(dsn, autocommit=True) as worker:
        for forbidden in (
            "SELECT args FROM procrastinate_jobs",
            "SELECT * FROM procrastinate_events",
            "DELETE FROM procrastinate_jobs",
            "UPDATE procrastinate_jobs SET status = 'failed'",
            "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('a', 'b')",
            "SELECT procrastinate_cancel_job_v1(1, true, true)",
            "CREATE TABLE mine ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(forbidden)
    farm.dsn = dsn
    alpha = farm.worker("alpha")
    assert farm.live.wait_for(index, fork.project)["state"] == "built"
    assert "does not answer" not in alpha.text()
    assert farm.live.wait_for_metric("farm_workers", lambda workers: workers == 1)
    assert postgres.port
