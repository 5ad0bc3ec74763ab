"""nginx in front of a primary and two replicas: what installers see through it, and who answers them."""

from __future__ import annotations

import hashlib
import http.client
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.clients import Installer, Uv
from tests.devpi import ROOT_PASSWORD
from tests.functional.conftest import uv_alone
from tests.live import SIMPLE_JSON, Host, Live, stamped, upload
from tests.nginx import MISSING, NGINX, Nginx, raw
from tests.server.app import make_wheel
from tests.sites import Site, readers_plugin, running_site

pytestmark = pytest.mark.skipif(NGINX is None, reason=MISSING)
PIP = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}


class Cluster:
    """nginx, and what is behind it; the first replica's files are on nginx's disk."""

    def __init__(self, site: Site, nginx: Nginx, host: Host) -> None:
        self.site = site
        self.nginx = nginx
        self.front = Live(nginx, host)
        self.primary = site.primary.server.port
        self.replicas = {replica.server.port for replica in site.replicas}


@contextmanager
def cluster_of(folder: Path, host: Host, template: Path) -> Iterator[Cluster]:
    environment = {"PYTHONPATH": str(readers_plugin(folder / "plugin"))}
    with running_site(folder, host, template, replicas=2, threads=64, environment=environment) as site:
        servers = [replica.server for replica in site.replicas]
        disk = site.replica.server.serverdir
        with Nginx(folder / "nginx", site.primary.server, *servers, disk=disk) as nginx:
            yield Cluster(site, nginx, host)


