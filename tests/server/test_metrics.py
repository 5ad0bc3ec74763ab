"""Figures: for Prometheus, and in devpi's own status."""

from __future__ import annotations

from dataclasses import replace

from devpi_forkbuilder.web.api.metrics import metrics_of
from tests.server.app import App, pin


def figures(app: App) -> dict[str, float]:
    lines = app.get("/+forkbuilder/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines if not line.startswith("#"))}


def test_metrics__count_builds(app: App) -> None:
    app.make_index("root/forks", pin())
    assert figures(app)["devpi_forkbuilder_built_total"] == 0
    app.files("/root/forks/+simple/alpha/")
    assert figures(app)["devpi_forkbuilder_built_total"] == 1
    assert figures(app)["devpi_forkbuilder_held_requests_limit"] == 4


def test_metrics__are_in_devpis_status(app: App) -> None:
    metrics = app.request("GET", "/+status", Accept="application/json").json["result"]["metrics"]
    assert ["devpi_forkbuilder_queued", "gauge", 0] in metrics


def test_metrics__name_the_sandbox(app: App) -> None:
    assert figures(app)["devpi_forkbuilder_sandbox_unavailable"] == 1  # the tests' builder has none
    confined = replace(app.context, tier="bwrap")
    assert ("devpi_forkbuilder_sandbox_bwrap", "gauge", 1.0) in metrics_of(confined)
    bounded = replace(app.context, bounded=("memory", "pids"))
    assert {("devpi_forkbuilder_cgroup_memory", "gauge", 1.0), ("devpi_forkbuilder_cgroup_pids", "gauge", 1.0)} <= set(
        metrics_of(bounded)
    )
    assert not any("sandbox" in name for name, _, _ in metrics_of(replace(app.context, tier="")))


def test_connections__that_say_nothing_are_closed_soon(app: App) -> None:
    """520 half-sent requests kept everybody out for two minutes."""
    arguments = app.xom.config.waitress_info["kwargs"]
    assert (arguments["channel_timeout"], arguments["cleanup_interval"]) == (30, 10)
