"""A devpi-server with the plugin, a git host beside it, and short words for what tests do with the two."""

from __future__ import annotations

import base64
import itertools
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urljoin

from tests.devpi import ROOT_PASSWORD, Answer, DevpiServer, send
from tests.gitserver import GitServer
from tests.repositories import Repositories, Repository

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
PATIENCE = 60.0
"""Seconds until a test that waits for a state is told that it did not come."""
MARK = "a-boundary-that-no-wheel-has"
METADATA = "--enable-core-metadata"


@dataclass(frozen=True, slots=True)
class Host:
    """A git host and the maker of its repositories; names are given out once, so that tests can share it."""

    git: GitServer
    repositories: Repositories
    numbers: Iterator[int]

    def fork(self, case: str, **more: Any) -> Repository:
        """A repository of its own name: counts and rules of the host are this fork's alone."""
        return self.repositories.make(case, name=f"{case}-{next(self.numbers)}", **more)

    def slow(self, seconds: float, **more: Any) -> Repository:
        """A fork whose build takes that long and prints a line each second."""
        return self.fork("slow", files={"SECONDS": f"{seconds}"}, **more)

    def pin(self, fork: Repository, **more: Any) -> str:
        """The fork's line for `forks`."""
        return self.repositories.pin_line(fork, self.git.url, **more)

    @property
    def allowed(self) -> tuple[str, str]:
        """The option with which a server fetches from here."""
        return "--forkbuilder-allow-url", f"{self.git.url}/"


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """A host on `folder`."""
    with GitServer(folder) as git:
        yield Host(git, Repositories(folder), itertools.count(1))


def upload(server: DevpiServer, index: str, wheel: Path, name: str, version: str) -> Answer:
    """Upload a wheel as root, as twine does (a form; RFC 7578)."""
    fields = {":action": "file_upload", "name": name, "version": version, "metadata_version": "2.1"}
    parts = [
        f'--{MARK}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()
    ]
    head = f'--{MARK}\r\nContent-Disposition: form-data; name="content"; filename="{wheel.name}"\r\n'
    body = "".join([*parts, head, "Content-Type: application/octet-stream\r\n\r\n"]).encode()
    body += wheel.read_bytes() + f"\r\n--{MARK}--\r\n".encode()
    token = base64.b64encode(f"root:{server.as_user('root', ROOT_PASSWORD).tokens['root']}".encode()).decode()
    headers = {"Content-Type": f"multipart/form-data; boundary={MARK}", "X-Devpi-Auth": token}
    return send(urllib.request.Request(f"{server.url}/{index}/", body, headers, method="POST"), 60.0)


