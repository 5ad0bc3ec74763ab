"""Each client gets a file that fits it, or hears why there is none."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin

import pytest

from devpi_forkbuilder.devpi.releases import Releases
from devpi_forkbuilder.domain.pins.orders import Order
from devpi_forkbuilder.errors import BuildError
from tests.domain.compat.test_targets import MAC, OLD_PIP, PYPY, UV
from tests.pipeline.benches import Follower
from tests.server.app import COMMIT, PURE, App, HeldBuilder, pin
from tests.server.conftest import MakeApp
from tests.server.test_miss import failure

PAGE = "/root/forks/+simple/alpha/"
VERSION = "1.0+20251120102233.g1a2b3c4d5e6f"
PIP_311 = UV.replace("3.12.1", "3.11.7")
PIP_312 = UV


def extension(order: Order) -> str:
    number = (order.python or "3.11").replace(".", "")
    return f"cp{number}-cp{number}-linux_x86_64"


def names(app: App, user_agent: str, path: str = PAGE) -> list[str]:
    return sorted(file["filename"] for file in app.files(path, User_Agent=user_agent))


@pytest.fixture
def c_app(app: App, builder: HeldBuilder) -> App:
    builder.tags = extension
    app.make_index("root/forks", pin())
    return app


def test_target__a_pure_wheel_serves_everybody(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin())
    for client in (PIP_312, MAC, OLD_PIP, PYPY, "poetry/2.5.0"):
        assert names(app, client) == [f"alpha-{VERSION}-{PURE}.whl"]
    assert len(builder.orders) == 1


def test_target__each_interpreter_gets_its_own(c_app: App, builder: HeldBuilder) -> None:
    first, second = names(c_app, PIP_311), names(c_app, PIP_312)
    assert first == [f"alpha-{VERSION}-cp311-cp311-linux_x86_64.whl"]
    assert second == [*first, f"alpha-{VERSION}-cp312-cp312-linux_x86_64.whl"]
    assert [order.python for order in builder.orders] == ["3.11", "3.12"]
    assert names(c_app, PIP_311) == second
    assert len(builder.orders) == 2


def test_target__who_does_not_say_gets_what_exists(c_app: App, builder: HeldBuilder) -> None:
    assert names(c_app, PIP_312) == names(c_app, "poetry/2.5.0")
    assert len(builder.orders) == 1


def test_target__who_does_not_say_gets_the_servers_own_if_there_is_none(c_app: App, builder: HeldBuilder) -> None:
    assert names(c_app, "poetry/2.5.0 CPython/3.12.1") == [f"alpha-{VERSION}-cp311-cp311-linux_x86_64.whl"]
    assert builder.orders[0].python == ""
    names(c_app, PIP_311)
    assert len(builder.orders) == 1


def test_target__a_stable_abi_is_built_once(c_app: App, builder: HeldBuilder) -> None:
    builder.tags = lambda _order: "cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64"
    assert names(c_app, PIP_311) == names(c_app, PIP_312)
    assert len(builder.orders) == 1


@pytest.mark.parametrize("client", [OLD_PIP, MAC, PYPY])
def test_target__that_is_not_built_here_gets_the_phrase(c_app: App, builder: HeldBuilder, client: str) -> None:
    placeholder = f"alpha-{VERSION}-py2.py3-none-any.whl"
    assert placeholder in names(c_app, client)  # cold: the wheel might have been pure
    assert placeholder in names(c_app, client)  # warm
    assert len(builder.orders) == 1
    [file] = [one for one in c_app.files(PAGE, User_Agent=client) if one["filename"] == placeholder]
    answer = c_app.get(urljoin(PAGE, file["url"]), User_Agent=client)
    assert answer.status_int == 424
    assert "this server builds for Python 3.11, 3.12, pypy3.10 on linux x86_64 (glibc 2.36)" in answer.status
    assert answer.status.startswith("424 alpha 1.0 from 1a2b3c4 has no file for Python ")


def test_target__the_phrase_is_not_for_those_who_are_served(c_app: App) -> None:
    names(c_app, OLD_PIP)
    assert all("py2.py3" not in name for name in names(c_app, PIP_312))


def test_miss__of_another_interpreter_during_a_forced_build_is_under_way(app: App, builder: HeldBuilder) -> None:
    """A replica believes what it is told here: the old failure was, at once, while the build that ended it ran."""
    builder.failure = BuildError("build-failed", "The fork's build ended with status 1.")
    app.make_index("root/forks", pin())
    path = "/root/forks/+forks/alpha"
    for agent in (PIP_311, PIP_312):
        names(app, agent)
    (failed,) = app.request("GET", f"{path}?python=3.12").json["result"]
    assert failed["state"] == "failed"
    builder.failure = None
    builder.gate.clear()
    app.request("POST", f"{path}/build", {"force": True, "python": "3.11"})
    (asked,) = app.request("POST", f"{path}/miss", {"python": "3.12"}).json["result"]
    assert asked["state"] in {"queued", "fetching", "building"}
    assert asked["error"] is None
    (polled,) = app.request("GET", f"{path}?python=3.12").json["result"]
    assert polled["state"] in {"queued", "fetching", "building"}
    builder.gate.set()
    assert all("/failed/" not in file["url"] for file in app.files("/root/forks/+simple/alpha/", User_Agent=PIP_312))
    (built,) = app.request("GET", f"{path}?python=3.12").json["result"]
    assert built["state"] == "built"


def test_target__cached_only_says_what_is_built_for_whom(c_app: App, builder: HeldBuilder) -> None:
    names(c_app, PIP_311)
    [placeholder] = [
        file
        for file in c_app.files("/root/forks/+cached/alpha/", User_Agent=PIP_312)
        if "/failed/not-built/" in file["url"]
    ]
    assert placeholder
    assert len(builder.orders) == 1


def built_by(app: App, builder: HeldBuilder, count: int) -> list[str]:
    """The interpreters of the first `count` builds, waited for."""
    token = app.context.builds.changes.token()
    while len(builder.orders) < count:
        before, token = token, app.context.builds.changes.wait(token, 10)
        assert token > before or len(builder.orders) >= count
    return [order.python for order in builder.orders]


def test_pythons__are_built_ahead_for_what_is_not_pure(app: App, builder: HeldBuilder) -> None:
    builder.tags = extension
    app.make_index("root/forks", pin(), fork_pythons=["3.12", "3.11, 3.12"])
    names(app, PIP_311)
    assert built_by(app, builder, 2) == ["3.11", "3.12"]


def test_pythons__nothing_is_built_ahead_for_what_is_pure(app: App, builder: HeldBuilder) -> None:
    app.make_index("root/forks", pin(), fork_pythons=["3.11", "3.12"])
    names(app, PIP_311)
    app.request("POST", "/root/forks/+forks/alpha/build", {})
    assert [order.python for order in builder.orders] == ["3.11"]


def test_pythons__of_a_project_are_the_only_ones(c_app: App, builder: HeldBuilder) -> None:
    c_app.request("PATCH", "/root/forks", ["fork_pythons=alpha: 3.12"])
    found = names(c_app, PIP_311)
    assert found == [f"alpha-{VERSION}-cp312-cp312-linux_x86_64.whl", f"alpha-{VERSION}-py2.py3-none-any.whl"]
    assert [order.python for order in builder.orders] == ["3.12"]
    path = f"/root/forks/+forks/alpha/{COMMIT}/failed/no-interpreter/{found[1]}"
    assert "builds for Python 3.12 on linux" in c_app.get(path, User_Agent=PIP_311).status


def test_pythons__build_fills_up_what_was_listed_later(c_app: App, builder: HeldBuilder) -> None:
    names(c_app, PIP_311)
    c_app.request("PATCH", "/root/forks", ["fork_pythons=3.11,3.12"])
    assert c_app.request("POST", "/root/forks/+forks/alpha/build", {}).status_int == 202
    assert built_by(c_app, builder, 2) == ["3.11", "3.12"]


@pytest.mark.parametrize("value", ["beta: 3.12", "alpha: three", "3.12.1", "alpha:"])
def test_pythons__faults_are_told(app: App, value: str) -> None:
    answer = app.make_index("root/forks", pin(), fork_pythons=[value])
    assert answer.status_int == 400
    assert "fork_pythons: line 1" in answer.json["message"]


def test_recipe__a_change_lets_a_failure_be_tried_again(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = make_app("--forkbuilder-hold", "30")
    app.make_index("root/forks", pin())
    builder.failure = failure()
    names(app, PIP_311)
    names(app, PIP_311)
    assert len(builder.orders) == 1
    for number, change in enumerate(
        ["fork_build_constraints=alpha: setuptools<58", "fork_build_env=alpha: X=1", "fork_pythons=alpha: 3.11"], 2
    ):
        assert app.request("PATCH", "/root/forks", [change]).status_int == 200
        names(app, PIP_311)
        names(app, PIP_311)
        assert len(builder.orders) == number
    app.request("PATCH", "/root/forks", ["fork_pythons=alpha: 3.12"])
    builder.failure = None
    assert names(app, PIP_312) == [f"alpha-{VERSION}-{PURE}.whl"]


def test_recipe__of_one_project_and_of_all(app: App, builder: HeldBuilder) -> None:
    settings = {
        "fork_build_constraints": ["setuptools<81", "beta: setuptools<58"],
        "fork_build_env": ["beta: KEY=VALUE"],
        "fork_pythons": ["beta: 3.12"],
    }
    app.make_index("root/forks", pin(), pin("beta"), **settings)
    names(app, PIP_311)
    names(app, PIP_311, "/root/forks/+simple/beta/")
    first, second = builder.orders
    assert (first.recipe.constraints, first.recipe.env, first.python) == (("setuptools<81",), (), "3.11")
    assert set(second.recipe.constraints) == {"setuptools<81", "setuptools<58"}
    assert (second.recipe.env, second.python) == ((("KEY", "VALUE"),), "3.12")


def test_miss__takes_a_target_in_one_line(c_app: App) -> None:
    names(c_app, PIP_311)
    [state] = c_app.request("POST", "/root/forks/+forks/alpha/miss", {"python": "3.12 darwin arm64 - 14.4"}).json[
        "result"
    ]
    assert state["state"] == "failed"
    assert state["error"]["reference"] == "no-interpreter"
    answer = c_app.request("POST", "/root/forks/+forks/alpha/miss", {"python": "3.12 x"})
    assert answer.status_int == 400


def two_pins_of_one_commit(make_app: MakeApp, builder: HeldBuilder) -> App:
    """Two versions of a project, from two folders of one commit; the builds of both fail, in their own words."""

    def fail(order: Order) -> str:
        raise BuildError("build-failed", f"No {order.pin.version} can be had.")

    app = make_app("--forkbuilder-hold", "30", "--forkbuilder-workers", "1")
    builder.tags = fail
    app.make_index("root/forks", pin(), pin(version="2.0", more="&subdirectory=two"))
    names(app, PIP_312)
    return app


def test_failed__each_of_two_pins_of_one_commit_hears_its_own(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = two_pins_of_one_commit(make_app, builder)
    placeholders = {file["filename"].split("-")[1].split("+")[0]: file for file in app.files(PAGE)}
    assert set(placeholders) == {"1.0", "2.0"}
    for version, file in placeholders.items():
        answer = app.get(urljoin(PAGE, file["url"]))
        assert f"Build of alpha {version} from" in answer.status
        assert f"No {version} can be had." in answer.text
        assert answer.status.endswith(f"/log?version={version}")


def test_log__each_of_two_pins_of_one_commit_has_its_own(make_app: MakeApp, builder: HeldBuilder) -> None:
    app = two_pins_of_one_commit(make_app, builder)
    states = app.get("/root/forks/+forks/alpha").json["result"]
    for state in states:
        log = app.get(state["log_url"].removeprefix("http://devpi.example.com"))
        assert f"No {state['version']} can be had." in log.text
    assert len({state["log_url"] for state in states}) == 2


def test_longpoll__waits_for_the_interpreter_that_is_asked_for(c_app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    names(c_app, PIP_311)
    waited: list[float] = []
    wait = c_app.context.builds.changes.wait

    def noted(token: int, seconds: float, *_about: object) -> int:
        waited.append(seconds)
        return wait(token, 0.01)

    monkeypatch.setattr(c_app.context.builds.changes, "wait", noted)
    for query, waits in [("wait=5", 0), ("wait=5&python=3.11", 0), ("wait=5&python=3.12", 1)]:
        waited.clear()
        assert c_app.get(f"/root/forks/+forks/alpha?{query}").status_int == 200
        assert len(waited) == waits, query


def test_source__one_for_each_pin_whatever_each_interpreter_makes_of_it(c_app: App, builder: HeldBuilder) -> None:
    """Back ends do not make source distributions twice alike: the second wheel must not be lost for that."""
    builder.source = lambda order: f"made with {order.python}".encode()
    wheels = [f"alpha-{VERSION}-cp{number}-cp{number}-linux_x86_64.whl" for number in (311, 312)]
    assert names(c_app, PIP_311) == [wheels[0], f"alpha-{VERSION}.tar.gz"]
    assert names(c_app, PIP_312) == [*wheels, f"alpha-{VERSION}.tar.gz"]
    [state] = c_app.get("/root/forks/+forks/alpha", Accept="application/json").json["result"]
    assert sorted(file["filename"] for file in state["files"]) == [*wheels, f"alpha-{VERSION}.tar.gz"]
    [source] = [file for file in c_app.files(PAGE, User_Agent=PIP_312) if file["filename"].endswith(".tar.gz")]
    assert c_app.get(urljoin(PAGE, source["url"])).body == b"made with 3.11"


def test_file__that_two_builds_made_alike_is_listed_once(c_app: App, builder: HeldBuilder) -> None:
    builder.tags = lambda _order: PURE
    names(c_app, PIP_311)
    with builder.build(replace(builder.orders[0], python="3.12"), Follower()) as built:
        Releases(c_app.xom).publish(builder.orders[1], built)
    [state] = c_app.get("/root/forks/+forks/alpha", Accept="application/json").json["result"]
    assert [file["filename"] for file in state["files"]] == [f"alpha-{VERSION}-{PURE}.whl"]
