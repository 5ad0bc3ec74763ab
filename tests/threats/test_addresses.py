"""A pin's URL as a way to hosts that only this server reaches."""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.domain.pins.addresses import is_public
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.policy import PinPolicy
from devpi_forkbuilder.errors import ForkbuilderError
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.git.pinned_dns import PinnedDns, resolved
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from tests.gitserver import GitServer
from tests.pipeline.watching import Lines, never
from tests.repositories import Repositories, Repository
from tests.server.app import COMMIT, App
from tests.server.conftest import MakeApp

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "64:ff9b::10.0.0.1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PUBLIC = ["8.8.8.8", "140.82.121.4", "2606:4700::6810:85e5", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::"]


@pytest.fixture
def fork(repositories: Repositories) -> Repository:
    return repositories.make("inline")


def mirrors(folder: Path, routes: PinnedDns) -> Mirrors:
    return Mirrors(folder / "mirrors", Git(folder / "home", os.environ, route=routes.to))


def fault_of(mirrors: Mirrors, url: str, commit: str) -> str:
    with pytest.raises(ForkbuilderError) as caught:
        mirrors.fetch(Pin("fork", url, commit), Lines(), never)
    return caught.value.reference


@pytest.mark.parametrize("address", PRIVATE)
def test_address__of_somebody(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_address__of_the_internet(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_address__an_ipv4_address_in_an_ipv6_one_is_what_counts(address: object) -> None:
    assert is_public(f"::ffff:{address}") == is_public(f"64:ff9b::{address}") == is_public(str(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:10.0.0.1]"]
)
def test_pin__of_an_address_that_is_not_public(app: App, host: str) -> None:
    app.make_index("root/forks")
    answer = app.pin(f"git+https://{host}/org/alpha.git@{COMMIT}#egg=alpha==1.0")
    assert answer.status_int == 400
    assert "--forkbuilder-allow-url" in answer.text
    assert app.config()["forks"] == []


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "localhost", "localhost.localdomain", "ip6-localhost"]
)
def test_fetch__other_ways_to_write_this_machine(
    git_server: GitServer, fork: Repository, tmp_path: Path, host: str
) -> None:
    """Whatever the resolver makes of it: a name that it does not know leads nowhere either."""
    url = git_server.repository_url(fork.name).replace("127.0.0.1", host)
    found = fault_of(mirrors(tmp_path, PinnedDns(lambda _: False, {})), url, fork.commit)
    assert found in {"address-refused", "host-unreachable"}
    assert not git_server.requests


def test_fetch__a_name_with_one_bad_address_among_good_ones(
    git_server: GitServer, fork: Repository, tmp_path: Path
) -> None:
    routes = PinnedDns(lambda _: False, {}, lambda _host, _port: ("140.82.121.4", "127.0.0.1"))
    url = git_server.repository_url(fork.name).replace("127.0.0.1", "git.example.com")
    assert fault_of(mirrors(tmp_path, routes), url, fork.commit) == "address-refused"
    assert not git_server.requests


def test_fetch__a_host_that_the_administrator_names_may_be_here(
    git_server: GitServer, fork: Repository, tmp_path: Path
) -> None:
    policy = PinPolicy(prefixes=(f"{git_server.url}/",))
    good = mirrors(tmp_path, PinnedDns(policy.names_host, {}))
    good.fetch(Pin("fork", git_server.repository_url(fork.name), fork.commit), Lines(), never)
    assert git_server.fetches(fork.name) == 1


