"""The main job: a fork is pinned, an installer asks for it, the request is answered with the wheel."""

from __future__ import annotations

import io
import re
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.names import SEVEN
from tests.clients import Installer, Uv
from tests.devpi import OPENER, Answer, DevpiServer, PlainServer
from tests.functional.conftest import PIP_NEW, PIP_OLD, MakeLive
from tests.live import METADATA, SIMPLE_JSON, Live, stamped, upload, wheel_of
from tests.server.app import make_wheel

pytestmark = pytest.mark.functional


def _get(url: str) -> bytes:
    with OPENER.open(urllib.request.Request(url), timeout=30) as response:
        return bytes(response.read())


def test_install__cold_then_warm(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    installer.install(live.url(index), "inline==1.0.2", target=tmp_path / "cold").check()
    assert (tmp_path / "cold" / "inline.py").read_text() == 'CASE = "inline"\n'
    assert (tmp_path / "cold" / f"inline-{stamped(fork)}.dist-info" / "METADATA").is_file()
    live.host.git.hide(fork.name)  # what is built needs the host no more
    before = live.state(index, "inline")
    installer.install(live.url(index), "inline", target=tmp_path / "warm").check()
    assert (tmp_path / "warm" / f"inline-{stamped(fork)}.dist-info").is_dir()
    assert live.state(index, "inline") == before
    assert live.host.git.fetches(fork.name) == 1


def test_install__require_hashes_with_the_hash_of_the_api(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    (file,) = live.outcome(index, "inline")["files"]
    right, wrong = tmp_path / "right.txt", tmp_path / "wrong.txt"
    right.write_text(f"inline=={stamped(fork)} --hash=sha256:{file['sha256']}\n")
    wrong.write_text(f"inline=={stamped(fork)} --hash=sha256:{'0' * 64}\n")
    arguments = ["--require-hashes", "-r"]
    installer.install(live.url(index), arguments=[*arguments, str(right)], target=tmp_path / "target").check()
    assert (tmp_path / "target" / "inline.py").is_file()
    refused = installer.install(live.url(index), arguments=[*arguments, str(wrong)])
    assert refused.returncode != 0
    assert "hash" in refused.output.lower()


@pytest.mark.network
@pytest.mark.parametrize("pip", [PIP_OLD, PIP_NEW])
def test_install__pip_takes_hashes_of_the_public_version_too(
    live: Live, pip: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """uv does not: it looks for the hashes of exactly the version that it chose."""
    index = live.index_of(live.host.fork("inline"))
    (file,) = live.outcome(index, "inline")["files"]
    lock = tmp_path / "lock.txt"
    lock.write_text(f"inline==1.0.2 --hash=sha256:{file['sha256']}\n")
    installer: Installer = request.getfixturevalue(pip)
    installer.install(live.url(index), arguments=["--require-hashes", "-r", str(lock)], target=tmp_path / "t").check()
    assert (tmp_path / "t" / "inline.py").is_file()


def test_install__cold_through_an_inheriting_index(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = live.host.fork("inline")
    forks = live.index_of(fork)
    team = forks.replace("forks", "team")
    live.create(team, bases=[forks])
    installer.install(live.url(team), "inline==1.0.2", target=tmp_path / "target").check()
    assert (tmp_path / "target" / "inline.py").is_file()
    assert live.state(forks, "inline")["state"] == "built"


def test_install__each_of_two_commits_of_one_version(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = live.host.fork("same-version-two-commits")
    name = fork.project
    index = live.index(live.host.pin(fork, commit=fork.commits[0]))
    installer.install(live.url(index), f"{name}==1.0.2", target=tmp_path / "first").check()
    live.pin(index, live.host.pin(fork))
    installer.install(live.url(index), f"{name}==1.0.2", target=tmp_path / "second").check()
    old = stamped(fork, fork.commits[0])
    installer.install(live.url(index), f"{name}=={old}", target=tmp_path / "old").check()
    read = {
        place: (tmp_path / place / "same_version_two_commits.py").read_text() for place in ("first", "second", "old")
    }
    assert read == {
        place: f'COMMIT = "{said}"\n' for place, said in zip(read, ("first", "second", "first"), strict=True)
    }
    yanked = {file["filename"]: file.get("yanked", False) for file in live.files(index, name).values()}
    assert yanked.pop(wheel_of(fork)) is False
    assert yanked.pop(wheel_of(fork, fork.commits[0])).startswith(f"built from {fork.commits[0][:7]}")


def test_install__installed_fork_moves_on_upgrade(live: Live, installer: Installer, tmp_path: Path) -> None:
    """A newer commit of the same version sorts above the older one: installers see an upgrade."""
    fork = live.host.fork("same-version-two-commits")
    index = live.index(live.host.pin(fork, commit=fork.commits[0]), live.host.pin(fork, version="1.0.3"))
    answer = installer.install(live.url(index), f"{fork.project}<1.0.3", target=tmp_path / "target").check()
    assert stamped(fork, fork.commits[0]) in answer.output
    assert (tmp_path / "target" / "same_version_two_commits.py").read_text() == 'COMMIT = "first"\n'


def test_release__provenance_is_in_devpis_own_json(live: Live) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    live.outcome(index, "inline")
    version = live.server.api("GET", f"{index}/inline/{stamped(fork)}").check().result
    (link,) = version["+links"]
    (entry,) = [log for log in link["log"] if log["what"] == "build"]
    assert entry["commit"] == fork.commit
    assert entry["url"] == f"{live.host.git.url}/{fork.name}.git"
    assert entry["commit_time"] == str(fork.time())
    if not SEVEN:  # which has no hash there
        assert link["hash_spec"].endswith(live.file(index, "inline")["hashes"]["sha256"])
    assert (version["name"], version["version"]) == ("inline", stamped(fork))


def test_release__metadata_is_served_beside_the_wheel(live: Live) -> None:
    fork = live.host.fork("inline")
    file = live.file(live.index_of(fork), "inline")
    assert file["core-metadata"]
    served = _get(file["url"].partition("#")[0] + ".metadata")
    with zipfile.ZipFile(io.BytesIO(_get(file["url"].partition("#")[0]))) as wheel:
        assert served == wheel.read(f"inline-{stamped(fork)}.dist-info/METADATA")
    assert f"Version: {stamped(fork)}\n" in served.decode()


def test_release__file_may_be_kept_for_ever_and_page_may_not(live: Live) -> None:
    index = live.index_of(live.host.fork("inline"))
    path = live.file(index, "inline")["url"]
    assert "immutable" in live.server.get(path).check().headers["cache-control"]
    assert "no-cache" in live.page(index, "inline").headers["cache-control"]


def test_release__two_servers_build_the_same_file(live: Live, own: MakeLive) -> None:
    fork = live.host.fork("inline")
    other = own()
    here, there = (one.file(one.index_of(fork), "inline") for one in (live, other))
    assert here["filename"] == there["filename"] == wheel_of(fork)
    assert here["hashes"]["sha256"] == there["hashes"]["sha256"]
    assert live.host.git.fetches(fork.name) == 2


def test_cached__is_never_a_reason_to_build(live: Live, installer: Installer, tmp_path: Path) -> None:
    fork = live.host.fork("inline")
    index = live.index_of(fork)
    cached = live.url(index).replace("+simple", "+cached")
    refused = installer.install(cached, "inline==1.0.2")
    assert refused.returncode != 0
    assert "is not built" in refused.output
    assert live.host.git.requests_for(fork.name) == ()
    live.outcome(index, "inline")
    installer.install(cached, "inline==1.0.2", target=tmp_path / "target").check()
    assert (tmp_path / "target" / "inline.py").is_file()


@pytest.fixture(scope="module")
def twins(
    shared: Live, devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DevpiServer, DevpiServer]]:
    """The shared server and one without the plugin, with equal indexes and files."""
    folder = tmp_path_factory.mktemp("plain")
    with PlainServer(folder, METADATA, template=devpi_templates(False)) as plain:
        wheel = make_wheel(folder, "uploaded", "1.0")
        for server in (shared.server, plain):
            server.create_index("root/plain").check()
            server.create_index("root/above", bases=["root/plain"]).check()
            upload(server, "root/plain", wheel, "uploaded", "1.0").check()
        yield shared.server, plain


@pytest.mark.parametrize("accept", ["*/*", SIMPLE_JSON, "text/html"])
@pytest.mark.parametrize("agent", ["pip/26.3", "a browser"])
@pytest.mark.parametrize(
    "path",
    [
        "root/plain",
        "root/plain/+simple/",
        "root/plain/+simple/uploaded/",
        "root/plain/+simple/Uploaded",
        "root/plain/uploaded/",
        "root/above/+simple/uploaded/",
        "root/above/uploaded",
        "root/plain/+simple/nothing/",
        "root/none/+simple/nothing/",
        "nobody/none/nothing/",
        "root/plain/+simple/uploaded/more",
    ],
)
def test_untouched__what_has_no_pin_is_answered_as_by_devpi(
    twins: tuple[DevpiServer, DevpiServer], path: str, agent: str, accept: str
) -> None:
    """To the byte, but for validators, and what JSON pages say of files by PEP 700."""
    headers = {"User-Agent": agent, "Accept": accept, "Host": "devpi.example.com"}
    ours, devpis = (server.get(path, headers) for server in twins)
    assert (ours.status, ours.reason) == (devpis.status, devpis.reason)
    assert _said(ours) == _said(devpis)
    assert _lasting(ours) == _lasting(devpis)


PASSING = {"date", "content-length", "x-devpi-serial", "etag", "cache-control", "transfer-encoding", "connection"}
NAMED = re.compile(rb" *<li>devpi-forkbuilder-[^<]+</li>\n|<a class=\"statusbadge.*?</a>", re.DOTALL)
"""devpi-web's pages say at their foot which plugins there are, and at their head how the server is: builds that other
tests of this file have failed are counted there.
"""


MORE = {"upload-time", "size"}


def _said(answer: Answer) -> object:
    """The body; of JSON pages without what devpi does not say, and metadata without its hash."""
    if "json" not in answer.headers.get("content-type", "") or "files" not in (page := answer.json):
        return NAMED.sub(b"", answer.body)
    files = [
        {key: bool(value) if key.endswith("metadata") else value for key, value in file.items() if key not in MORE}
        for file in page["files"]
    ]
    meta = {key: value for key, value in page["meta"].items() if key != "api-version"}
    return {**page, "meta": meta, "files": files, "versions": None}


def _lasting(answer: Answer) -> dict[str, object]:
    """The headers that two equal servers have in common; devpi makes some of a set, in any order."""
    kept = {key: value for key, value in answer.headers.items() if key not in PASSING}
    return {**kept, "vary": set(kept.get("vary", "").split(", "))}


@pytest.mark.network
def test_back_end__fetched_through_the_servers_own_index(own: MakeLive, uv: Uv, tmp_path: Path) -> None:
    live = own("--request-timeout", "30", mirror=True)
    forks = [live.host.fork(case) for case in ("pure-setuptools", "hatchling")]
    index = live.index_of(*forks, bases=("root/pypi",))
    uv.install(live.url(index), *(fork.project for fork in forks), target=tmp_path / "target").check()
    for fork in forks:
        assert (tmp_path / "target" / f"{fork.project.replace('-', '_')}-{stamped(fork)}.dist-info").is_dir()
    assert f"/{index}/+cached/hatchling" in live.server.log_text()
