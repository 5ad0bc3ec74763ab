"""The page for who runs the server, `/+forkbuilder`: queue, workers, failures, disks, replicas, charts.

Figures are for everybody, as those of devpi's own `/+status`; a pin is named to those who may read its index.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from devpi_forkbuilder.devpi.requests import may_read
from devpi_forkbuilder.domain.charts import Chart, bars, median, places, spread
from devpi_forkbuilder.service.history import HOUR, EndedBuild
from devpi_forkbuilder.service.records import Record
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.html import sentences
from devpi_forkbuilder.web.html.build import why_waiting
from devpi_forkbuilder.web.html.render import page

DAY = 24 * HOUR
FAILURES = 20
QUEUED = 100
"""Rows that are shown; the totals stand above them."""
HIDDEN = "a pin of an index that you may not read"


@dataclass(frozen=True, slots=True)
class BuildEntry:
    """A build in one of the tables: what, where its page is (None for who may not read it), and words about it."""

    name: str
    url: str | None
    index: str
    state: str
    at: str
    ago: str
    says: str
    more: str = ""


class OperatorsPage:
    """The view; devpi's transaction is open around it."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.context: Context = request.registry[REGISTRY]
        self._now = time.time()
        self._readable: dict[str, bool] = {}

    def operators(self) -> Any:
        """The page."""
        context = self.context
        overview, facts, stats = context.builds.overview(), context.facts(), context.builds.stats()
        report = context.tidy.last if context.tidy is not None else None
        return page(
            self.request,
            "operators",
            "Builds on this server",
            reasons=context.health().reasons,
            tier=context.tier or "none: builds run on the primary",
            bounded=", ".join(context.bounded),
            primary=context.forward.url if context.forward is not None else "",
            tiles=self._tiles(overview.workers, stats),
            running=[self._entry(one.record, one.worker) for one in overview.running],
            queue=[
                self._entry(one.record, str(one.position or "waits"), why_waiting(overview, one.record))
                for one in overview.waiting[:QUEUED]
            ],
            queued=len(overview.waiting),
            failures=[self._entry(record) for record in context.builds.recent_failures(FAILURES)],
            disks=[
                (name, sentences.readable_size(free), sentences.readable_size(whole), round(100 * (1 - free / whole)))
                for name, (free, whole) in sorted(facts.disks.items())
                if whole
            ],
            kinds=[
                (one.kind.value, one.count, sentences.readable_size(one.size), sentences.readable_size(one.freed))
                for one in (report.kinds if report is not None else ())
            ],
            tidied=sentences.ago(self._now - report.started) if report is not None else "",
            facts=facts,
            lag=sentences.duration(facts.lag_seconds) if facts.lag_seconds is not None else "",
            charts=self._charts(),
        )

    def _tiles(self, workers: int, stats: Any) -> list[tuple[str, str]]:
        ratio, last = self.context.traffic.hit_ratio, self.context.builds.figures().last_built
        failed = sum(int(value) for name, value in stats.items() if name.startswith("failed_"))
        return [
            ("queued", str(stats.get("queued", 0))),
            ("running", f"{stats.get('running', stats.get('conversations', 0))} of {workers}" if workers else "0"),
            ("built since the start", str(stats.get("built_total", 0))),
            ("failed since the start", str(failed)),
            ("hit ratio since the start", f"{ratio:.0%}" if ratio is not None else "none yet"),
            ("last success", sentences.ago(self._now - last) if last is not None else "none yet"),
        ]

    def _entry(self, record: Record, more: str = "", says: str = "") -> BuildEntry:
        key, at = record.key, record.finished_at or record.started_at or record.queued_at
        python = f" for Python {key.python}" if key.python else ""
        readable = self._may_read(key.index)
        seconds = None if record.state.ended else self.context.builds.outlook(record).seconds
        about = f"About {sentences.about(seconds)} to go." if seconds else ""
        error = record.error.message if record.error is not None and record.state.ended and readable else ""
        url = f"{self.request.application_url}/{key.index}/+forks/{key.project}/{key.commit}/log"
        return BuildEntry(
            name=f"{key.project} {key.version}{python}".strip() if readable else HIDDEN,
            url=url if readable else None,
            index=key.index if readable else "",
            state=record.state.value,
            at=sentences.iso_moment(at),
            ago=sentences.ago(self._now - at) if at is not None else "",
            says=" ".join(filter(None, (error, says, about))),
            more=more,
        )

    def _may_read(self, index: str) -> bool:
        if index not in self._readable:
            self._readable[index] = may_read(self.request, *index.split("/"))
        return self._readable[index]

    def _charts(self) -> list[tuple[str, list[Chart]]]:
        history = self.context.history
        history.add_pages(self.context.traffic.take_hours())
        return [
            ("Last day", self._charts_of(HOUR, 24, "%H:%M")),
            ("Last month", self._charts_of(DAY, 30, "%d %b")),
        ]

    def _charts_of(self, length: int, count: int, words: str) -> list[Chart]:
        """Builds, median seconds and hit ratio in `count` spans of `length` seconds."""
        begins = places(self._now, length, count)
        builds = self.context.history.builds(begins[0])
        pages = self.context.history.pages(begins[0])
        when = [time.strftime(words, time.gmtime(begin)) for begin in begins]
        hits = spread(begins, length, ((hour * HOUR, count[0]) for hour, count in pages.items()))
        misses = spread(begins, length, ((hour * HOUR, count[1]) for hour, count in pages.items()))
        asked = [(sum(hit), sum(hit) + sum(miss)) for hit, miss in zip(hits, misses, strict=True)]
        return [
            _builds_chart(begins, length, builds, when),
            _seconds_chart(begins, length, builds, when),
            _hits_chart(asked, when),
        ]


def _builds_chart(begins: list[float], length: int, builds: list[EndedBuild], when: list[str]) -> Chart:
    counts = {
        kind: [float(len(one)) for one in spread(begins, length, ((b.at, 1) for b in builds if b.built is built))]
        for kind, built in (("built", True), ("failed", False))
    }
    drawn, top = bars(
        list(counts.items()),
        lambda place: f"{when[place]}: {counts['built'][place]:.0f} built, {counts['failed'][place]:.0f} failed",
    )
    built, failed = (int(sum(values)) for values in counts.values())
    return Chart("Builds", f"{top:.0f}", drawn, f"{built} built, {failed} failed")


def _seconds_chart(begins: list[float], length: int, builds: list[EndedBuild], when: list[str]) -> Chart:
    medians = [median(one) for one in spread(begins, length, ((b.at, b.seconds) for b in builds if b.built))]
    drawn, top = bars([("seconds", medians)], lambda place: f"{when[place]}: {sentences.duration(medians[place])}")
    whole = median([build.seconds for build in builds if build.built])
    return Chart(
        "Median time", sentences.duration(top), drawn, f"{sentences.duration(whole)} of all" if whole else "none"
    )


def _hits_chart(asked: list[tuple[float, float]], when: list[str]) -> Chart:
    ratios = [hits / whole if whole else 0.0 for hits, whole in asked]
    drawn, _ = bars(
        [("hits", ratios)], lambda place: f"{when[place]}: {ratios[place]:.0%} of {asked[place][1]:.0f} pages", most=1.0
    )
    hits, whole = (sum(one) for one in zip(*asked, strict=True))
    return Chart("Hit ratio", "100%", drawn, f"{hits / whole:.0%} of {whole:.0f} pages" if whole else "no page yet")
