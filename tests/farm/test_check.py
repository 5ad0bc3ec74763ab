"""`worker --check` says what a worker lacks."""

from __future__ import annotations

from tests.farm.farms import STOP, Farm


def test_check__all_is_well_and_nothing_is_left(farm: Farm) -> None:
    worker = farm.worker("alpha", "--check")
    assert worker.running.wait(STOP).returncode == 0, worker.text()
    for line in ("sandbox", "interpreters", "has a farm", "lets this worker work"):
        assert line in worker.text()


def test_check__says_what_is_wrong(farm: Farm) -> None:
    server, farm.dsn = farm.server.url, farm.dsn.replace("//devpi@", "//nobody@")
    worker = farm.worker("alpha", "--check", "--primary", f"{server}/root")
    assert worker.running.wait(STOP).returncode == 1
    assert "has no farm" in worker.text()
    assert "does not answer" in worker.text()
    assert "Traceback" not in worker.text()
