"""Replicas with real processes: a miss is built on the primary and served by the replica."""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from devpi_forkbuilder.devpi.names import SEVEN
from tests.clients import Pip, Uv
from tests.devpi import ROOT_PASSWORD
from tests.live import SIMPLE_JSON, Host, Live, stamped, wheel_of
from tests.publicindex import public_index
from tests.sites import NONE_FETCHED, Site, readers_plugin, running_site

pytestmark = pytest.mark.functional
PIP = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}


@pytest.fixture(scope="module")
def site(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A primary and two replicas for everybody; each test takes an index of its own."""
    folder = tmp_path_factory.mktemp("site")
    environment = {"PYTHONPATH": str(readers_plugin(folder / "plugin"))}
    with running_site(folder, host, devpi_templates(False), replicas=2, threads=128, environment=environment) as made:
        yield made


@pytest.fixture(scope="module")
def lagging(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The same with a replica that fetches no file ahead."""
    folder = tmp_path_factory.mktemp("lagging")
    environment = {"PYTHONPATH": str(readers_plugin(folder / "plugin"))}
    with running_site(folder, host, devpi_templates(False), options=NONE_FETCHED, environment=environment) as made:
        yield made


def content(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        data: bytes = answer.read()
    return data


def test_miss__on_a_replica_is_built_on_the_primary_and_served_by_the_replica(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    file = site.replica.file(index, fork.project)
    assert file["filename"] == wheel_of(fork)
    assert file["url"].startswith(site.replica.server.url)
    assert host.git.fetches(fork.name) == 1
    assert site.primary.file(index, fork.project)["hashes"] == file["hashes"]
    kept = {path.name for path in site.replica.server.serverdir.glob(".forkbuilder/*")}
    assert not {name for name in kept if not name.startswith("simple.sqlite")}, "a replica builds nothing"


@pytest.mark.network
def test_trace__leads_from_the_replicas_log_to_the_primarys(site: Site, host: Host) -> None:
    trace = os.urandom(16).hex()
    fork = host.fork("inline")
    index = site.index_of(fork)
    site.replica.page(index, fork.project, traceparent=f"00-{trace}-00f067aa0ba902b7-01").check()
    for live in (site.replica, site.primary):
        assert re.search(rf"{fork.project} .*trace {trace}\]  built in", live.server.log_text())


def test_miss__two_replicas_two_installers_one_build(site: Site, host: Host, pip_new: Pip, uv: Uv) -> None:
    fork = host.slow(2)
    index = site.index_of(fork)
    targets = [pip_new.new_folder("target"), uv.new_folder("target")]
    running = [
        client.start(replica.url(index), fork.project, target=target)
        for client, replica, target in zip((pip_new, uv), site.replicas, targets, strict=True)
    ]
    for process in running:
        process.wait(120).check()
    assert all(list(target.glob(f"slow-{stamped(fork)}.dist-info")) for target in targets)
    assert host.git.fetches(fork.name) == 1
    assert site.primary.log(index, fork).count("2.0 seconds to go") == 1


def test_miss__through_an_index_that_inherits(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    site.primary.create(f"{index}-team", bases=[index])
    site.settle()
    assert site.replica.file(f"{index}-team", fork.project)["filename"] == wheel_of(fork)


def test_failure__is_the_primarys_placeholder_and_points_at_the_replica(site: Site, host: Host) -> None:
    fork = host.fork("fails")
    index = site.index_of(fork)
    file = site.replica.file(index, fork.project)
    assert file["filename"] == site.primary.file(index, fork.project)["filename"]
    answer = site.replica.server.get(file["url"])
    log = f"{site.replica.server.url}/{index}/+forks/{fork.project}/{fork.commit}/log"
    assert (answer.status, answer.reason.split("; see ")) == (424, [answer.reason.split("; see ")[0], log])
    assert answer.reason.startswith(f"Build of fails 1.0.2 from {fork.commit[:7]} failed (building)")
    assert "its frobnicator is missing" in answer.text
    assert "its frobnicator is missing" in site.replica.server.get(log).check().text
    assert len([line for line in host.git.requests if line.name == fork.name and line.kind == "fetch"]) == 1


def test_views__states_are_the_primarys_with_the_replicas_links(site: Site, host: Host) -> None:
    fork = host.slow(1)
    index = site.index_of(fork)
    own = site.replica.build(index, fork.project).check(202).result[0]
    seen = {site.replica.wait_for(index, fork.project, "building")["state"]}
    assert "seconds to go" in site.replica.wait_for_log(index, fork, "seconds to go")
    built = site.replica.wait_for(index, fork.project, "built")
    assert seen == {"building"}
    assert built["log_url"] == f"{site.replica.server.url}/{index}/+forks/slow/{fork.commit}/log"
    assert built["files"][0]["url"].startswith(site.replica.server.url)
    assert own["commit"] == fork.commit
    page = site.replica.server.get(f"{index}/+forks", {"Accept": "text/html"}).check().text
    assert site.replica.server.url in page
    assert site.primary.server.url not in page


def test_views__a_part_of_a_log(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    site.replica.file(index, fork.project)
    whole = site.primary.log(index, fork)
    path = f"{index}/+forks/{fork.project}/{fork.commit}/log"
    part = site.replica.server.get(path, {"Range": "bytes=0-9"})
    assert (part.status, part.text) == (206, whole[:10])
    assert site.replica.log(index, fork, tail=1) == site.primary.log(index, fork, tail=1)


def test_views__who_may_not_read_on_the_replica_is_not_forwarded(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.primary.index_of(fork, title="private")
    site.settle()
    replica = site.replica.server
    assert replica.get(f"{index}/+forks").status == 403
    assert replica.get(f"{index}/+forks/{fork.project}/{fork.commit}/log").status == 403
    assert replica.get(f"{index}/+simple/{fork.project}/", PIP).status == 401
    assert host.git.fetches(fork.name) == 0
    replica.as_user("root", ROOT_PASSWORD)
    assert replica.api("GET", f"{index}/+forks", user="root").check().result[0]["state"] == "wanted"
    page = replica.api("GET", f"{index}/+simple/{fork.project}/", user="root", headers=PIP).check()
    assert page.json["files"][0]["filename"] == wheel_of(fork)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Devpi-Replica-Uuid": "0" * 32, "Authorization": "Bearer wrong.token.here"},
        {"Authorization": "Bearer wrong.token.here"},
        {"X-Devpi-Replica-Uuid": "0" * 32},
    ],
    ids=["anonymous", "wrong token", "token without a name", "name without a token"],
)
def test_forwarded_miss__needs_the_replicas_identity_or_a_readers(
    site: Site, host: Host, headers: dict[str, str]
) -> None:
    fork = host.fork("inline")
    index = site.primary.index_of(fork, title="private")
    answer = site.primary.server.api("POST", f"{index}/+forks/{fork.project}/miss", {}, headers=headers)
    assert answer.status == 403
    site.primary.server.as_user("root", ROOT_PASSWORD)
    states = site.primary.server.api("GET", f"{index}/+forks", user="root").check().result
    assert [state["state"] for state in states] == ["wanted"]
    assert host.git.fetches(fork.name) == 0


def test_files__bytes_are_here_when_the_page_lists_them(lagging: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = lagging.index_of(fork)
    file = lagging.replica.file(index, fork.project)
    wheel = lagging.files(lagging.primary.server)
    assert lagging.files(lagging.replica.server) == wheel
    assert content(file["url"]) in wheel.values()
    assert content(f"{file['url'].partition('#')[0]}.metadata").startswith(b"Metadata-Version")


def test_files__what_another_server_had_built_is_fetched_before_the_page(lagging: Site, host: Host) -> None:
    """Nobody asked this replica when it was built; without its bytes devpi gives the wheel as its own metadata."""
    fork = host.fork("inline")
    index = lagging.index_of(fork, title="private")
    server = lagging.primary.server.as_user("root", ROOT_PASSWORD)
    page = server.api("GET", f"{index}/+simple/{fork.project}/", user="root", headers=PIP).check()
    assert page.json["files"][0]["filename"] == wheel_of(fork)
    lagging.settle()
    assert lagging.files(lagging.replica.server) != lagging.files(server)
    replica = lagging.replica.server.as_user("root", ROOT_PASSWORD)
    page = replica.api("GET", f"{index}/+cached/{fork.project}/", user="root", headers=PIP).check()
    assert page.json["files"][0]["filename"] == wheel_of(fork)
    assert (
        lagging.files(replica).items()
        >= {path: data for path, data in lagging.files(server).items() if path.endswith(wheel_of(fork))}.items()
    )


def heard_of(site: Site, host: Host) -> str:
    """The path of a wheel's metadata, after its page came from elsewhere, as behind a load balancer."""
    fork = host.fork("inline")
    index = site.index_of(fork)
    file = site.primary.file(index, fork.project)
    site.settle()
    return file["url"].partition("#")[0].removeprefix(f"{site.primary.server.url}/") + ".metadata"


def test_files__metadata_is_that_of_a_file_that_is_fetched_for_it(lagging: Site, host: Host) -> None:
    path = heard_of(lagging, host)
    answer = lagging.replica.server.get(path).check()
    assert answer.body.startswith(b"Metadata-Version"), answer.body[:100]
    assert answer.body == content(f"{lagging.primary.server.url}/{path}")


def test_files__metadata_while_the_primary_is_away(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path
) -> None:
    """A fork's is asked for again; a mirror's file was published elsewhere, and there devpi asks for its metadata."""
    told = b"Metadata-Version: 2.1\nName: released\nVersion: 1.0\n"
    with (
        public_index(tmp_path / "public") as public,
        running_site(tmp_path, host, devpi_templates(False), options=NONE_FETCHED) as site,
    ):
        wheel = public.add_wheel("released", "1.0")
        wheel.with_name(f"{wheel.name}.metadata").write_bytes(told)
        primary, replica = site.primary.server.as_user("root", ROOT_PASSWORD), site.replica.server
        mirror = {"mirror_url": public.url, "mirror_provides_core_metadata": True, "mirror_no_project_list": True}
        primary.create_index("root/released", type="mirror", bases=None, **mirror).check()
        own = heard_of(site, host)
        page = f"{replica.url}/root/released/+simple/released/"
        [file] = replica.get(page, PIP).check().json["files"]
        mirrored = urlsplit(urljoin(page, file["url"])).path.lstrip("/")
        primary.get(mirrored).check()
        site.settle()
        primary.stop()
        answer = replica.get(own)
        assert (answer.status, "retry-after" in answer.headers) == (503, True)
        assert replica.get(f"{mirrored}.metadata").check().body == told


def test_public_project__that_takes_longer_than_devpi_waits(lagging: Site, tmp_path: Path) -> None:
    """Nobody has asked for it yet: devpi gives a mirror 5 seconds, and then a replica answered 404."""
    with public_index(tmp_path / "public") as public:
        public.add_wheel("remote", "1.0")
        public.delays["remote"] = 7.0
        primary = lagging.primary.server.as_user("root", ROOT_PASSWORD)
        mirror = {"mirror_url": public.url, "mirror_no_project_list": True}
        primary.create_index("root/public", type="mirror", bases=None, **mirror).check()
        index = lagging.primary.index(bases=("root/public",))
        lagging.settle()
        assert list(lagging.replica.files(index, "remote")) == ["remote-1.0-py3-none-any.whl"]
        # the primary of version 7 answers 502 for what its mirror has found missing (7.0.0b4)
        assert lagging.replica.page(index, "nowhere").status == (503 if SEVEN else 404)


def test_cached__on_a_replica_never_asks_the_primary(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    page = site.replica.server.get(f"{index}/+cached/{fork.project}/", PIP).check()
    assert "/failed/not-built/" in page.json["files"][0]["url"]
    assert host.git.fetches(fork.name) == 0
    assert site.primary.state(index, fork.project)["state"] == "wanted"


def test_writes__pins_are_set_through_a_replica(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    replica = Live(site.replica.server, host)
    index = site.index_of()
    replica.pin(index, host.pin(fork))
    assert replica.file(index, fork.project)["filename"] == wheel_of(fork)


def test_metrics__tell_of_conversations(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    before = site.replica.metric("conversations_total")
    index = site.index_of(fork)
    site.replica.file(index, fork.project)
    site.replica.file(index, fork.project)
    assert site.replica.metric("conversations_total") == before + 1
    assert site.replica.metric("primary_given_up") == 0
