"""What devpi-web's status bar says: what keeps the server from building, and what fails."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from devpi_forkbuilder.devpi.replica_guard import HistoryVerdict
from devpi_forkbuilder.devpi.server_facts import ServerFacts
from devpi_forkbuilder.domain.health import Check, Health
from devpi_forkbuilder.errors import BuildError
from devpi_forkbuilder.web.context import REGISTRY, Context
from devpi_forkbuilder.web.devpiweb_hooks import devpiweb_get_status_info
from tests.server.app import App, pin


def told(context: Context | None) -> list[tuple[str, str]]:
    registry = {} if context is None else {REGISTRY: context}
    found = devpiweb_get_status_info(SimpleNamespace(registry=registry))
    return [(one["status"], one["msg"]) for one in found]


@pytest.fixture
def context(app: App) -> Context:
    """Of a server that is well."""
    return replace(app.context, health=lambda: Health(()))


def test_status__of_a_server_that_is_well_or_not_ours(context: Context) -> None:
    assert told(context) == told(None) == []


def test_status__what_keeps_it_from_building_is_fatal(context: Context) -> None:
    health = Health((Check("builds", ok=False, message="No sandbox works here."), Check("disk", ok=True)))
    assert told(replace(context, health=lambda: health)) == [("fatal", "Forks: No sandbox works here.")]


def test_status__low_disk(context: Context) -> None:
    low = replace(context, facts=lambda: ServerFacts({"forkbuilder": (100 * 2**20, 2**40)}))
    ((status, message),) = told(low)
    assert (status, "100 MiB are free" in message) == ("warn", True)
    assert told(replace(low, cached_only=True)) == []


def test_status__builds_that_are_not_confined(context: Context) -> None:
    assert "not confined" in told(replace(context, tier="none"))[0][1]


def test_status__failing_builds_without_their_names(app: App, context: Context) -> None:
    app.make_index("root/forks", pin(), pin("beta"))
    app.builder.failure = BuildError("build-failed", "It does not build.")
    app.files("/root/forks/+simple/alpha/")
    assert told(context) == [("warn", "Forks: 1 build failed within a day.")]
    app.files("/root/forks/+simple/beta/")
    assert told(context) == [("warn", "Forks: 2 builds failed within a day.")]
    app.builder.failure = None
    for project in ("alpha", "beta"):
        app.request("POST", f"/root/forks/+forks/{project}/build", {"force": True})
        app.files(f"/root/forks/+simple/{project}/")
    assert told(context) == []


@pytest.mark.parametrize(
    ("kind", "is_open", "expected"), [("following", False, 0), ("unreachable", False, 1), ("following", True, 1)]
)
def test_status__primary_unreachable(context: Context, kind: str, is_open: bool, expected: int) -> None:
    forward: Any = SimpleNamespace(url="http://primary:3141")
    guard: Any = SimpleNamespace(verdict=HistoryVerdict(kind), diverged=False)
    breaker: Any = SimpleNamespace(open=is_open)
    found = told(replace(context, forward=forward, guard=guard, breaker=breaker))
    assert len(found) == expected
    assert all("http://primary:3141 does not answer" in message for _, message in found)
