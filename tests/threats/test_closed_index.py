"""An index with readers of its own, named by a real plugin: builds there get what they require, others get nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import MakeLive
from tests.live import Live, upload
from tests.publicindex import PublicIndex, public_index
from tests.repositories import Repository
from tests.threats.hostile import reporting
from tests.threats.test_secrets import Sampler, _unpacked, crawl

PLUGIN = '''
"""Readers that an index's title names; and every login that a build gets is written down beside, for the test."""

import os
from pathlib import Path

from pluggy import HookimplMarker

from devpi_forkbuilder.pipeline.frontend import index_tokens

hookimpl = HookimplMarker("devpiserver")
make = index_tokens.secrets.token_urlsafe


class Recorded:
    @staticmethod
    def token_urlsafe(size):
        token = make(size)
        with open(os.environ["TOKENS"], "a") as file:
            file.write(token + "\\n")
        return token


index_tokens.secrets = Recorded


@hookimpl
def devpiserver_stage_get_principals_for_pkg_read(ixconfig):
    title = str(ixconfig.get("title", ""))
    return title.split()[1:] if title.startswith("readers") else None
'''
READERS = "readers alice"
TABLE = '[build-system]\nrequires = ["helper"]\nbuild-backend = "inline_backend"\nbackend-path = ["."]\n'
# what it asks for on top of that is installed in a second step, after code of the project has run
ASK = """
def get_requires_for_build_wheel(config_settings=None):
    print("hook", repr(dict(os.environ)), everybody(), flush=True)
    return ["helper", "second-helper"]

def everybody():
    paths = glob.glob('/proc/*/environ') + glob.glob('/proc/*/cmdline')
    return attempt(lambda: [attempt(read, path) for path in paths])
"""


class Closed(Live):
    """Asked as root."""

    def states(self, index: str, project: str, **parameters: object) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        answer = self.server.api("GET", f"{index}/+forks/{project}?{query}", user="root")
        result: list[dict[str, Any]] = answer.check().result
        return result

    def log(self, index: str, fork: Repository, **_parameters: object) -> str:
        path = f"{index}/+forks/{fork.project}/{fork.commit}/log"
        return self.server.api("GET", path, user="root").check().text


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def closed(own: MakeLive, tmp_path: Path, tokens: Path) -> Live:
    """A server with the plugin, and a private index `root/private` with the helpers."""
    folder = tmp_path / "plugin"
    info = folder / "readers_of_title-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "readers_of_title.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: readers-of-title\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[devpi_server]\nreaders-of-title = readers_of_title\n")
    live = Closed((made := own(environment={"PYTHONPATH": str(folder), "TOKENS": str(tokens)})).server, made.host)
    live.server.create_user("alice", "secret")
    live.create("root/private", type="stage", bases=[], title=READERS)
    source = PublicIndex(tmp_path / "wheels")
    for name in ("helper", "second-helper"):
        upload(live.server, "root/private", source.add(name, "1.0"), name, "1.0").check()
    return live


def fork_of(live: Live) -> Repository:
    files = reporting("{'env': repr(dict(os.environ)), 'all': everybody()}")
    return live.host.fork(
        "inline", files={**files, "inline_backend.py": f"{files['inline_backend.py']}{ASK}", "pyproject.toml": TABLE}
    )


def test_build__on_a_closed_index_gets_what_it_requires(closed: Live, tokens: Path) -> None:
    """The login it does that with is nowhere: not in what the project's code sees, an argument, a file, a page."""
    fork = fork_of(closed)
    with Sampler(closed.server.pid).at_work() as sampler:
        index = closed.index_of(fork, bases=("root/private",), title=READERS)
        state = closed.outcome(index, fork.project)
    assert state["state"] == "built", closed.log(index, fork)
    found = tokens.read_text().split()
    assert len(found) >= 2
    canary = re.compile("|".join(found).encode())
    assert canary.search(found[0].encode())
    paths = [f"/{index}", f"/{index}/+forks", f"/{index}/+simple/{fork.project}/", f"/{index}/{fork.project}"]
    pages = list(crawl(closed, "/", "/+status", *paths, f"/{index}/+forks/{fork.project}/{fork.commit}/log"))
    assert any(b"report.json" in page for _, page in pages)
    assert any(b"hook" in page for _, page in pages)
    assert [path for path, page in pages if canary.search(page)] == []
    assert [command for command in sampler.seen if canary.search(command.encode())] == []
    assert any("--default-index" in command or "--index forks=" in command for command in sampler.seen)
    closed.server.stop()
    files = [path for path in closed.server.folder.rglob("*") if path.is_file()]
    assert closed.server.log in files
    assert [path for path in files if canary.search(_unpacked(path.read_bytes()))] == []


def test_build__gets_nothing_of_a_base_that_its_readers_may_not_read(closed: Live, tmp_path: Path) -> None:
    """Neither from there, nor the same name from the public index, where somebody else may have it."""
    closed.server.modify_index("root/private", title="readers bob").check()
    with public_index(tmp_path / "public") as public:
        for name in ("helper", "second-helper"):
            public.add(name, "9.0")
        closed.create("root/public", type="mirror", mirror_url=public.url, mirror_use_external_urls=False)
        fork = fork_of(closed)
        index = closed.index_of(fork, bases=("root/private", "root/public"), title=READERS)
        state = closed.outcome(index, fork.project)
        assert (state["state"], state["error"]["kind"]) == ("failed", "infrastructure")
        assert [name for name in public.sent if name.endswith(".whl")] == []
