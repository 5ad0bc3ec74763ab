"""Reading ahead: while a pin is built for somebody, workers that would be idle build the next ones of the index."""

from __future__ import annotations

import pytest

from devpi_forkbuilder.domain.states import State
from devpi_forkbuilder.errors import BuildError
from tests.server.app import App, pin
from tests.server.conftest import MakeApp

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
AHEAD = ("--forkbuilder-read-ahead", "2")
QUICK = ("--forkbuilder-hold", "0.05", "--forkbuilder-wait", "0.1")


def make(make_app: MakeApp, *options: str, workers: int = 3) -> App:
    """A server on which every build goes on until the test's end."""
    app = make_app(*QUICK, "--forkbuilder-workers", str(workers), *AHEAD, *options)
    app.builder.gate.clear()
    app.make_index("root/forks", *map(pin, NAMES))
    return app


def begun(app: App) -> list[str]:
    """The projects that are more than wanted."""
    states = app.get("/root/forks/+forks").json["result"]
    return [one["project"] for one in states if one["state"] != State.WANTED.value]


def built(app: App, name: str) -> None:
    """Wait until it is."""
    while app.get(f"/root/forks/+forks/{name}?wait=10").json["result"][0]["state"] != State.BUILT.value:
        pass


def test_ahead__idle_workers_build_the_next_pins(make_app: MakeApp) -> None:
    app = make(make_app)
    assert app.page("/root/forks/+simple/beta/").body
    assert begun(app) == ["beta", "gamma", "delta"]


def test_ahead__a_miss_that_a_replica_posts_counts_too(make_app: MakeApp) -> None:
    app = make(make_app)
    app.request("POST", "/root/forks/+forks/alpha/miss")
    assert begun(app) == ["alpha", "beta", "gamma"]


def test_ahead__what_follows_is_ready_for_the_next_worker(make_app: MakeApp) -> None:
    """pip finds the second pin under way, or built, when it asks for it: what comes after that is next."""
    app = make(make_app, workers=1)
    assert app.page("/root/forks/+simple/alpha/").body
    assert begun(app) == ["alpha", "beta", "gamma"]
    app.builder.gate.set()
    built(app, "gamma")
    assert [order.pin.name for order in app.builder.orders] == ["alpha", "beta", "gamma"]


def test_ahead__what_is_asked_for_comes_first(make_app: MakeApp) -> None:
    app = make(make_app, workers=1)
    for name in ("alpha", "epsilon", "gamma"):
        assert app.page(f"/root/forks/+simple/{name}/").body
    app.builder.gate.set()
    built(app, "beta")
    assert [order.pin.name for order in app.builder.orders] == ["alpha", "epsilon", "gamma", "beta"]


def test_ahead__while_somebody_waits_for_a_worker_nothing_is(make_app: MakeApp) -> None:
    app = make(make_app, workers=1)
    for name in ("epsilon", "alpha"):
        assert app.page(f"/root/forks/+simple/{name}/").body
    assert begun(app) == ["alpha", "epsilon"]


def test_ahead__comes_through_an_inheriting_index(make_app: MakeApp) -> None:
    app = make(make_app)
    app.request("PUT", "/root/dev", {"type": "stage", "bases": ["root/forks"]})
    assert app.page("/root/dev/+simple/gamma/").body
    assert begun(app) == ["gamma", "delta", "epsilon"]


@pytest.mark.parametrize(("most", "names"), [("0", ["alpha"]), ("1", ["alpha", "beta"])])
def test_ahead__as_far_as_the_option_says(make_app: MakeApp, most: str, names: list[str]) -> None:
    app = make(make_app, "--forkbuilder-read-ahead", most)
    assert app.page("/root/forks/+simple/alpha/").body
    assert begun(app) == names


def test_ahead__a_failure_that_is_remembered_starts_nothing(make_app: MakeApp) -> None:
    app = make(make_app, workers=1)
    app.builder.gate.set()
    app.builder.failure = BuildError("build-failed", "The fork's build ended with status 1.", next_step="Read the log.")
    assert app.page("/root/forks/+simple/alpha/").body
    first = begun(app)
    for _ in range(3):
        assert app.page("/root/forks/+simple/alpha/").body
    assert begun(app) == first
    assert "delta" not in first


def test_ahead__a_server_that_never_builds_starts_nothing(make_app: MakeApp) -> None:
    app = make(make_app, "--forkbuilder-cached-only")
    assert app.page("/root/forks/+simple/alpha/").body
    app.request("POST", "/root/forks/+forks/alpha/miss")
    assert begun(app) == []
