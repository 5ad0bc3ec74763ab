"""What clients see at a replica: waiting, limits, targets, servers that never build, and devpi's own client."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.shell import Shell
from tests.clients import Pip, Uv
from tests.devpi import DevpiServer
from tests.domain.compat.test_targets import MAC, UV
from tests.live import METADATA, SIMPLE_JSON, Host, Live, in_threads, stamped, wheel_of
from tests.sites import Site, running_site
from tests.surroundings import needs_compiler

pytestmark = pytest.mark.functional
BEYOND_PIP = 18
"""Seconds of a build that is longer than pip waits for an answer without a byte (15)."""
THREADS = 8
SEATS = 4
"""Half of the threads may be held."""


@pytest.fixture(scope="module")
def site(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A replica whose held answers begin at once; each test takes an index of its own."""
    folder = tmp_path_factory.mktemp("site")
    options = ("--forkbuilder-hold", "0", "--threads", str(THREADS))
    with running_site(folder, host, devpi_templates(False), options=options) as made:
        yield made


class Asking:
    """A request for a simple page whose answer is read byte by byte."""

    def __init__(self, live: Live, index: str, project: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", live.server.port, timeout=60)
        headers = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3"}
        self._connection.request("GET", f"/{index}/+simple/{project}/", headers=headers)
        self.answer = self._connection.getresponse()

    def __enter__(self) -> Asking:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def test_hold__newlines_until_the_release_is_here(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    gate = host.git.hold(fork.name)
    with Asking(site.replica, index, fork.project) as asking:
        first = asking.answer.read(2)  # the second newline comes after five seconds
        gate.open()
        rest = asking.answer.read()
    assert (asking.answer.status, first) == (200, b"\n\n")
    assert asking.answer.headers["X-Accel-Buffering"] == "no"
    assert asking.answer.headers["Cache-Control"] == "no-store"
    assert [file["filename"] for file in json.loads(rest)["files"]] == [wheel_of(fork)]


def test_hold__a_failure_ends_as_a_whole_page_with_the_primarys_placeholder(site: Site, host: Host) -> None:
    fork = host.fork("fails")
    index = site.index_of(fork)
    gate = host.git.hold(fork.name)
    with Asking(site.replica, index, fork.project) as asking:
        first = asking.answer.read(1)
        gate.open()
        rest = asking.answer.read()
    assert first == b"\n"
    (file,) = json.loads(rest)["files"]
    assert file["filename"] == site.primary.file(index, fork.project)["filename"]
    assert "/failed/building/" in file["url"]


@pytest.mark.slow
@pytest.mark.network
def test_hold__a_build_that_takes_longer_than_installers_wait_in_silence(
    site: Site, host: Host, pip_new: Pip, uv: Uv
) -> None:
    fork = host.slow(BEYOND_PIP)
    index = site.index_of(fork)
    targets = [pip_new.new_folder("target"), uv.new_folder("target")]
    clients = zip((pip_new, uv), targets, strict=True)
    running = [client.start(site.replica.url(index), fork.project, target=target) for client, target in clients]
    results = [process.wait(90).check() for process in running]
    assert not [result.output for result in results if "retry" in result.output.lower()]
    assert all(list(target.glob(f"slow-{stamped(fork)}.dist-info")) for target in targets)
    assert host.git.fetches(fork.name) == 1


def test_seats__beyond_them_busy_and_a_replica_that_has_time(site: Site, host: Host) -> None:
    fork = host.fork("inline")
    index = site.index_of(fork)
    gate = host.git.hold(fork.name)
    held: list[int] = []
    waiting = in_threads([lambda: held.append(site.replica.page(index, fork.project).status) for _ in range(SEATS)])
    site.replica.wait_for_metric("held_requests", lambda value: value == SEATS)
    refused = site.replica.page(index, fork.project)
    assert "/failed/busy/" in refused.check().json["files"][0]["url"]
    assert site.replica.metric("conversations") == 1
    gate.open()
    for thread in waiting:
        thread.join(60)
    assert held == [200] * SEATS
    assert site.replica.file(index, fork.project)["filename"] == wheel_of(fork)
    assert host.git.fetches(fork.name) == 1


@pytest.mark.parametrize("option", ["--forkbuilder-cached-only", "--offline-mode"])
def test_cached_only__a_replica_that_asks_nobody(site: Site, host: Host, option: str, tmp_path: Path) -> None:
    built, fork = host.fork("inline"), host.fork("counts")
    index = site.index_of(built, fork)
    site.primary.file(index, built.project)
    with DevpiServer(tmp_path, METADATA, primary=site.primary.server) as server:
        replica = Live(server, host)
        server.wait_for(site.primary.server)
        site.wait_for_files(replica)
        server.options = (*server.options, option)
        server.restart()
        assert replica.file(index, built.project)["filename"] == wheel_of(built)
        file = replica.file(index, fork.project)
        assert re.search("/failed/not-(built|cached)/", file["url"])
        answer = server.get(file["url"])
        assert (answer.status, " is not " in answer.reason) == (424, True)
        assert replica.metric("conversations_total") == 0
    assert site.primary.state(index, fork.project)["state"] == "wanted"


@needs_compiler
@pytest.mark.network
def test_target__is_the_clients_also_on_the_primary(site: Site, host: Host) -> None:
    fork = host.fork("extension")
    index = site.index_of(fork)
    this = UV.replace("3.12.1", "3.11.7")
    page = site.replica.page(index, fork.project, **{"User-Agent": this}).check()
    (wheel,) = [file["filename"] for file in page.json["files"]]
    assert "-cp311-cp311-" in wheel
    page = site.replica.page(index, fork.project, **{"User-Agent": MAC}).check()
    files = {file["filename"]: file["url"] for file in page.json["files"]}
    assert files.pop(wheel)
    ((name, url),) = files.items()
    assert name.endswith("-py2.py3-none-any.whl")
    assert "/failed/no-interpreter/" in url
    assert host.git.fetches(fork.name) == 1


# devpi's own client


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path / "shell")


def test_client__pin_list_build_log_and_freeze_through_a_replica(site: Site, host: Host, shell: Shell) -> None:
    index, fork, bad = site.index_of(), host.slow(2), host.fork("fails")
    shell.use(site.replica.server, index)
    shell.forks("pin", host.pin(fork), host.pin(bad), "--yes").check()
    assert {state["project"] for state in site.primary.server.get(f"{index}/+forks").result} == {"slow", "fails"}
    site.settle()  # a pin is known to a replica a moment after the primary has it
    assert shell.forks("build", "slow").check().stdout
    followed = shell.forks("log", "slow", "--follow").check().stdout
    assert "seconds to go" in followed
    assert followed == shell.forks("log", "slow").check().stdout == site.primary.log(index, fork)
    failed = shell.forks("build", "fails", "--wait")
    assert failed.returncode == 1
    assert "frobnicator" in failed.output
    listed = json.loads(shell.forks("list", "--json").check().stdout)
    assert {state["project"]: state["state"] for state in listed} == {"slow": "built", "fails": "failed"}
    (built,) = [state for state in listed if state["project"] == "slow"]
    assert built["log_url"].startswith(site.replica.server.url)
    assert built["files"][0]["url"].startswith(site.replica.server.url)
    shell.forks("unpin", "fails", "--yes").check()
    frozen = shell.forks("freeze").check().stdout
    assert re.fullmatch(rf"slow=={re.escape(stamped(fork))} --hash=sha256:[0-9a-f]{{64}}\n", frozen)
    assert host.git.fetches(fork.name) == 1


def test_client__at_a_replica_whose_primary_is_away_says_so(
    host: Host, devpi_templates: Callable[[bool], Path], tmp_path: Path, shell: Shell
) -> None:
    fork, other = host.fork("inline"), host.fork("counts")
    with running_site(tmp_path, host, devpi_templates(False)) as site:
        index = site.index_of(fork, other)
        site.replica.file(index, fork.project)
        shell.use(site.replica.server, index)
        site.primary.server.kill()
        assert "built" in shell.forks("list").check().stdout
        for command in (("pin", host.pin(host.fork("fails")), "--yes"), ("build", "counts")):
            refused = shell.forks(*command)
            assert refused.returncode == 1
            assert "cannot be reached" in refused.stderr
            assert "Traceback" not in refused.output
