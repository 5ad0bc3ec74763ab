"""Figures: for Prometheus, and in devpi's own status."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.web.api.metrics import metrics_of
from tests.server.app import App, pin
from tests.server.conftest import MakeApp
from tests.test_monitoring import documented


def figures(app: App) -> dict[str, float]:
    families = text_string_to_metric_families(app.get("/+forkbuilder/metrics").text)
    return {_named(one.name, one.labels): one.value for family in families for one in family.samples}


def _named(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return name.removeprefix("devpi_forkbuilder_") + (f"[{inside}]" if inside else "")


def test_metrics__count_builds(app: App) -> None:
    app.make_index("root/forks", pin())
    before = figures(app)
    assert (before["built_total[platform=any]"], before["stage_seconds_count[stage=wait]"]) == (0, 0)
    assert "since_last_build_seconds" not in before
    app.files("/root/forks/+simple/alpha/")
    found = figures(app)
    assert (found["built_total[platform=any]"], found["held_requests_limit"]) == (1, 4)
    for stage in ("wait", "fetch", "build", "check", "publish"):
        assert found[f"stage_seconds_count[stage={stage}]"] == 1
        assert found[f"stage_seconds_bucket[le=+Inf,stage={stage}]"] == 1
        assert f"stage_seconds_bucket[le=1800.0,stage={stage}]" in found
    assert 0 <= found["since_last_build_seconds"] < 100
    assert (found["held_seconds_count"], found["held_requests"]) == (1, 0)


def test_metrics__count_hits_and_misses_on_kept_pages_too(app: App) -> None:
    app.make_index("root/forks", pin())
    assert "cache_hit_ratio" not in figures(app)
    for _ in range(4):
        app.files("/root/forks/+simple/alpha/")
    app.page("/root/forks/+simple/unpinned/")
    found = figures(app)
    assert (found["page_hits_total"], found["page_misses_total"], found["cache_hit_ratio"]) == (3, 1, 0.75)


def test_metrics__count_failures_and_downloads_of_placeholders(app: App) -> None:
    app.make_index("root/forks", pin())
    app.builder.failure = BuildError("build-failed", "It does not build.")
    (file,) = app.files("/root/forks/+simple/alpha/")
    path = urlsplit(urljoin("http://x/root/forks/+simple/alpha/", file["url"])).path
    assert app.get(path).status_int == 424
    app.get(path.replace("/building/", "/made-up-by-a-client/"))
    found = figures(app)
    assert found["failed_total[kind=build,stage=building]"] == 1
    assert found["placeholder_downloads_total[stage=building]"] == 1
    assert found["placeholder_downloads_total[stage=other]"] == 1
    assert not any("made-up" in name or "alpha" in name for name in found)


def test_metrics__tell_of_the_queue_and_of_joins(make_app: MakeApp) -> None:
    app = make_app("--forkbuilder-workers", "1", "--forkbuilder-hold", "0")
    app.make_index("root/forks", pin(), pin("beta"))
    app.builder.gate.clear()
    for project in ("alpha", "beta", "beta"):
        app.request("POST", f"/root/forks/+forks/{project}/miss", {})
    while figures(app)["running"] != 1:
        app.builder.gate.wait(0.01)
    found = figures(app)
    assert (found["queued"], found["joined_total"]) == (1, 1)
    assert found["queue_age_seconds"] > 0
    app.builder.gate.set()


def test_metrics__tell_of_disks_replicas_and_the_last_gc(app: App) -> None:
    found = figures(app)
    assert 0 < found["disk_free_bytes[kind=server]"] <= found["disk_size_bytes[kind=server]"]
    assert (found["replicas"], "replica_lag_changes" in found, "stored_bytes[kind=logs]" in found) == (0, False, False)
    app.xom.polling_replicas["x"] = {"serial": -1, "last-request": time.time()}
    app.xom.polling_replicas["gone"] = {"serial": -5, "last-request": time.time() - 1000}
    assert app.context.tidy is not None
    app.context.tidy.pass_if_due()
    found = figures(app)
    assert (found["replicas"], found["replica_lag_changes"]) == (1, app.xom.keyfs.get_current_serial() + 1)
    assert (found["stored_bytes[kind=logs]"], found["since_last_gc_seconds"] < 100) == (0, True)


def test_metrics__are_what_promtool_takes(app: App) -> None:
    """Names, units, help texts: Prometheus' own linter."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/")
    text = app.get("/+forkbuilder/metrics").body
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_metrics__are_in_devpis_status(app: App) -> None:
    metrics = app.request("GET", "/+status", Accept="application/json").json["result"]["metrics"]
    assert ["devpi_forkbuilder_queued", "gauge", 0] in metrics


def test_metrics__name_the_sandbox(app: App) -> None:
    assert figures(app)["sandbox[tier=unavailable]"] == 1  # the tests' builder has none
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


def test_metrics__are_all_in_the_reference(app: App) -> None:
    app.make_index("root/forks", pin())
    app.files("/root/forks/+simple/alpha/")
    assert app.context.tidy is not None
    app.context.tidy.pass_if_due()
    text = app.get("/+forkbuilder/metrics").text
    names = {line.split()[2].removeprefix("devpi_forkbuilder_") for line in text.splitlines() if "# TYPE" in line}
    assert len(names) > 20
    assert names <= documented()
