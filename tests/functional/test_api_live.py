"""The HTTP API while things happen: builds run, uploads come in, logs grow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.devpi import ROOT_PASSWORD
from tests.functional.conftest import MakeLive
from tests.live import Live, in_threads, upload, wheel_of
from tests.server.app import make_wheel

pytestmark = pytest.mark.functional
SHORT = 5.0
"""Seconds; a request that waited for the builds of these tests would take far longer."""


def _took(work: Callable[[], object]) -> float:
    before = time.monotonic()
    work()
    return time.monotonic() - before


def test_states__of_a_pin_through_its_life(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    wanted = live.state(index, "inline")
    assert (wanted["state"], wanted["files"], wanted["error"], wanted["log_url"]) == ("wanted", [], None, None)
    assert (wanted["project"], wanted["version"], wanted["commit"]) == ("inline", "1.0.2", fork.commit)
    assert wanted["url"] == f"{live.host.git.url}/{fork.name}.git"
    (answered,) = live.build(index, "inline").check(202).result
    assert answered["state"] in {"queued", "fetching"}
    gate.wait_until_reached()
    fetching = live.state(index, "inline")
    assert fetching["state"] == "fetching"
    assert fetching["log_url"].endswith(f"/{index}/+forks/inline/{fork.commit}/log")
    gate.open()
    built = live.wait_for(index, "inline")
    assert built["state"] == "built"
    assert built["targets"] == ["any"]
    assert built["queued_at"] <= built["started_at"] <= built["finished_at"]
    assert all(built["seconds"][step] is not None for step in ("fetch", "build", "check", "publish"))
    (file,) = built["files"]
    assert file["filename"] == wheel_of(fork)
    assert len(live.server.get(file["url"]).check().body) == file["size"]


def test_states__list_of_all_pins(live: Live) -> None:
    forks = [live.host.fork("inline", project=f"fork-{number}") for number in range(3)]
    index = live.index_of(*forks)
    live.outcome(index, "fork-1")
    states = live.server.get(f"{index}/+forks").check().result
    assert [(one["project"], one["state"]) for one in states] == [
        ("fork-0", "wanted"),
        ("fork-1", "built"),
        ("fork-2", "wanted"),
    ]
    page = live.server.get(f"{index}/+forks", {"Accept": "text/html"}).check()
    assert page.headers["content-type"].startswith("text/html")
    assert all(fork.commit[:12] in page.text for fork in forks)


def test_long_poll__answers_when_the_state_changes(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    gate = live.host.git.hold(fork.name)
    live.build(index, "inline").check(202)
    gate.wait_until_reached()
    assert live.states(index, "inline", wait=0.2)[0]["state"] == "fetching"  # the time was up
    found: list[str] = []
    (poll,) = in_threads([lambda: found.append(live.states(index, "inline", wait=50)[0]["state"])])
    gate.open()
    poll.join(SHORT * 4)
    assert found
    assert found[0] in {"building", "checking", "publishing", "built"}
    assert _took(lambda: live.wait_for(index, "inline")) < 30
    assert _took(lambda: live.states(index, "inline", wait=50)) < 30  # nothing more will happen


def test_log__grows_while_the_build_runs(live: Live) -> None:
    fork = live.host.slow(8)
    index = live.index_of(fork)
    live.build(index, "slow").check(202)
    early = live.wait_for_log(index, fork, "seconds to go")
    assert live.state(index, "slow")["state"] == "building"
    later = live.wait_for_log(index, fork, "5.0 seconds to go")
    assert later.startswith(early)
    assert len(later) > len(early)
    live.wait_for(index, "slow", "built")
    whole = live.log(index, fork)
    assert whole.startswith(later)
    assert f"Published: {wheel_of(fork)}" in whole


def test_log__parts(live: Live) -> None:
    fork = live.host.fork("fails")
    index = live.index_of(fork)
    live.outcome(index, "fails")
    whole = live.log(index, fork)
    assert live.log(index, fork, tail=2).splitlines() == whole.splitlines()[-2:]
    path = f"{index}/+forks/fails/{fork.commit}/log"
    part = live.server.get(path, {"Range": "bytes=5-14"})
    assert (part.status, part.body) == (206, whole.encode()[5:15])
    assert part.headers["content-range"] == f"bytes 5-14/{len(whole.encode())}"
    full = live.server.get(path).check()
    assert full.headers["content-type"] == "text/plain; charset=utf-8"
    assert full.headers["x-content-type-options"] == "nosniff"
    assert live.server.get(path, {"Range": "bytes=99999999-"}).status == 416
    assert live.server.get(f"{path}?tail=many").status == 400
    assert live.server.get(f"{index}/+forks/fails/{'0' * 40}/log").status == 404


@pytest.mark.parametrize("what", ["build", "miss"])
def test_post__answers_at_once_while_builds_run_and_uploads_come_in(own: MakeLive, what: str, tmp_path: Path) -> None:
    """devpi runs a POST in its write transaction: one that waited would stop every upload."""
    live = own("--forkbuilder-workers", "1")
    slow = live.host.slow(600)
    waiting = [live.host.fork("inline", project=f"waiting-{number}") for number in range(5)]
    index = live.index_of(slow, *waiting)
    live.create("root/uploads")
    wheels = [make_wheel(tmp_path, "uploaded", f"1.{number}") for number in range(10)]
    live.build(index, "slow").check(202)
    live.wait_for_log(index, slow, "seconds to go")
    uploads: list[float] = []

    def bring() -> None:
        for number, wheel in enumerate(wheels):
            uploads.append(
                _took(lambda w=wheel, n=number: upload(live.server, "root/uploads", w, "uploaded", f"1.{n}").check())
            )

    (bringing,) = in_threads([bring])
    posts = [_took(lambda f=fork: _post(live, index, f.project, what)) for fork in [slow, *waiting] * 3]
    bringing.join(60)
    assert len(uploads) == len(wheels)
    print(f"POST {what}: {max(posts):.3f} s at most; uploads meanwhile: {max(uploads):.3f} s at most")
    assert max(posts) < SHORT
    assert max(uploads) < SHORT
    assert live.metric("queued") == len(waiting)
    assert live.host.git.fetches(slow.name) == 1


def _post(live: Live, index: str, project: str, what: str) -> None:
    live.server.as_user("root", ROOT_PASSWORD)
    user = "root" if what == "build" else None
    live.server.api("POST", f"{index}/+forks/{project}/{what}", {}, user=user).check(202)


def test_post__bad_bodies_and_unknown_names(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    assert live.build(index, "inline", python="three").status == 400
    assert live.build(index, "inline", nonsense=1).status == 400
    assert live.build(index, "inline", commit="0" * 40).status == 404
    assert live.build(index, "unknown").status == 404
    assert live.build("root/none", "inline").status == 404
    assert "message" in live.build(index, "unknown").json
    assert live.host.git.requests_for(fork.name) == ()


# who may do what


@pytest.fixture(scope="module")
def people(shared: Live) -> Live:
    """A user beside root, logged in."""
    shared.server.create_user("stranger")
    return shared


def test_permissions__pinning(people: Live) -> None:
    """To pin is to run code: only whom the server names may."""
    pin = people.host.pin(people.host.fork("inline"))
    refused = people.server.create_index("stranger/forks", type="forkbuilder", forks=[pin])
    assert refused.status == 400
    assert "--forkbuilder-allow-user" in refused.text
    index = people.index()
    change = [f"forks={pin}"]
    assert people.server.api("PATCH", index, change, user="stranger").status == 403
    assert people.server.api("PATCH", index, change).status in {401, 403}
    assert people.server.api("GET", index).check().result["forks"] == []


def test_permissions__building(people: Live) -> None:
    fork = people.host.fork("inline")
    index = people.index_of(fork)
    path = f"{index}/+forks/inline/build"
    assert people.server.api("POST", path, {}).status in {401, 403}
    assert people.server.api("POST", path, {}, user="stranger").status == 403
    assert people.host.git.requests_for(fork.name) == ()
    assert people.state(index, "inline")["state"] == "wanted"
    people.server.modify_index(index, acl_upload="stranger").check()
    assert people.server.api("POST", path, {}, user="stranger").status == 202


def test_permissions__names_are_no_secret_of_ours(people: Live) -> None:
    """Neither for an index that is not there, nor for one of another type."""
    people.create("root/ordinary")
    assert people.server.get("root/nothing/+forks").status == 404
    assert people.server.get("root/ordinary/+forks").status == 404
