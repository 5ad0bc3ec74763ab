"""nginx's configuration as it is written, and nginx's own word on it."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devpi_forkbuilder.web.nginx import Front, site, whole
from tests.devpi import IMPORTS, initialise
from tests.nginx import MISSING, NGINX, check
from tests.preloaded import preloaded
from tests.processes import Result, Running
from tests.surroundings import clean_environment

COMPOSE = Path(__file__).parent.parent.parent / "compose" / "nginx"
CLUSTER = Front("primary:3141", "/srv/devpi", ("replica1:3141",), listen="8080", joined="/tmp/replicas")
CLUSTER_LOGIN = replace(CLUSTER, login=True)
ALONE = Front("127.0.0.1:3141", "/srv/devpi")
OURS = ("nginx-devpi-forkbuilder.conf", "nginx-devpi-forkbuilder-login.conf")
GENERATE = "from devpi_server.genconfig import genconfig; genconfig()"
LOCKDOWN = """\
import sys, types
from devpi_server.config import get_pluginmanager
import devpi_server.genconfig as generation
def manager(): found = get_pluginmanager(); found.register(types.ModuleType("lockdown"), "devpi-lockdown"); return found
generation.get_pluginmanager = manager
generation.genconfig()
"""
needs_nginx = pytest.mark.skipif(NGINX is None, reason=MISSING)


def upstream(text: str, name: str) -> list[str]:
    """The servers of a group, each as nginx reads it."""
    found = re.search(rf"upstream forkbuilder_{name} \{{(.*?)\}}", text, re.DOTALL)
    assert found
    return re.findall(r"server (\S+) .*?( backup)?;", found[1])


def resolvable(text: str) -> str:
    """nginx looks names up when it reads its configuration; the names of the cluster are only known inside it."""
    return re.sub(r"server (primary|replica\d):", "server 127.0.0.1:", text)


def included(text: str) -> str:
    """A site in the smallest configuration around it."""
    return f"pid /tmp/nginx.pid;\nevents {{ }}\nhttp {{\naccess_log off;\n{text}\n}}\n"


def generated(folder: Path, *options: str, program: str = GENERATE) -> dict[str, str]:
    """What `devpi-gen-config` writes."""
    initialise(folder / "server", "--no-root-pypi")
    command = [sys.executable, "-c", program, "--serverdir", str(folder / "server"), *options]
    ended: Result = Running(command, clean_environment(folder), folder, None, preloaded(IMPORTS)).wait(60)
    ended.check()
    return {path.name: path.read_text() for path in (folder / "gen-config").glob("nginx-*.conf")}


@pytest.mark.parametrize(("name", "front"), [("nginx.conf", CLUSTER), ("nginx-login.conf", CLUSTER_LOGIN)])
def test_compose__its_files_are_what_is_written_for_a_cluster(name: str, front: Front) -> None:
    assert (COMPOSE / name).read_text() == whole(front)


def test_cluster__replicas_read_and_the_primary_stands_in() -> None:
    text = site(CLUSTER)
    assert upstream(text, "readers") == [("replica1:3141", ""), ("primary:3141", " backup")]
    assert text.count("include /tmp/replicas/") == 2
    assert upstream(text, "primary") == [("primary:3141", "")]
    assert upstream(text, "newest")[0] == ("primary:3141", "")
    assert [name for name, spare in upstream(text, "newest") if spare] == ["replica1:3141"]


def test_alone__one_server_does_everything() -> None:
    groups = {name: upstream(site(ALONE), name) for name in ("readers", "primary", "newest")}
    assert set(map(tuple, groups.values())) == {(("127.0.0.1:3141", ""),)}


def test_hold__nginx_waits_longer_than_devpi_holds() -> None:
    assert "proxy_read_timeout 960s;" in site(ALONE)
    assert "proxy_read_timeout 1860s;" in site(Front("127.0.0.1:3141", "/srv/devpi", hold=1800.0))


def test_login__is_asked_for_only_if_wanted() -> None:
    assert "auth_request /+authcheck;" in site(CLUSTER_LOGIN)
    assert "auth_request /+authcheck;" not in site(CLUSTER)


@needs_nginx
@pytest.mark.parametrize("front", [ALONE, CLUSTER, CLUSTER_LOGIN, Front("unix:/run/d.sock", '/srv/a "b" \\c')])
def test_syntax__nginx_takes_what_is_written(tmp_path: Path, front: Front) -> None:
    check(resolvable(whole(front)), tmp_path).check()
    check(included(resolvable(site(front))), tmp_path).check()


@needs_nginx
def test_syntax__a_fault_is_seen(tmp_path: Path) -> None:
    assert check(whole(ALONE).replace("proxy_buffering", "proxy_bufering"), tmp_path).returncode != 0


def test_generated__tells_this_server(tmp_path: Path) -> None:
    options = ("--port", "4141", "--outside-url", "https://devpi.example.org:8443", "--forkbuilder-wait", "60")
    found = generated(tmp_path, *options)
    assert set(OURS) & set(found) == {OURS[0]}
    text = found[OURS[0]]
    assert upstream(text, "readers") == [("127.0.0.1:4141", "")]
    for line in ("server_name devpi.example.org;", "listen 8443;", "proxy_read_timeout 120s;"):
        assert line in text
    assert f'root "{tmp_path / "server"}";' in text


@pytest.mark.parametrize(
    ("options", "server"),
    [
        (("--host", "192.0.2.7"), "192.0.2.7:3141"),
        (("--host", "0.0.0.0"), "127.0.0.1:3141"),
        (("--host", "2001:db8::7"), "[2001:db8::7]:3141"),
        (("--unix-socket", "/run/devpi.sock"), "unix:/run/devpi.sock"),
    ],
)
@needs_nginx
def test_generated__where_devpi_listens(tmp_path: Path, options: tuple[str, ...], server: str) -> None:
    text = generated(tmp_path, *options)[OURS[0]]
    assert upstream(text, "primary") == [(server, "")]
    check(included(text), tmp_path).check()


@needs_nginx
def test_generated__with_devpi_lockdown_one_for_logins(tmp_path: Path) -> None:
    found = generated(tmp_path, program=LOCKDOWN)
    assert set(OURS) <= set(found)
    assert "auth_request /+authcheck;" in found[OURS[1]]
    for name in OURS:
        check(included(found[name]), tmp_path).check()