class Live:
    """Indexes of forks on one server. Each test takes an index of its own."""

    def __init__(self, server: DevpiServer, host: Host) -> None:
        self.server = server
        self.host = host
        self._numbers = itertools.count(1)

    def index(self, *lines: str, bases: tuple[str, ...] = (), **settings: object) -> str:
        """A new index with these pins; its name."""
        name = f"root/forks{next(self._numbers)}"
        self.create(name, type="forkbuilder", bases=list(bases), forks=list(lines), **settings)
        return name

    def create(self, name: str, **config: object) -> None:
        self.server.create_index(name, **config).check()

    def pin(self, index: str, *lines: str) -> None:
        """These pins and no others."""
        self.server.modify_index(index, forks=list(lines)).check()

    def index_of(self, *forks: Repository, **settings: Any) -> str:
        """A new index that pins these forks."""
        return self.index(*(self.host.pin(fork) for fork in forks), **settings)

    def url(self, index: str) -> str:
        """What an installer is given."""
        return self.server.index_url(index)

    # pages and files

    def page(self, index: str, project: str, **headers: str) -> Answer:
        """The simple page as an installer asks for it; the answer comes when the builds have ended."""
        given = {"Accept": SIMPLE_JSON, "User-Agent": "pip/26.3", **headers}
        return self.server.get(f"{index}/+simple/{project}/", given, timeout=PATIENCE * 3)

    def files(self, index: str, project: str) -> dict[str, dict[str, Any]]:
        """The page's files by name, their URLs made absolute."""
        answer = self.page(index, project).check()
        base = f"{self.url(index)}{project}/"
        return {file["filename"]: {**file, "url": urljoin(base, file["url"])} for file in answer.json["files"]}

    def file(self, index: str, project: str) -> dict[str, Any]:
        """The page's only file."""
        (found,) = self.files(index, project).values()
        return found

    # states

    def states(self, index: str, project: str, **parameters: object) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        result: list[dict[str, Any]] = self.server.get(f"{index}/+forks/{project}?{query}").check().result
        return result

    def state(self, index: str, project: str) -> dict[str, Any]:
        """The state of the project's only pin."""
        (found,) = self.states(index, project)
        return found

    def build(self, index: str, project: str, **body: object) -> Answer:
        """POST .../build as root."""
        self.server.as_user("root", ROOT_PASSWORD)
        return self.server.api("POST", f"{index}/+forks/{project}/build", body, user="root")

    def wait_for(self, index: str, project: str, *wanted: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Long-poll until the project's only pin is in one of these states (default: it ended)."""
        states = wanted or ("built", "failed")
        deadline = time.monotonic() + timeout
        while True:
            (found,) = self.states(index, project, wait=2)
            if found["state"] in states:
                return found
            assert time.monotonic() < deadline, f"no {states} within {timeout} s: {json.dumps(found)}\n{self._log()}"

    def outcome(self, index: str, project: str) -> dict[str, Any]:
        """Have it built and give the end's state."""
        self.build(index, project).check(202)
        return self.wait_for(index, project)

    def log(self, index: str, fork: Repository, **parameters: object) -> str:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return self.server.get(f"{index}/+forks/{fork.project}/{fork.commit}/log?{query}").check().text

    def wait_for_log(self, index: str, fork: Repository, text: str, timeout: float = PATIENCE) -> str:
        """The log as soon as `text` is in it."""
        path, deadline = f"{index}/+forks/{fork.project}/{fork.commit}/log", time.monotonic() + timeout
        while time.monotonic() < deadline:
            answer = self.server.get(path)
            if answer.status == 200 and text in answer.text:
                return answer.text
            time.sleep(0.05)  # a log is a file that grows: there is nothing to wait on from outside
        raise AssertionError(f"{text!r} did not come within {timeout} s:\n{answer.text}\n{self._log()}")

    # the server

    def metric(self, name: str) -> float:
        """The figure; the sum of all where it has labels."""
        text = self.server.get("+forkbuilder/metrics").check().text
        found = re.findall(rf"^devpi_forkbuilder_{name}(?:{{.*}})? (.+)$", text, re.MULTILINE)
        assert found, text
        return sum(map(float, found))

    def wait_for_metric(self, name: str, fine: Callable[[float], bool], timeout: float = PATIENCE) -> float:
        deadline = time.monotonic() + timeout
        while not fine(value := self.metric(name)):
            assert time.monotonic() < deadline, f"{name} is {value} after {timeout} s"
            time.sleep(0.1)  # figures are read, nobody announces them
        return value

    def _log(self) -> str:
        return self.server.log_text()[-3000:]


def in_threads(works: list[Callable[[], None]]) -> list[Thread]:
    """Start each in a thread of its own."""
    threads = [Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    return threads


def stamped(fork: Repository, commit: str | None = None, version: str | None = None) -> str:
    """The version that a stamped wheel of the fork has."""
    sha = commit or fork.commit
    when = time.strftime("%Y%m%d%H%M%S", time.gmtime(fork.time(sha)))
    return f"{version or fork.version}+{when}.g{sha[:12]}"


def wheel_of(fork: Repository, commit: str | None = None, version: str | None = None) -> str:
    """The file name of a stamped pure wheel."""
    return f"{fork.project.replace('-', '_')}-{stamped(fork, commit, version)}-py3-none-any.whl"
