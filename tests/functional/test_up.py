"""`devpi-forkbuilder up` as a process."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.devpi.storage import DATABASE
from tests.clients import Uv
from tests.devpi import COMMAND, IMPORTS, Answer, DevpiServer, free_port, send
from tests.live import Host
from tests.preloaded import preloaded
from tests.processes import Result, Running, remember_descendants
from tests.repositories import Repository
from tests.surroundings import clean_environment, few_interpreters, remember_interpreters

pytestmark = pytest.mark.functional
PATIENCE = 60.0


class Up:
    """One server directory and the command that serves it."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder = folder
        self.serverdir = folder / "server"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.index_url = f"{self.url}/main/forks/+simple/"
        self._host = host
        self.forked = True
        remember_interpreters(folder)
        self._starts = 0
        self.running: Running | None = None

    @property
    def output(self) -> Path:
        """Where the latest start prints."""
        return self.folder / f"output-{self._starts}"

    def command(self, *arguments: str) -> Running:
        """Start it; what it prints goes to `output`."""
        self._starts += 1
        place = ["--serverdir", str(self.serverdir), "--host", "127.0.0.1", "--port", str(self.port)]
        words = [sys.executable, "-c", COMMAND, "up", *place, *self._host.allowed, *arguments]
        source = preloaded(IMPORTS) if self.forked else None
        with self.output.open("wb") as output:
            self.running = Running(words, self._surroundings(), self.folder, output, source)
        return self.running

    def _surroundings(self) -> dict[str, str]:
        return clean_environment(self.folder, PATH=few_interpreters(os.environ["PATH"]))

    def start(self, *arguments: str) -> str:
        """Start it and wait until it serves; what it has printed by then."""
        running, deadline = self.command(*arguments), time.monotonic() + PATIENCE
        while running.popen.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return self.output.read_text()
            time.sleep(0.05)  # a server says that it is ready by answering
        raise AssertionError(f"it did not start:\n{self.output.read_text()}")

    def _answers(self) -> bool:
        try:
            return send(_request(f"{self.url}/+api"), 5).status == 200
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Result:
        """End it and wait."""
        assert self.running is not None
        running, self.running = self.running, None
        remember_descendants(running.pid)
        running.signal(number)
        return running.wait(15)

    def get(self, path: str) -> object:
        """devpi's JSON, or text, for a path."""
        answer = send(_request(f"{self.url}/{path}"), 30).check()
        return answer.json if "json" in answer.headers["content-type"] else answer.text

    def request(self, method: str, path: str, content: object = None) -> Answer:
        """One request as the owner of the index, with the password that `up` has made; any status is an answer."""
        password = (self.serverdir / ".forkbuilder" / "passwords" / "main").read_text()
        login = send(_request(f"{self.url}/+login", "POST", {"user": "main", "password": password}), 30).check()
        token = base64.b64encode(f"main:{login.result['password']}".encode()).decode()
        return send(_request(f"{self.url}/{path}", method, content, **{"X-Devpi-Auth": token}), 60)

    def serial(self) -> str:
        return send(_request(f"{self.url}/+api"), 30).check().headers["x-devpi-serial"]


def _request(url: str, method: str = "GET", content: object = None, **headers: str) -> urllib.request.Request:
    data = None if content is None else json.dumps(content).encode()
    given = {"Accept": "application/json", "Content-Type": "application/json", **headers}
    return urllib.request.Request(url, data, given, method=method)


@pytest.fixture
def up(tmp_path: Path, host: Host) -> Iterator[Up]:
    place = Up(tmp_path, host)
    yield place
    if place.running is not None:
        place.running.kill()


@pytest.fixture
def fork(host: Host) -> Repository:
    return host.fork("inline")


@pytest.fixture
def file(tmp_path: Path, host: Host, fork: Repository) -> Path:
    """A requirements file with one git line."""
    path = tmp_path / "github.txt"
    path.write_text(f"# forks\n\n{host.pin(fork)}\n")
    return path


def test_up__serves_and_says_what_to_do(up: Up, file: Path, fork: Repository, uv: Uv, tmp_path: Path) -> None:
    said = up.start("-r", str(file))
    assert f"pip install --index-url {up.index_url}" in said
    assert f"uv pip install --default-index {up.index_url}" in said
    assert f"+ {up._host.pin(fork)}" in said
    config = up.get("main/forks")["result"]  # type: ignore[index]  # devpi's JSON
    assert (config["type"], config["bases"], config["volatile"]) == ("forkbuilder", ["root/pypi"], False)
    assert config["forks"] == [up._host.pin(fork)]
    uv.install(up.index_url, "inline==1.0.2", target=tmp_path / "target").check()
    assert (tmp_path / "target" / "inline.py").is_file()
    assert up.stop().returncode == 0
    told = up.output.read_text()
    for state in ("fetching", "building", "built in"):
        assert re.search(rf"inline 1\.0\.2 .*{state}", told), told