@pytest.fixture(scope="module")
def cluster(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """For everybody; each test takes an index of its own, and leaves every server running."""
    with cluster_of(tmp_path_factory.mktemp("cluster"), host, devpi_templates(False)) as made:
        yield made


@pytest.fixture(autouse=True)
def no_installer_left() -> None:
    """Not the one of the other tests: servers that a test kills and starts again go on for the next."""


def path_of(url: str) -> str:
    """What nginx's log calls it."""
    return "/" + url.partition("//")[2].partition("/")[2].partition("#")[0]


# pages and failures


@pytest.mark.parametrize("encoding", [pytest.param("identity", marks=pytest.mark.slow), "gzip"])
def test_held__newlines_come_through_while_it_is_built(cluster: Cluster, host: Host, encoding: str) -> None:
    fork = host.slow(8)
    index = cluster.site.index_of(fork)
    with closing(http.client.HTTPConnection("127.0.0.1", cluster.nginx.port, timeout=60)) as connection:
        connection.request("GET", f"/{index}/+simple/slow/", headers={**PIP, "Accept-Encoding": encoding})
        answer = connection.getresponse()
        unpack = zlib.decompressobj(31) if answer.headers["Content-Encoding"] == "gzip" else None
        first = b""
        while not first:
            block = answer.read1(100)
            first = unpack.decompress(block) if unpack else block
        state = cluster.front.state(index, "slow")["state"]
        rest = answer.read()
    assert (first.strip(), state) == (b"", "building")
    assert json.loads(unpack.decompress(rest) if unpack else rest)["files"][0]["filename"].endswith(".whl")
    assert (unpack is not None) == (encoding == "gzip")


@uv_alone
def test_held__an_installer_waits_and_installs(cluster: Cluster, host: Host, installer: Installer) -> None:
    fork = host.slow(6)
    index = cluster.site.index_of(fork)
    target = installer.new_folder("target")  # type: ignore[attr-defined]  # both clients have it
    installer.install(cluster.front.url(index), "slow", target=target).check()
    assert list(target.glob(f"slow-{stamped(fork)}.dist-info"))
    assert host.git.fetches(fork.name) == 1


def test_failure__its_phrase_arrives_at_the_installer(cluster: Cluster, host: Host, installer: Installer) -> None:
    fork = host.fork("fails")
    index = cluster.site.index_of(fork)
    ended = installer.install(cluster.front.url(index), "fails")
    log = f"{cluster.nginx.url}/{index}/+forks/fails/{fork.commit}/log"
    assert ended.returncode != 0
    output = " ".join(ended.output.split())
    assert f"Build of fails 1.0.2 from {fork.commit[:7]} failed (building): " in output
    assert f"; see {log}" in output
    assert "its frobnicator is missing" in cluster.front.server.get(log).check().text


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_page__validators_come_through(cluster: Cluster, host: Host, encoding: str) -> None:
    """nginx makes an ETag weak when it compresses; the page is found by it all the same."""
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    url = f"{index}/+simple/inline/"
    cluster.front.file(index, "inline")
    cluster.site.settle()
    for replica in cluster.site.replicas:
        cluster.site.wait_for_files(replica)
    asking = {**PIP, "Accept-Encoding": encoding}
    etag = cluster.nginx.get(url, asking).check().headers["etag"]
    again = cluster.nginx.get(url, {**asking, "If-None-Match": etag})
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"].removeprefix("W/") == etag.removeprefix("W/")


def test_cut_off__is_seen_as_that_and_takes_no_replica_away(cluster: Cluster, host: Host) -> None:
    """What a caching devpi must not keep: cut off behind nginx, it is so in front of it."""
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    gate = host.git.hold(fork.name)
    headers = {"Accept": SIMPLE_JSON, "User-Agent": "devpi-server/6.20.3 (py3.11.7; linux)"}
    with closing(http.client.HTTPConnection("127.0.0.1", cluster.nginx.port, timeout=60)) as connection:
        connection.request("GET", f"/{index}/+simple/inline/", headers=headers)
        answer = connection.getresponse()
        gate.wait_until_reached()
        host.git.hide(fork.name)
        gate.open()
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    for number in range(6):
        cluster.nginx.get(f"+api?after-{number}").check()
    asked = [cluster.nginx.passed(f"/+api?after-{number}")[0].servers for number in range(6)]
    assert {port for servers in asked for port in servers} == cluster.replicas


# who answers


def test_reads__are_shared_by_the_replicas(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    for _ in range(8):
        cluster.front.page(index, "inline").check()
    asked = [one.servers for one in cluster.nginx.passed(f"/{index}/+simple/inline/", 8)]
    assert {port for servers in asked for port in servers} == cluster.replicas


def test_reads__of_devpi_client_go_to_the_primary(cluster: Cluster) -> None:
    cluster.nginx.get("+api?client", {"User-Agent": "devpi-client/7.3.0 (py3.11.7; linux)"}).check()
    cluster.nginx.get("+api?other", {"User-Agent": "curl/8"}).check()
    (client,), (other,) = cluster.nginx.passed("/+api?client"), cluster.nginx.passed("/+api?other")
    assert client.servers == (cluster.primary,)
    assert set(other.servers) < cluster.replicas


def test_writes__logins_and_uploads_go_to_the_primary(cluster: Cluster, tmp_path: Path) -> None:
    index, wheel = "root/uploads", make_wheel(tmp_path, "local", "1.0")
    cluster.nginx.create_index(index).check()
    upload(cluster.nginx, index, wheel, "local", "1.0").check()
    asked = {path: cluster.nginx.passed(path)[-1].servers for path in ("/+login", f"/{index}", f"/{index}/")}
    assert set(asked.values()) == {(cluster.primary,)}
    cluster.site.settle()
    file = cluster.front.file(index, "local")
    assert file["hashes"]["sha256"] == hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_builds__are_asked_for_at_the_primary_and_followed_at_replicas(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    assert cluster.front.outcome(index, "inline")["state"] == "built"
    assert cluster.nginx.passed(f"/{index}/+forks/inline/build")[-1].servers == (cluster.primary,)


def test_death__of_the_primary_leaves_what_is_built(cluster: Cluster, host: Host, uv: Uv) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    cluster.front.file(index, "inline")
    cluster.site.settle()
    cluster.site.primary.server.kill()
    try:
        uv.install(cluster.front.url(index), "inline").check()
        client = cluster.nginx.get("+api?dead", {"User-Agent": "devpi-client/7.3.0 (py3.11.7; linux)"}).check()
        refused = cluster.nginx.api("PUT", "somebody", {"password": "of-somebody"})
    finally:
        cluster.site.primary.server.start()
    (passed,) = cluster.nginx.passed("/+api?dead")
    assert client.status == 200
    assert passed.servers[0] == cluster.primary
    assert passed.servers[-1] in cluster.replicas
    assert refused.status == 502


def test_death__of_a_replica_is_passed_over(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    dead, alive = (replica.server for replica in cluster.site.replicas)
    dead.kill()
    try:
        answers = [cluster.front.page(index, "inline").status for _ in range(6)]
    finally:
        dead.start()
    asked = [one.servers for one in cluster.nginx.passed(f"/{index}/+simple/inline/", 6)]
    assert answers == [200] * 6
    assert {servers[-1] for servers in asked} == {alive.port}
    assert (dead.port, alive.port) in asked


def test_death__of_both_replicas_leaves_the_primary(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    for replica in cluster.site.replicas:
        replica.server.kill()
    try:
        answers = [cluster.front.page(index, "inline").status for _ in range(3)]
    finally:
        for replica in cluster.site.replicas:
            replica.server.start()
    assert answers == [200] * 3
    assert cluster.nginx.passed(f"/{index}/+simple/inline/", 3)[-1].servers == (cluster.primary,)


# files from the disk


def test_file__comes_from_the_disk_with_its_bytes(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    file = cluster.front.file(index, "inline")
    cluster.site.wait_for_files(cluster.site.replica)
    answer = cluster.nginx.get(file["url"]).check()
    assert hashlib.sha256(answer.body).hexdigest() == file["hashes"]["sha256"]
    assert answer.headers["cache-control"] == "max-age=365000000, immutable, public"
    assert answer.headers["content-type"] == "application/octet-stream"
    (passed,) = cluster.nginx.passed(path_of(file["url"]))
    assert passed.servers == ()
    part = cluster.nginx.get(file["url"], {"Range": "bytes=-10"})
    assert (part.status, part.body) == (206, answer.body[-10:])


def test_file__that_is_not_on_the_disk_is_devpis(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    file = cluster.front.file(index, "inline")
    metadata = cluster.nginx.get(f"{file['url'].partition('#')[0]}.metadata").check()
    assert "Name: inline" in metadata.text
    missing = cluster.nginx.get(f"{index}/+f/123/4567890abcdef/nothing-1.0-py3-none-any.whl")
    assert missing.status == 404
    assert cluster.nginx.get("root/nowhere/+f/123/4567890abcdef/nothing-1.0-py3-none-any.whl").status == 404


def test_file__what_is_not_a_download_is_devpis(cluster: Cluster, host: Host) -> None:
    fork = host.fork("inline")
    index = cluster.site.index_of(fork)
    file = cluster.front.file(index, "inline")
    cluster.site.wait_for_files(cluster.site.replica)
    told = cluster.nginx.get(file["url"], {"Accept": "application/json"}).check()
    assert told.json["type"] == "releasefilemeta"
    path = path_of(file["url"])
    cluster.nginx.as_user("root", ROOT_PASSWORD)
    assert cluster.nginx.api("DELETE", path, user="root").check().status == 200
    assert cluster.nginx.passed(path, 2)[-1].servers == (cluster.primary,)
    cluster.site.settle()
    cluster.site.wait_for_files(cluster.site.replica)
    assert cluster.nginx.get(path).status in {404, 410}


@pytest.fixture
def secret(cluster: Cluster, host: Host) -> str:
    """The path of a file on the disk that only root may read, on an index beside an open one."""
    fork = host.fork("inline")
    index = cluster.site.index_of(fork, title="private")
    cluster.site.primary.server.as_user("root", ROOT_PASSWORD)
    page = cluster.site.primary.server.api("GET", f"{index}/+simple/inline/", user="root", headers=PIP, timeout=60)
    (file,) = page.check().json["files"]
    cluster.site.settle()
    cluster.site.wait_for_files(cluster.site.replica)
    parts = file["url"].partition("#")[0].split("/")
    return "/" + "/".join([index, *parts[parts.index("+f") :]])


def test_file__devpis_permission_is_kept(cluster: Cluster, secret: str) -> None:
    assert cluster.nginx.get(secret).status == 403
    cluster.nginx.as_user("root", ROOT_PASSWORD)
    assert cluster.nginx.api("GET", secret, user="root", headers={"Accept": "*/*"}).check().body[:2] == b"PK"
    refused, given = cluster.nginx.passed(secret, 2)[-2:]
    assert given.servers == ()
    assert refused.servers  # devpi itself said no


WAYS_AROUND = (
    "/{open}/+f/../../../{secret}",
    "/{open}/+f/%2e%2e/%2e%2e/%2e%2e/{secret}",
    "/{open}/+f/..%2f..%2f..%2f{secret}",
    "/{open}/../../{secret}",
    "//{secret}",
    "/{secret}?x=/{open}/+f/",
    "/{secret}#/{open}",
    "/%72oot/{rest}",
)


@pytest.mark.parametrize("way", WAYS_AROUND)
def test_file__no_way_around_the_permission(cluster: Cluster, host: Host, secret: str, way: str) -> None:
    index = cluster.site.index_of(host.fork("inline"))
    target = way.format(open=index, secret=secret.lstrip("/"), rest=secret.removeprefix("/root/"))
    for headers in ({}, {"X-Original-URI": f"/{index}/+simple/"}):
        status, body = raw(cluster.nginx, "GET", target, headers)
        assert status in {400, 403, 404}
        assert body[:2] != b"PK"


def test_file__the_address_that_is_asked_about_is_nginxs_own(cluster: Cluster, host: Host, secret: str) -> None:
    index = cluster.site.index_of(host.fork("inline"))
    assert raw(cluster.nginx, "GET", secret, {"X-Original-URI": f"/{index}/+simple/"})[0] == 403
    assert raw(cluster.nginx, "GET", "/+forkbuilder-filecheck", {})[0] == 404
