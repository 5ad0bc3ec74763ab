"""`fork_build=pin`: idle workers build what is pinned before anybody asks."""

from __future__ import annotations

import time
from typing import Any

import pytest

from devpi_forkbuilder.devpi.bootstrap import build_when_pinned
from devpi_forkbuilder.errors import BuildError
from tests.server.app import COMMIT, OTHER, App, HeldBuilder, pin
from tests.server.conftest import MakeApp

PATIENCE = 30.0
NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")


@pytest.fixture
def app(make_app: MakeApp) -> App:
    return make_app("--forkbuilder-hold", "30", "--forkbuilder-workers", "2")


def ended(app: App, *names: str, state: str = "built", index: str = "root/forks") -> list[dict[str, Any]]:
    """Wait until the pins of these projects are in a state."""
    found = []
    for name in names:
        until = time.monotonic() + PATIENCE
        while (states := app.get(f"/{index}/+forks/{name}?wait=2").json["result"])[0]["state"] != state:
            assert time.monotonic() < until, states
        found += states
    return found


def test_pin__everything_is_built_without_a_request(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", *map(pin, NAMES), fork_build="pin")
    ended(app, *NAMES)
    assert sorted(order.pin.name for order in builder.orders) == sorted(NAMES)


def test_pin__new_commits_and_a_setting_that_is_switched_on(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin("alpha"))
    assert app.get("/root/forks/+forks").json["result"][0]["state"] == "wanted"
    app.request("PATCH", "/root/forks", ["fork_build=pin"])
    ended(app, "alpha")
    app.pin(pin("alpha", OTHER))
    ended(app, "alpha")
    assert [order.pin.commit for order in builder.orders] == [COMMIT, OTHER]


def test_pin__waits_for_clients(app: App, builder: HeldBuilder) -> None:
    """What somebody asks for is next, however many pins are left to be built ahead."""
    builder.gate.clear()
    app.make_index("root/forks", *map(pin, NAMES), fork_build="pin")
    while len(builder.orders) < 2:
        time.sleep(0.01)  # both workers are at what is built ahead: nothing tells when they have begun
    app.make_index("root/other", pin("urgent"))
    app.request("POST", "/root/other/+forks/urgent/build", {})
    while app.get("/root/other/+forks").json["result"][0]["state"] != "queued":
        time.sleep(0.01)
    builder.gate.set()
    ended(app, "urgent", index="root/other")
    ended(app, *NAMES)
    assert "urgent" in [order.pin.name for order in builder.orders[:4]]


def test_pin__failures_do_not_stop_the_rest(app: App, builder: HeldBuilder) -> None:
    builder.failure = BuildError("build-failed", "The fork's build ended with status 1.")
    app.make_index("root/forks", *map(pin, NAMES), fork_build="pin")
    ended(app, *NAMES, state="failed")
    assert len(builder.orders) == len(NAMES)


def test_pin__refused_change_builds_nothing(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", fork_build="pin")
    assert app.pin(pin("alpha"), "nonsense").status_int == 400
    app.make_index("root/other", pin("beta"), fork_build="pin")
    ended(app, "beta", index="root/other")
    assert [order.pin.name for order in builder.orders] == ["beta"]


def test_pin__index_of_an_earlier_start(app: App, builder: HeldBuilder) -> None:
    """`up --build` changes the index before the server serves: the first look finds it."""
    app.make_index("root/forks", pin("alpha"))
    build_when_pinned(app.xom, "root/forks")
    assert app.config()["fork_build"] == "pin"
    serial = app.xom.keyfs.get_current_serial()
    build_when_pinned(app.xom, "root/forks")
    assert app.xom.keyfs.get_current_serial() == serial
    app.context.pinned.start()
    ended(app, "alpha")
    assert len(builder.orders) == 1


def test_pin__server_that_never_builds(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-cached-only")
    assert app.make_index("root/forks", pin("alpha"), fork_build="pin").status_int == 200
    assert app.context.pinned is None
    assert builder.orders == []
