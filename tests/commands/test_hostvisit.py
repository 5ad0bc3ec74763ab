"""`doctor` on the network: each host is tried in the way that builds reach it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from devpi_forkbuilder.commands.doctor.findings import Finding, Verdict
from devpi_forkbuilder.commands.doctor.githosts import MOST, GitHost, check_hosts, hosts_of
from devpi_forkbuilder.commands.doctor.hostvisit import check_network
from devpi_forkbuilder.commands.doctor.indexvisit import pinned_at
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.options import Options
from devpi_forkbuilder.pipeline.process.programs import find_uv
from tests.commands.test_doctor import answering
from tests.gitserver import GitServer
from tests.repositories import Repositories
from tests.server.test_options import read

PROXY = {"HTTPS_PROXY": "http://somebody:sesame@127.0.0.1:1", "PATH": os.environ["PATH"]}


def options(folder: Path, *prefixes: str, credentials: str = "") -> Options:
    found = replace(read(folder=folder), policy=PinPolicy(prefixes=prefixes))
    if not credentials:
        return found
    file = folder / "credentials"
    file.write_text(credentials)
    file.chmod(0o600)
    return replace(found, credentials=file)


def test_check_network__a_proxy_that_is_not_there(tmp_path: Path) -> None:
    given = options(tmp_path, "https://git.example.com/org/")
    found = {one.name: one for one in check_network(given, PROXY, find_uv(os.environ["PATH"]).path)}
    assert list(found) == ["network", "public-index", "host git.example.com"]
    assert "HTTPS_PROXY=" in found["network"].what
    assert found["public-index"].state is Verdict.WARNING
    assert found["host git.example.com"].state is Verdict.FAILED
    assert "127.0.0.1 port 1" in found["host git.example.com"].what
    assert "SSL_CERT_FILE" in found["host git.example.com"].fix
    assert "sesame" not in "".join(one.what + one.fix for one in found.values())


def test_hosts_of__each_once_and_without_logins(tmp_path: Path) -> None:
    login = "https://me:sesame@git.example.com\nhttps://me:x@other.example:8443/org\n"
    given = options(tmp_path, "https://git.example.com/org/", "ssh://git.example.com/", credentials=login)
    found = [
        one.url for one in hosts_of(given, ["https://pins.example.com/o/n.git", "https://pins.example.com/o/m.git"])
    ]
    assert found == [
        "https://pins.example.com/o/n.git",
        "https://git.example.com/doctor.git",
        "ssh://git.example.com/doctor.git",
        "https://other.example:8443/doctor.git",
    ]


def test_hosts_of__files_have_none(tmp_path: Path) -> None:
    assert hosts_of(options(tmp_path, "file:///srv/git/"), ["file:///srv/git/n.git"]) == ()


def check(given: Options, url: str, folder: Path) -> Finding:
    (found,) = check_hosts(given, {"PATH": os.environ["PATH"]}, folder, hosts_of(given, [url]))
    return found


def test_check_hosts__a_pinned_repository_on_a_host_that_is_named(
    git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    url = git_server.repository_url(repositories.make("inline").name)
    given = options(tmp_path, f"{git_server.url}/")
    assert check(given, url, tmp_path) == Finding.ok(f"host {urlsplit(url).netloc}", "It answers.")
    missing = check(given, f"{git_server.url}/not-there.git", tmp_path)
    assert (missing.state, "not with a pinned repository" in missing.what) == (Verdict.WARNING, True)


def test_check_hosts__an_address_that_builds_may_not_reach(
    git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    """What `doctor` would reach and a build would not is no help."""
    url = git_server.repository_url(repositories.make("inline").name)
    found = check(options(tmp_path), url, tmp_path)
    assert (found.state, "127.0.0.1" in found.what) == (Verdict.FAILED, True)


def test_check_hosts__not_more_than_the_most(tmp_path: Path) -> None:
    hosts = tuple(GitHost(f"https://h{number}.invalid/n.git", pinned=True) for number in range(MOST + 2))
    found = check_hosts(options(tmp_path), PROXY, tmp_path, hosts)
    assert len(found) == MOST + 1
    assert "2 more hosts" in found[-1].what


def test_pinned_at__the_index_says_what_it_pins() -> None:
    forks = [f"git+https://a.example/o/n.git@{'1' * 40}#egg=n==1", "not a pin"]
    with answering({"/me/forks": (200, {"result": {"forks": forks}}), "/me/other": (404, {})}) as url:
        assert pinned_at(f"{url}/me/forks/+simple/") == ("https://a.example/o/n.git",)
        assert pinned_at(f"{url}/me/other") == ()
        assert pinned_at("not a url") == ()


def test_check_network__nothing_is_set(tmp_path: Path) -> None:
    (found,) = check_network(options(tmp_path), {"PATH": os.environ["PATH"]}, None)
    assert (found.name, found.state) == ("network", Verdict.OK)


@pytest.mark.network
def test_check_network__the_public_index_answers(tmp_path: Path) -> None:
    found = check_network(options(tmp_path), dict(os.environ), find_uv(os.environ["PATH"]).path)
    assert found[1].state is Verdict.OK, found[1].what