def test_fetch__connects_to_the_address_that_was_judged(
    git_server: GitServer, fork: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name has no address of its own, so git can have been there only by what it was given."""
    monkeypatch.setattr("devpi_forkbuilder.pipeline.git.pinned_dns.is_public", lambda _address: True)
    asked: list[str] = []

    def resolve(host: str, _port: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",)

    url = git_server.repository_url(fork.name).replace("127.0.0.1", "git.example.invalid")
    mirrors(tmp_path, PinnedDns(lambda _: False, {}, resolve)).fetch(Pin("fork", url, fork.commit), Lines(), never)
    assert git_server.fetches(fork.name) == 1
    assert set(asked) == {"git.example.invalid"}


@pytest.mark.parametrize(("port", "alias"), [("", "git.example.com"), (":2222", "[git.example.com]:2222")])
def test_fetch__ssh_connects_to_it_too(tmp_path: Path, port: str, alias: str) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(tmp_path))}/arguments\nexit 255\n'
    )
    (programs / "ssh").chmod(0o755)
    base = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    routes = PinnedDns(lambda _: False, base, lambda _host, _port: ("140.82.121.4",))
    url = f"ssh://git@git.example.com{port}/org/name.git"
    Git(tmp_path / "home", base, route=routes.to).network(
        tmp_path, url, "ls-remote", url, watch=TransferWatch(Lines(), never)
    )
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert {"-oHostName=140.82.121.4", f"-oHostKeyAlias={alias}", "-oStrictHostKeyChecking=yes"} <= set(arguments)


@pytest.mark.parametrize(("base", "reference"), [({}, "host-unreachable"), ({"https_proxy": "http://proxy:1"}, "")])
def test_route__behind_a_proxy_names_may_be_unknown_here(base: dict[str, str], reference: str) -> None:
    def resolve(_host: str, _port: int) -> tuple[str, ...]:
        raise socket.gaierror

    routes = PinnedDns(lambda _: False, base, resolve)
    if reference:
        with pytest.raises(ForkbuilderError) as caught:
            routes.to("https://git.example.com/x")
        assert (caught.value.reference, caught.value.retryable) == (reference, True)
    else:
        assert routes.to("https://git.example.com/x").settings == ()


def test_resolved__of_this_machine() -> None:
    assert "127.0.0.1" in resolved("127.0.0.1", 443)


TRICKS = [
    "https://git.example.com/organic/x.git",
    "https://git.example.com/org-evil/x.git",
    "https://git.example.com/Org/x.git",
    "https://git.example.com.evil.example/org/x.git",
    "https://git.example.com:8443/org/x.git",
    "https://evil.example/git.example.com/org/x.git",
    "http://git.example.com/org/x.git",
    "ssh://git@git.example.com/org/x.git",
    "https://git.example.com/other/../org/x.git",
    "https://git.example.com/org/../other/x.git",
    "https://git.example.com/org/%2e%2e/other/x.git",
    "https://git.example.com/org/%2E./other/x.git",
    "https://git.example.com@evil.example/org/x.git",
    "https://git.example.com:443@evil.example/org/x.git",
    "https://evil.example/#@git.example.com/org/x.git",
    "https://evil.example\\@git.example.com/org/x.git",
    "https://git.example.com/org%2f..%2fother/x.git",
]


@pytest.mark.parametrize("url", TRICKS)
def test_prefix__is_not_tricked(make_app: MakeApp, url: str) -> None:
    app = make_app("--forkbuilder-allow-url", "https://git.example.com/org")
    app.make_index("root/forks")
    assert app.pin(f"git+{url}@{COMMIT}#egg=x==1.0").status_int == 400
    assert app.config()["forks"] == []


@pytest.mark.parametrize("url", ["https://git.example.com/org/x.git", "https://git.example.com:443/org/sub/x"])
def test_prefix__allows_what_it_says(make_app: MakeApp, url: str) -> None:
    app = make_app("--forkbuilder-allow-url", "https://git.example.com/org")
    app.make_index("root/forks")
    assert app.pin(f"git+{url}@{COMMIT}#egg=x==1.0").status_int == 200


EVIL: list[Callable[[Path], str]] = [
    lambda marker: f"--upload-pack=touch {marker}",
    lambda marker: f"ext::touch {marker}",
    lambda marker: f"git+ext::touch% {marker}",
    lambda marker: f"ssh://-oProxyCommand=touch%20{marker}/x",
    lambda _: "fd::0",
    lambda _: "file:///etc",
    lambda _: "https://user:pass@git.example.com/x",
    lambda _: "https://git.example.com/x%0aevil",
    lambda _: "https://git.example.com/" + "x" * 100_000,
]


@pytest.mark.parametrize("make", EVIL)
def test_pin__urls_that_are_commands(app: App, tmp_path: Path, make: Callable[[Path], str]) -> None:
    url = make(tmp_path / "marker")
    app.make_index("root/forks")
    assert app.pin(f"git+{url}@{COMMIT}#egg=x==1.0").status_int == 400
    assert not (tmp_path / "marker").exists()
    assert app.builder.orders == []
