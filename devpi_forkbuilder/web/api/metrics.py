"""Figures for monitoring: Prometheus' text, and devpi's own metrics hook, whose names have no labels."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from pyramid.response import Response

from devpi_forkbuilder.devpi.connections import open_connections
from devpi_forkbuilder.web.api.prometheus import ContextCollector
from devpi_forkbuilder.web.context import REGISTRY, Context

Metric = tuple[str, str, float]
PREFIX = "devpi_forkbuilder_"


def metrics_of(context: Context) -> list[Metric]:
    """(name, `counter` or `gauge`, value), in base units; the contract of `devpiserver_metrics`.

    Values are numbers, so the sandbox's tier is in the name: `devpi_forkbuilder_sandbox_bwrap 1`; likewise what
    control groups bound for whole builds: `devpi_forkbuilder_cgroup_memory 1`.
    """
    found = [(PREFIX + name, _type(name), value) for name, value in sorted(context.builds.stats().items())]
    held = (PREFIX + "held_requests", "gauge", float(context.seats.taken))
    tier = [(f"{PREFIX}sandbox_{context.tier}", "gauge", 1.0)] if context.tier else []
    groups = [(f"{PREFIX}cgroup_{name}", "gauge", 1.0) for name in context.bounded]
    equal = [] if context.guard is None else [(f"{PREFIX}replica_diverged", "gauge", float(context.guard.diverged))]
    return [
        *found,
        *equal,
        *_farm(context),
        held,
        (PREFIX + "held_requests_limit", "gauge", context.seats.limit),
        *tier,
        *groups,
    ]


def _farm(context: Context) -> list[Metric]:
    if context.farm is None:
        return []
    figures = context.farm.figures()
    waits = [seconds for found in figures.waits.values() for seconds in found]
    values = {
        "workers": figures.workers,
        "building": figures.building,
        "waiting": len(waits),
        "wait_seconds": max(waits, default=0.0),
    }
    return [(f"{PREFIX}farm_{name}", "gauge", float(value)) for name, value in values.items()]


def _type(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"


def metrics_view(request: Any) -> Any:
    """Prometheus' text format, version 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ContextCollector(request.registry[REGISTRY], open_connections(request)))
    return Response(generate_latest(registry), content_type="text/plain; version=0.0.4", charset="utf-8")