def test_up__a_name_that_no_file_says_is_computed_before_it_serves(up: Up, host: Host, tmp_path: Path) -> None:
    fork = host.fork("inline")
    path = tmp_path / "github.txt"
    path.write_text(f"git+{host.git.repository_url(fork.name)}@{fork.commit}\n")
    said = up.start("-r", str(path), "--resolve", "--write")
    assert f"{path}:1: inline -> {fork.commit}" in said
    assert "#egg=inline" in up.get("main/forks")["result"]["forks"][0]  # type: ignore[index]  # devpi's JSON
    assert path.read_text().startswith("inline @ git+")
    assert not list(tmp_path.glob("**/.forkbuilder-*")), "what was needed for it is gone"
    assert up.stop().returncode == 0


def test_up__pins_the_head_of_a_checkout_and_says_when_it_answers_and_has_stopped(
    up: Up, fork: Repository, uv: Uv, tmp_path: Path
) -> None:
    checkout = tmp_path / "my checkout"
    _git(tmp_path, "clone", "-q", str(fork.path), str(checkout))
    (checkout / "setup.cfg").write_text("[metadata]\nname = inline\n")  # the fork's own back end asks nobody for it
    _git(checkout, "add", ".")
    _git(checkout, "commit", "-q", "-m", "Say the name")
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "inline.py").write_text("changed = True\n")
    up.start(str(checkout))
    _until(lambda: f"Ready: {up.index_url}" in up.output.read_text())
    said = up.output.read_text()
    assert f"+ git+file://{tmp_path}/my%20checkout@{commit}#egg=inline" in said
    assert "uncommitted changes are left out" in said
    uv.install(up.index_url, "inline", target=tmp_path / "target").check()
    assert "changed" not in (tmp_path / "target" / "inline.py").read_text()
    _is_refused(up, "Another server runs on")
    assert up.stop().returncode == 0
    assert up.output.read_text().rstrip().endswith("Stopped.")


def _git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.com")
    words, env = ("git", *who, *arguments), clean_environment(folder)
    return subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True, text=True).stdout.strip()


def _is_refused(up: Up, reason: str) -> None:
    """A second start on the same directory ends with `reason` in one line, and does the first one no harm."""
    first, output = up.running, up.output
    assert up.command().wait(PATIENCE).returncode == 1
    said = up.output.read_text()
    assert reason in said
    assert said.count("\n") == 1
    up.running, up._starts = first, up._starts - 1
    assert up.output == output


def test_up__second_run_changes_nothing(up: Up, file: Path, fork: Repository, uv: Uv, tmp_path: Path) -> None:
    up.start("-r", str(file))
    uv.install(up.index_url, "inline", target=tmp_path / "cold").check()
    before, pins = up.serial(), up.get("main/forks")
    passwords = _passwords(up)
    up.stop().check()
    again = up.start("-r", str(file))
    assert (up.serial(), up.get("main/forks")) == (before, pins)
    assert _passwords(up) == passwords
    assert up._host.pin(fork) not in again
    up._host.git.hide(fork.name)
    uv.install(up.index_url, "inline", target=tmp_path / "warm").check()
    up.stop().check()


def test_up__moves_a_pin_and_keeps_the_others(up: Up, host: Host, tmp_path: Path) -> None:
    moving, other = host.fork("same-version-two-commits"), host.fork("inline")
    first, second = host.pin(moving, commit=moving.commits[0]), host.pin(moving)
    file = tmp_path / "github.txt"
    file.write_text(f"{first}\n{host.pin(other)}\n")
    up.start("-r", str(file))
    up.stop().check()
    file.write_text(f"{second}\n")
    said = up.start("-r", str(file))
    assert f"+ {second}" in said
    assert f"- {first}" in said
    config = up.get("main/forks")["result"]  # type: ignore[index]  # devpi's JSON
    assert config["forks"] == [second, host.pin(other)]


def _passwords(up: Up) -> dict[str, str]:
    return {path.name: path.read_text() for path in (up.serverdir / ".forkbuilder" / "passwords").iterdir()}


def test_up__secrets_are_the_owners_alone(up: Up, file: Path) -> None:
    up.forked = False  # a process of its own has its own argument list
    said = up.start("-r", str(file))
    folder = up.serverdir / ".forkbuilder" / "passwords"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in folder.iterdir()} >= {"root", "main"}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    told = said + (up.serverdir / ".forkbuilder" / "server.log").read_text()
    arguments = Path(f"/proc/{up.running.pid}/cmdline").read_text() if up.running else ""
    for password in _passwords(up).values():
        assert len(password) >= 32
        assert password not in told + arguments


