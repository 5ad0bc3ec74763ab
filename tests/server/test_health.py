"""`/+forkbuilder/live` and `/ready`: whether requests should be sent to this server."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import Any

import pytest

from devpi_forkbuilder.devpi.health import HealthProbes
from devpi_forkbuilder.devpi.replica_guard import ReplicaGuard, stored_change
from devpi_forkbuilder.domain.health import Check
from devpi_forkbuilder.errors import InfrastructureError
from tests.server.app import App
from tests.server.conftest import MakeApp


def faults(app: App) -> dict[str, str]:
    answer = app.get("/+forkbuilder/ready")
    result = answer.json["result"]
    found = {check["name"]: check["message"] for check in result["checks"] if not check["ok"]}
    assert (answer.status_int, result["ready"]) == ((503, False) if found else (200, True))
    assert answer.headers["Cache-Control"] == "no-store"
    return found


def wait_until_started(app: App) -> None:
    while any(worker.ident is None for worker in app.context.builds._workers):
        app.builder.gate.wait(0.01)


def test_health__of_a_server_that_works(app: App) -> None:
    wait_until_started(app)
    assert faults(app) == {}
    assert app.get("/+forkbuilder/live").json["result"] == {"live": True}


def test_ready__needs_room_on_the_disk(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-disk-floor", "100000G")
    wait_until_started(app)
    assert list(faults(app)) == ["disk"]


def test_ready__needs_a_server_directory_that_can_be_written(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> Any:
        raise OSError(28, "No space left on device")

    wait_until_started(app)
    monkeypatch.setattr("devpi_forkbuilder.devpi.health.TemporaryFile", full)
    assert "No space left" in faults(app)["store"]
    assert app.get("/+forkbuilder/live").status_int == 200


def test_ready__needs_workers(app: App) -> None:
    wait_until_started(app)
    app.context.builds.stop()
    assert list(faults(app)) == ["workers"]


def test_ready__needs_a_sandbox(make_app: MakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    import devpi_forkbuilder.plugin  # noqa: PLC0415 - as only here
    from devpi_forkbuilder.pipeline.late_builder import Unable  # noqa: PLC0415

    reason = InfrastructureError("no-sandbox", "Builds cannot be confined here.")
    monkeypatch.setattr(devpi_forkbuilder.plugin, "make_builder", lambda _options: Unable(reason))
    app = make_app("--forkbuilder-workers", "1")
    wait_until_started(app)
    assert faults(app) == {"builds": "Builds cannot be confined here."}
    assert faults(make_app("--forkbuilder-cached-only")) == {}


def test_probes__are_asked_once_a_second_at_most() -> None:
    now, asked = [0.0], []

    def probe() -> Check:
        asked.append(now[0])
        return Check("store", ok=True)

    probes = HealthProbes([probe], lambda: now[0])
    for moment in (0.0, 0.5, 2.0):
        now[0] = moment
        assert probes.health().ready
    assert asked == [0.0, 2.0]


class Primary:
    """Answers with one change, whatever is asked for."""

    url = "http://primary"

    def __init__(self, status: int, body: bytes = b"") -> None:
        self.answer = (status, body)
        self.asked: list[int] = []

    def change(self, serial: int) -> tuple[int, bytes]:
        self.asked.append(serial)
        return self.answer


@pytest.mark.parametrize(("status", "kind"), [(400, "refused"), (403, "refused"), (404, "diverged"), (202, "diverged")])
def test_guard__lets_nothing_through_that_is_not_its_primarys(app: App, status: int, kind: str) -> None:
    thread = SimpleNamespace(fetch_multi=lambda _serial: pytest.fail("nothing may be fetched"))
    guard = ReplicaGuard(SimpleNamespace(keyfs=app.xom.keyfs, replica_thread=thread), Primary(status))
    guard.install()
    assert not thread.fetch_multi(2)
    assert (guard.verdict.kind, guard.check().ok) == (kind, False)


def test_guard__compares_once_and_trusts_an_answer_of_a_moment_ago(app: App) -> None:
    with app.xom.keyfs.get_connection() as connection:
        primary = Primary(200, stored_change(connection, 0))
    now, fetched = [0.0], []
    thread = SimpleNamespace(fetch_multi=lambda serial: fetched.append(serial) or True)
    guard = ReplicaGuard(SimpleNamespace(keyfs=app.xom.keyfs, replica_thread=thread), primary, lambda: now[0])
    guard.install()
    for moment in (0.0, 0.5, 9.0):
        now[0] = moment
        assert thread.fetch_multi(1)
    assert (fetched, primary.asked) == ([1, 1, 1], [0, 0])


def test_disk__is_that_of_the_nearest_folder_that_there_is(make_app: MakeApp) -> None:
    app = make_app()
    wait_until_started(app)
    shutil.rmtree(app.xom.config.server_path / ".forkbuilder", ignore_errors=True)
    assert "disk" not in faults(app)
