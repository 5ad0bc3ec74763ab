"""The figures of one moment, as Prometheus' client library collects them: with help texts and labels.

Labels have few values: `kind`, `stage`, `tier`, `platform`; never a project, of which there may be thousands.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from devpi_forkbuilder.service.durations import BOUNDS, DurationCounts
from devpi_forkbuilder.web.context import Context

PREFIX = "devpi_forkbuilder_"
BUILDS = {
    "queued": "Builds, or questions to the primary, that wait for a worker.",
    "running": "Builds that run.",
    "records_in_memory": "1 when the file of build records cannot be used.",
    "covered_total": "Builds that were not needed, since another target's wheel served them.",
    "cancelled_total": "Builds that were ended by a stop of the server.",
    "conversations": "Questions to the primary that are under way.",
    "conversations_total": "Questions to the primary.",
    "conversations_failed_total": "Questions to the primary that failed.",
    "primary_given_up": "1 while the primary is left alone, since it did not answer.",
}
"""The service's figures without labels that are passed on; the others have labels here."""


class ContextCollector(Collector):
    """The figures of a server, read when they are collected. `connections`: open ones, None where nobody knows."""

    def __init__(self, context: Context, connections: int | None) -> None:
        self._context = context
        self._connections = connections

    def collect(self) -> Iterable[Metric]:
        """prometheus_client's contract."""
        context = self._context
        yield from self._builds()
        yield from self._requests()
        yield from self._server()
        if context.tier:
            yield _gauge("sandbox", "1 for the tier that builds are confined by.", {context.tier: 1.0}, "tier")
        bounded = {name: float(name in context.bounded) for name in ("memory", "pids")}
        yield _gauge("cgroup_bounded", "1 where a control group bounds this for whole builds.", bounded, "kind")
        yield from self._tidied()
        yield from self._farm()

    def _builds(self) -> Iterator[Metric]:
        stats, figures = self._context.builds.stats(), self._context.builds.figures()
        for name, about in BUILDS.items():
            if name in stats:
                yield _plain(name, about, stats[name])
        yield _counter("built", "Builds that were published, by the wheel's platform tag.", figures.built, "platform")
        failed = CounterMetricFamily(
            f"{PREFIX}failed", "Builds that failed, by kind of error and stage.", labels=("kind", "stage")
        )
        for (kind, stage), count in figures.failed.items():
            failed.add_metric((kind, stage), count)
        yield failed
        yield _histogram(
            "stage_seconds",
            "Seconds that builds spent in the queue (wait) and in a stage.",
            figures.durations,
            "stage",
        )
        yield _plain("joined_total", "Requests for a build that was under way already.", figures.joined)
        yield _plain("queue_age_seconds", "Seconds for which the oldest build in the queue waits.", figures.queue_age)
        if figures.last_built is not None:
            since = max(0.0, time.time() - figures.last_built)
            yield _plain("since_last_build_seconds", "Seconds since a build succeeded.", since)

    def _requests(self) -> Iterator[Metric]:
        seats, traffic = self._context.seats, self._context.traffic
        yield _plain("page_hits_total", "Pages of pinned projects for which nothing had to be built.", traffic.hits)
        yield _plain("page_misses_total", "Pages of pinned projects that lacked a build.", traffic.misses)
        if (ratio := traffic.hit_ratio) is not None:
            yield _plain("cache_hit_ratio", "Hits among all pages of pinned projects since the start, 0 to 1.", ratio)
        yield _plain("held_requests", "Requests that wait for builds.", seats.taken)
        yield _plain("held_requests_limit", "Requests that may wait for builds at once.", seats.limit)
        held = {"": seats.held.counts()}
        yield _histogram("held_seconds", "Seconds for which requests were held.", held, "")
        refused = "Downloads of placeholders (status 424), by the stage that they name."
        yield _counter("placeholder_downloads", refused, traffic.refused(), "stage")
        if self._connections is not None:
            yield _plain("open_connections", "Open connections to this server.", self._connections)

    def _server(self) -> Iterator[Metric]:
        facts, guard = self._context.facts(), self._context.guard
        free = {name: float(pair[0]) for name, pair in facts.disks.items()}
        yield _gauge("disk_free_bytes", "Bytes free on the disk of devpi's files and of builds.", free, "kind")
        whole = {name: float(pair[1]) for name, pair in facts.disks.items()}
        yield _gauge("disk_size_bytes", "Size of these disks.", whole, "kind")
        yield _plain("replicas", "Replicas that follow this server.", facts.replicas)
        if facts.lag_changes is not None:
            about = "Changes that this replica lacks; on a primary, that its slowest replica lacks."
            yield _plain("replica_lag_changes", about, facts.lag_changes)
        if facts.lag_seconds is not None:
            yield _plain("replica_lag_seconds", "Seconds since this replica had all changes.", facts.lag_seconds)
        if guard is not None:
            about = "1 when this replica has another history than its primary."
            yield _plain("replica_diverged", about, float(guard.diverged))

    def _farm(self) -> Iterator[Metric]:
        if self._context.farm is not None:
            figures = self._context.farm.figures()
            yield _plain("farm_workers", "Workers that were heard of lately.", figures.workers)
            yield _plain("farm_building", "Orders that workers build.", figures.building)
            counts = {queue: float(len(seconds)) for queue, seconds in figures.waits.items()}
            yield _gauge("farm_waiting", "Orders that wait for a worker.", counts, "queue")
            longest = {queue: max(seconds, default=0.0) for queue, seconds in figures.waits.items()}
            yield _gauge("farm_wait_seconds", "Seconds for which the first of them waits.", longest, "queue")

    def _tidied(self) -> Iterator[Metric]:
        report = self._context.tidy.last if self._context.tidy is not None else None
        if report is not None:
            sizes = {one.kind.value: float(one.size - one.freed * (not report.dry_run)) for one in report.kinds}
            yield _gauge("stored_bytes", "Bytes kept beside releases after the last gc.", sizes, "kind")
            since = max(0.0, time.time() - report.started)
            yield _plain("since_last_gc_seconds", "Seconds since the last gc.", since)


def _plain(name: str, about: str, value: float) -> Metric:
    if name.endswith("_total"):
        return CounterMetricFamily(PREFIX + name.removesuffix("_total"), about, value=value)
    return GaugeMetricFamily(PREFIX + name, about, value=value)


def _gauge(name: str, about: str, values: Mapping[str, float], label: str) -> Metric:
    found = GaugeMetricFamily(PREFIX + name, about, labels=(label,))
    for key, value in values.items():
        found.add_metric((key,), value)
    return found


def _counter(name: str, about: str, values: Mapping[str, int], label: str) -> Metric:
    found = CounterMetricFamily(PREFIX + name, about, labels=(label,))
    for key, value in values.items():
        found.add_metric((key,), value)
    return found


def _histogram(name: str, about: str, values: Mapping[str, DurationCounts], label: str) -> Metric:
    found = HistogramMetricFamily(PREFIX + name, about, labels=(label,) if label else ())
    for key, one in values.items():
        buckets = [(str(bound), float(count)) for bound, count in zip(BOUNDS, one.at_most, strict=True)]
        found.add_metric((key,) if label else (), [*buckets, ("+Inf", float(one.count))], one.total)
    return found