def test_up__the_owners_password_opens_the_index(up: Up, file: Path) -> None:
    up.start("-r", str(file))
    body = json.dumps({"user": "main", "password": _passwords(up)["main"]}).encode()
    login = urllib.request.Request(f"{up.url}/+login", body, {"Content-Type": "application/json"}, method="POST")
    assert send(login, 30).status == 200


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("git+https://git.example.com/o/n.git@main#egg=n==1", "main"),
        ("git+https://git.example.com/o/n.git@1a2b3c4#egg=n==1", "1a2b3c4"),
        ("git+https://git.example.com/o/n.git#egg=n==1", "commit"),
    ],
)
def test_up__a_line_without_a_full_commit_is_refused(up: Up, file: Path, line: str, says: str) -> None:
    file.write_text(file.read_text() + f"{line}\n")
    result = up.command("-r", str(file)).wait(PATIENCE)
    said = up.output.read_text()
    assert result.returncode == 1
    assert re.search(r"github\.txt:4\b|github\.txt, line 4|line 4", said), said
    assert says in said
    assert "--resolve' resolves it to a full commit" in said
    assert "Traceback" not in said
    assert not up.serverdir.exists()


def test_up__all_faults_are_told_at_once(up: Up, file: Path) -> None:
    bad = "git+https://git.example.com/o/{0}.git@main#egg={0}"
    file.write_text("\n".join([bad.format("one"), bad.format("two")]) + "\n")
    assert up.command("-r", str(file)).wait(PATIENCE).returncode == 1
    said = up.output.read_text()
    assert "one" in said
    assert "two" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up__stops_cleanly(up: Up, file: Path, number: signal.Signals) -> None:
    up.start("-r", str(file))
    result = up.stop(number)
    assert result.returncode == 0, up.output.read_text()
    assert result.seconds < PATIENCE
    assert "Traceback" not in up.output.read_text()


def test_up__stops_a_running_build(up: Up, host: Host, tmp_path: Path) -> None:
    fork = host.slow(600)
    file = tmp_path / "github.txt"
    file.write_text(host.pin(fork) + "\n")
    up.start("-r", str(file))
    send(_miss(f"{up.url}/main/forks/+forks/slow/miss"), 30).check(202)
    log = f"main/forks/+forks/slow/{fork.commit}/log"
    _until(lambda: "seconds to go" in str(_text(f"{up.url}/{log}")))
    before = time.monotonic()
    assert up.stop().returncode == 0
    assert time.monotonic() - before < 10
    assert not list((up.serverdir / ".forkbuilder" / "work").glob("build-*"))


def test_up__repairs_what_a_crash_left(up: Up, file: Path, uv: Uv, tmp_path: Path) -> None:
    up.start("-r", str(file))
    serial = up.serial()
    up.stop().check()
    _make_hot(up.serverdir / DATABASE, tmp_path / "other")
    orphan = up.serverdir / "+files" / "main" / "forks" / "+f" / f"a.whl-{'0' * 32}-tmp"
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"half of a file")
    os.utime(orphan, (time.time() - 60, time.time() - 60))
    said = up.start("-r", str(file))
    assert up.serial() == serial
    assert not orphan.exists()
    assert "rolled back" in said
    uv.install(up.index_url, "inline", target=tmp_path / "target").check()
    up.stop().check()


def test_hot_journal__stops_devpi_without_the_repair(up: Up, file: Path, tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    up.start("-r", str(file))
    up.stop().check()
    _make_hot(up.serverdir / DATABASE, tmp_path / "other")
    server = DevpiServer(tmp_path / "plain", template=up.serverdir)
    with pytest.raises(AssertionError, match="readonly database"):
        server.start()


def _make_hot(database: Path, aside: Path) -> None:
    """A database and journal as they are when a process is killed in the middle of a commit.

    SQLite writes pages over only when its cache is full, after it has synced the journal: so with a cache of one page
    both files can be copied in the middle of a transaction.
    """
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE wrecked (content BLOB)")
    for _ in range(50):
        connection.execute("INSERT INTO wrecked VALUES (randomblob(5000))")
    journal = database.with_name(f"{DATABASE}-journal")
    aside.mkdir()
    for path in (database, journal):
        shutil.copy2(path, aside / path.name)
    connection.execute("ROLLBACK")
    connection.close()
    for path in (database, journal):
        shutil.copy2(aside / path.name, path)
    assert journal.stat().st_size > 0


def _until(fine: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fine():
        assert time.monotonic() < deadline
        time.sleep(0.05)  # another process writes what is looked at


def _text(url: str) -> str:
    return send(_request(url), 30).text


def _miss(url: str) -> urllib.request.Request:
    return urllib.request.Request(url, b"{}", {"Content-Type": "application/json"}, method="POST")
