"""A real Prometheus reads the figures of a real server."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.devpi import free_port
from tests.live import Live
from tests.processes import Running
from tests.surroundings import clean_environment

PROMETHEUS = shutil.which("prometheus")
RULES = Path(__file__).parent.parent.parent / "docs" / "monitoring" / "alerts.yaml"
PATIENCE = 60.0
CONFIGURATION = """\
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: devpi-forkbuilder
    metrics_path: /+forkbuilder/metrics
    static_configs: [{{targets: ["{target}"]}}]
"""
pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed"),
]


@pytest.fixture
def prometheus(live: Live, tmp_path: Path) -> Iterator[str]:
    """Its URL."""
    assert PROMETHEUS is not None
    configuration = tmp_path / "prometheus.yml"
    target = live.server.url.removeprefix("http://").rstrip("/")
    configuration.write_text(CONFIGURATION.format(rules=json.dumps(str(RULES)), target=target))
    address = f"127.0.0.1:{free_port()}"
    command = [
        PROMETHEUS,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (tmp_path / "prometheus.log").open("wb") as log:
        running = Running(command, clean_environment(tmp_path), tmp_path, log)
        try:
            yield f"http://{address}"
        finally:
            running.signal(signal.SIGTERM)
            running.wait(30)


def asked(prometheus: str, query: str, fine: int = 1) -> list[dict[str, Any]]:
    """The samples of a query, as soon as there are `fine` of them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(f"{prometheus}/api/v1/query?query={quote(query)}", timeout=5) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        except URLError:
            found = []
        if len(found) >= fine:
            return found
        assert time.monotonic() < deadline, f"{query}: {found}"
        time.sleep(0.2)  # it scrapes every two seconds


def test_prometheus__reads_the_figures(live: Live, prometheus: str) -> None:
    fork = live.host.fork("inline")
    live.file(live.index_of(fork), "inline")
    asked(prometheus, 'up{job="devpi-forkbuilder"} == 1')
    asked(prometheus, 'devpi_forkbuilder_built_total{platform="any"} >= 1')
    stages = asked(prometheus, 'devpi_forkbuilder_stage_seconds_bucket{le="1800.0"} >= 1', 5)
    assert {one["metric"]["stage"] for one in stages} == {"wait", "fetch", "build", "check", "publish"}
    names = asked(prometheus, 'count by (__name__) ({__name__=~"devpi_forkbuilder_.*"})', 20)
    assert not any("inline" in json.dumps(one) for one in names)
    with urlopen(f"{prometheus}/api/v1/rules", timeout=5) as answer:
        (group,) = json.load(answer)["data"]["groups"]
    assert all(rule["health"] in {"ok", "unknown"} for rule in group["rules"])
