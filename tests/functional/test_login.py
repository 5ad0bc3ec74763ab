"""Logins enforced: nginx with devpi-lockdown in front of a primary and a replica."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from uv import find_uv_bin

from tests.clients import Installer
from tests.devpi import ROOT_PASSWORD, Answer
from tests.live import SIMPLE_JSON, Host, Live, stamped
from tests.nginx import MISSING, NGINX, Nginx
from tests.sites import Site, running_site

pytestmark = [pytest.mark.network, pytest.mark.skipif(NGINX is None, reason=MISSING)]
PIP = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User-Agent": "Mozilla/5.0"}


@pytest.fixture(scope="module")
def lockdown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with devpi-lockdown; what it needs is here."""
    folder = tmp_path_factory.mktemp("lockdown")
    command = [find_uv_bin(), "pip", "install", "-q", "--no-deps", "--python", sys.executable, "--target", str(folder)]
    done = subprocess.run([*command, "devpi-lockdown"], capture_output=True, text=True, check=False, env=os.environ)
    if done.returncode != 0:
        pytest.skip(f"devpi-lockdown cannot be installed: {done.stderr.strip()[-300:]}")
    return folder


@pytest.fixture(scope="module")
def site(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory, lockdown: Path
) -> Iterator[Site]:
    """A primary and a replica, both with devpi-lockdown."""
    environment = {"PYTHONPATH": str(lockdown)}
    with running_site(
        tmp_path_factory.mktemp("site"), host, devpi_templates(False), threads=64, environment=environment
    ) as made:
        yield made


@pytest.fixture(scope="module")
def closed(site: Site, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """What is reached through nginx."""
    folder = tmp_path_factory.mktemp("nginx") / "run"
    replica = site.replica.server
    with Nginx(folder, site.primary.server, replica, disk=replica.serverdir, login=True) as nginx:
        yield Live(nginx, host)


@pytest.fixture
def outsider(closed: Live) -> Callable[..., Answer]:
    """Asks through nginx as somebody who has not logged in."""

    def ask(path: str, method: str = "GET", **headers: str) -> Answer:
        return closed.server.api(method, path, headers={**PIP, **headers})

    return ask


def test_outsider__starts_nothing(site: Site, host: Host, outsider: Callable[..., Answer]) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    for page in ("+simple/inline/", "+cached/inline/", "inline/", "+simple/", "+cached/"):
        answer = outsider(f"{index}/{page}")
        assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="devpi"')
    for post in ("miss", "build"):
        assert outsider(f"{index}/+forks/inline/{post}", "POST").status == 401
    assert site.primary.state(index, "inline")["state"] == "wanted"
    assert host.git.fetches(fork.name) == 0


def test_outsider__reads_nothing(site: Site, host: Host, outsider: Callable[..., Answer]) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    file = site.primary.file(index, "inline")
    site.settle()
    site.wait_for_files(site.replica)
    wheel = "/" + file["url"].partition("#")[0].split("/", 3)[3]
    commit = f"/{index}/+forks/inline/{fork.commit}"
    for path in (
        f"/{index}/+forks",
        f"/{index}/+forks/inline?wait=1",
        f"{commit}/log",
        f"{commit}/source",
        f"{commit}/failed/building/inline-1.0-py3-none-any.whl",
        "/+forkbuilder/metrics",
        "/+status",
        "/+changelog/1",
        "/",
        f"/{index}",
        wheel,
        f"{wheel}.metadata",
        f"/{index}/+f/../+login/../{wheel}",
    ):
        answer = outsider(path)
        assert answer.status == 401, path
        assert fork.commit[:12] not in answer.text
        assert answer.body[:2] != b"PK"


def test_outsider__cannot_say_who_asks(site: Site, host: Host, outsider: Callable[..., Answer]) -> None:
    index = site.index_of(host.fork("inline"))
    page = f"{index}/+simple/inline/"
    assert outsider(page, **{"X-Original-URI": "/+login"}).status == 401
    assert outsider(page, **{"X-Devpi-Auth": "cm9vdDpyb290"}).status == 401
    assert outsider("+authcheck").status == 404


def test_outsider__may_log_in_and_ask_what_server_this_is(closed: Live, outsider: Callable[..., Answer]) -> None:
    assert outsider("+api", Accept="application/json").status == 200
    assert closed.server.api("POST", "+login", {"user": "root", "password": "wrong"}).status == 401
    closed.server.login("root", ROOT_PASSWORD)


def test_installer__with_user_and_password_in_the_url(
    site: Site, host: Host, closed: Live, installer: Installer
) -> None:
    fork = host.slow(4)
    index = site.index_of(fork)
    site.primary.server.as_user("root", ROOT_PASSWORD)
    url = closed.url(index)
    target = installer.new_folder("target")  # type: ignore[attr-defined]  # both clients have it
    installer.install(url.replace("//", f"//root:{ROOT_PASSWORD}@"), "slow", target=target).check()
    assert list(target.glob(f"slow-{stamped(fork)}.dist-info"))
    refused = installer.install(url, "slow")
    assert refused.returncode != 0


def test_installer__sees_why_a_build_failed(site: Site, host: Host, closed: Live, installer: Installer) -> None:
    fork = host.fork("fails")
    index = site.index_of(fork)
    ended = installer.install(closed.url(index).replace("//", f"//root:{ROOT_PASSWORD}@"), "fails")
    output = " ".join(ended.output.split())
    assert f"Build of fails 1.0.2 from {fork.commit[:7]} failed (building): " in output
    assert ROOT_PASSWORD not in output


def test_file__for_who_is_logged_in_comes_from_the_disk(site: Site, host: Host, closed: Live) -> None:
    index = site.index_of(host.fork("inline"))
    file = site.primary.file(index, "inline")
    site.settle()
    site.wait_for_files(site.replica)
    path = "/" + file["url"].partition("#")[0].split("/", 3)[3]
    nginx = closed.server.as_user("root", ROOT_PASSWORD)
    answer = nginx.api("GET", path, user="root", headers={"Accept": "*/*"}).check()
    assert isinstance(nginx, Nginx)
    assert hashlib.sha256(answer.body).hexdigest() == file["hashes"]["sha256"]
    assert nginx.passed(path)[-1].servers == ()


def test_browser__is_sent_to_the_form_and_gets_in(site: Site, host: Host, closed: Live) -> None:
    index = site.index_of(host.fork("inline"))
    asked = closed.server.get(f"{index}/+forks", BROWSER)
    assert (asked.status, urllib.parse.urlsplit(asked.headers["location"]).path) == (302, "/+login")
    assert b"password" in closed.server.get(asked.headers["location"], BROWSER).check().body
    cookie = form_login(closed.server.port, asked.headers["location"])
    page = closed.server.get(f"{index}/+forks", {**BROWSER, "Cookie": cookie}).check()
    assert "inline" in page.text


def form_login(port: int, location: str) -> str:
    """Send the form as a browser does; the cookie."""
    target = location[location.index("/+login") :]
    form = urllib.parse.urlencode({"username": "root", "password": ROOT_PASSWORD, "submit": "Login"})
    headers = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", target, form, headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 302, body
        found = re.search(r"auth_tkt=[^;]+", answer.headers["Set-Cookie"])
    assert found
    return found[0]
