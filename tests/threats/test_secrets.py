"""Secrets, planted wherever a server has some, and looked for wherever they could have got to."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from string import ascii_letters, digits
from urllib.parse import quote, urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpi_forkbuilder.errors import InfrastructureError
from devpi_forkbuilder.options import CREDENTIALS_FILE
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.credential_helper import Secret, answer_git, best, parse
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from tests.functional.conftest import MakeLive
from tests.gitserver import GitServer
from tests.live import Live
from tests.pipeline.watching import Lines, never
from tests.processes import descendants
from tests.repositories import Repositories
from tests.threats.hostile import reporting

CANARY = "canary-9d1f2e"

# the file


def file_of(folder: Path, *lines: str, mode: int = 0o600) -> Path:
    path = folder / "credentials"
    path.touch(0o600)
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path


def test_secret__is_not_printed() -> None:
    secret = Secret(CANARY)
    for shown in (
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{[secret]}",
        "-".join(map(str, [secret])),
        str({1: secret}),
    ):
        assert CANARY not in shown
    assert secret.reveal() == CANARY
    for written in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            written(secret)


def test_credentials__are_not_printed() -> None:
    found, _ = parse(f"https://me:{CANARY}@host\n")
    assert CANARY not in repr(found)


LINES = """\
# a comment

https://host:everything@git.example.com
https://org:of-org@git.example.com/org
https://one:of-one@git.example.com/org/one.git
https://port:of-port@git.example.com:8443
http://plain:of-plain@git.example.com
https://p%40q:a%2Fb%3A%40c@other.example.com
"""


@pytest.mark.parametrize(
    ("protocol", "host", "path", "user"),
    [
        ("https", "git.example.com", "else/x.git", "host"),
        ("https", "GIT.example.com", "else/x.git", "host"),
        ("https", "git.example.com", "org/two.git", "org"),
        ("https", "git.example.com", "org/one.git", "one"),
        ("https", "git.example.com", "org/one", "one"),
        ("https", "git.example.com", "org/one/below", "one"),
        ("https", "git.example.com", "organic/x.git", "host"),
        ("https", "git.example.com", "org-evil/x.git", "host"),
        ("https", "git.example.com", "", "host"),
        ("https", "git.example.com:8443", "org/one.git", "port"),
        ("http", "git.example.com", "org/one.git", "plain"),
        ("https", "other.example.com", "x", "p@q"),
        ("https", "git.example.com.evil.example", "org/one.git", None),
        ("https", "evil.example", "git.example.com/org/one.git", None),
        ("http", "other.example.com", "x", None),
    ],
)
def test_credentials__go_to_their_host_and_path(protocol: str, host: str, path: str, user: str | None) -> None:
    found, bad = parse(LINES)
    one = best(found, protocol, host, path)
    assert (one.username if one else None, bad) == (user, ())


def test_credentials__are_percent_decoded(tmp_path: Path) -> None:
    told = answer_git(file_of(tmp_path, *LINES.splitlines()), "protocol=https\nhost=other.example.com\npath=x\n")
    assert told == "username=p@q\npassword=a/b:@c\n"


@pytest.mark.parametrize(
    "line",
    [
        "https://host/path",
        "https://me@host",
        "https://:x@host",
        "https://me:@host",
        "me:x@host",
        "https://me:x%0apassword=y@host",
        "https://m%0de:x@host",
        "https://[::1:x@host",
        "nonsense",
    ],
)
def test_credentials__odd_lines_are_counted_and_left_out(line: str) -> None:
    assert parse(f"{line}\n") == ((), (1,))


TEXT = st.text(ascii_letters + digits + " !@:/?#%+äß€", min_size=1, max_size=20)


@given(user=TEXT, password=TEXT)
def test_credentials__any_text_survives_the_file(user: str, password: str) -> None:
    (one,), bad = parse(f"https://{quote(user, '')}:{quote(password, '')}@host/a%20b")
    assert (one.username, one.password.reveal(), one.path, bad) == (user, password, ("a b",), ())


@given(st.text())
def test_credentials__any_file_is_read(text: str) -> None:
    found, bad = parse(text)
    assert len(found) + len(bad) <= len(text.splitlines())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610])
@pytest.mark.parametrize("option", ["credentials_file", "ssh_key"])
def test_access__file_that_others_may_use(tmp_path: Path, mode: int, option: str) -> None:
    path = file_of(tmp_path, f"https://me:{CANARY}@host", mode=mode)
    with pytest.raises(InfrastructureError) as caught:
        CredentialFiles(**{option: path}).check()
    assert caught.value.reference == "secret-exposed"
    assert f"chmod 600 {path}" in caught.value.next_step
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_access__file_of_ones_own(tmp_path: Path, mode: int) -> None:
    CredentialFiles(credentials_file=file_of(tmp_path, "https://me:x@host", mode=mode)).check()


def test_access__missing_or_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("none", "link", "pipe", "."):
        with pytest.raises(InfrastructureError) as caught:
            CredentialFiles(ssh_key=tmp_path / name).check()
        assert caught.value.reference == "secret-missing"


def test_access__known_hosts_that_others_may_write(tmp_path: Path) -> None:
    path = file_of(tmp_path, "host ssh-ed25519 AAAA", mode=0o666)
    with pytest.raises(InfrastructureError) as caught:
        CredentialFiles(known_hosts=path).check()
    assert caught.value.reference == "known-hosts-exposed"
    path.chmod(0o644)
    CredentialFiles(known_hosts=path).check()


def test_fetch__file_that_others_may_read_is_not_used(
    git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    """And it is as soon as it is fixed, without a new start."""
    fork = repositories.make("inline")
    git_server.require_login(fork.name, "me", CANARY)
    path = file_of(tmp_path, git_server.url.replace("//", f"//me:{CANARY}@"), mode=0o644)
    git = Git(tmp_path / "home", os.environ, access=CredentialFiles(path))
    url = git_server.repository_url(fork.name)
    with pytest.raises(InfrastructureError):
        git.network(tmp_path, url, "ls-remote", url, watch=TransferWatch(Lines(), never))
    assert not git_server.requests
    path.chmod(0o600)
    assert git.network(tmp_path, url, "ls-remote", url, watch=TransferWatch(Lines(), never)).finished.returncode == 0


def test_fetch__one_login_for_each_organisation_of_a_host(
    git_server: GitServer, repositories: Repositories, tmp_path: Path
) -> None:
    one, two = repositories.make("inline", name="one/x"), repositories.make("inline", name="two/x")
    git_server.require_login(one.name, "me", "of-one")
    git_server.require_login(two.name, "me", "of-two")
    lines = [git_server.url.replace("//", f"//me:of-{name}@") + f"/{name}" for name in ("one", "two")]
    git = Git(tmp_path / "home", os.environ, access=CredentialFiles(file_of(tmp_path, *lines)))
    for fork in (one, two):
        url = git_server.repository_url(fork.name)
        assert (
            git.network(tmp_path, url, "ls-remote", url, watch=TransferWatch(Lines(), never)).finished.returncode == 0
        )


# a full run


class Canaries:
    """Secrets by the place that they are in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.secrets = {
            name: f"{CANARY}-{name}-{os.urandom(6).hex()}" for name in ("git", "ssh", "env", "other", "wrong")
        }
        self.credentials = folder / "credentials"
        self.key = folder / "key"
        self.other = folder / "other-build"
        for path in (self.credentials, self.key):
            path.touch(0o600)
        self.key.write_text(f"-----BEGIN OPENSSH PRIVATE KEY-----\n{self.secrets['ssh']}\n")
        self.other.write_text(self.secrets["other"])

    def options(self) -> tuple[str, ...]:
        return ("--forkbuilder-ssh-key", str(self.key))

    def environment(self) -> Mapping[str, str]:
        return {"SERVER_TOKEN": self.secrets["env"], CREDENTIALS_FILE: str(self.credentials)}

    def found_in(self, data: bytes) -> set[str]:
        return {name for name, secret in self.secrets.items() if secret.encode() in data}


class Sampler:
    """Looks at the command lines of all processes below one, all the time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[Sampler]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            self.seen |= {process.command for process in descendants(self.pid)}


def crawl(live: Live, *paths: str) -> Iterator[tuple[str, bytes]]:
    """Every page that leads somewhere on this server, as nobody and as root: body, headers and status line."""
    wanted, seen = list(paths), set()
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        for user in (None, "root"):
            for accept in ("application/json", "text/html"):
                answered = live.server.api("GET", path, user=user, headers={"Accept": accept})
                head = f"{answered.reason} {dict(answered.headers)}".encode()
                yield path, head + _unpacked(answered.body)
                if user is None and len(seen) < 150:
                    wanted += _links(live, path, answered.body)


def _links(live: Live, path: str, body: bytes) -> list[str]:
    base = f"{live.server.url}/{path.lstrip('/')}"
    found = re.findall(rb'(?:href|src)="([^"]+)"|"(https?://[^"]+)"', body)
    urls = {urljoin(base, (one or two).decode(errors="replace")).partition("#")[0] for one, two in found}
    return sorted(url.removeprefix(live.server.url) for url in urls if url.startswith(f"{live.server.url}/"))


def _unpacked(body: bytes) -> bytes:
    """With the members of an archive beside it."""
    if not body.startswith(b"PK"):
        return body
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return body + b"".join(archive.read(name) for name in archive.namelist())


def test_run__no_secret_anywhere(own: MakeLive, tmp_path: Path) -> None:
    """A fork that looks for them, one that fails, one whose login is refused; then every file, page and process."""
    canaries = Canaries(tmp_path / "canaries")
    live = own(*canaries.options(), environment=canaries.environment())
    canaries.secrets["server"] = (live.server.serverdir / "secret").read_text().strip()
    places = [canaries.credentials, canaries.key, canaries.other, live.server.serverdir / "secret"]
    wanted = ", ".join(f"{str(place)!r}: attempt(read, {str(place)!r})" for place in places)
    everything = "attempt(lambda: [attempt(read, path) for path in glob.glob('/proc/*/environ')])"
    spy = live.host.fork("inline", files=reporting(f"{{{wanted}, 'env': repr(dict(os.environ)), 'all': {everything}}}"))
    bad, locked = live.host.fork("fails"), live.host.fork("pure-setuptools")
    for fork in (spy, bad):
        live.host.git.require_login(fork.name, "me", canaries.secrets["git"])
    live.host.git.require_login(locked.name, "me", "another")
    root = live.host.git.url.replace("//", f"//me:{canaries.secrets['git']}@")
    wrong = live.host.git.url.replace("//", f"//me:{canaries.secrets['wrong']}@")
    canaries.credentials.write_text(f"{root}\n{wrong}/{locked.name}.git\n")
    with Sampler(live.server.pid).at_work() as sampler:
        index = live.index_of(spy, bad, locked)
        states = [live.outcome(index, fork.project) for fork in (spy, bad, locked)]
    assert [(state["state"], (state["error"] or {}).get("kind")) for state in states] == [
        ("built", None),
        ("failed", "build"),
        ("failed", "source"),
    ]
    pages = list(
        crawl(
            live,
            "/",
            "/+api",
            "/+status",
            "/+forkbuilder/metrics",
            "/root",
            f"/{index}",
            f"/{index}/+forks",
            f"/{index}/+simple/",
            *(f"/{index}/+simple/{fork.project}/" for fork in (spy, bad, locked)),
            *(f"/{index}/{fork.project}" for fork in (spy, bad, locked)),
            *(f"/{index}/+forks/{fork.project}/{fork.commit}/log" for fork in (spy, bad, locked)),
        )
    )
    assert len({path for path, _ in pages}) > 20
    assert any(b"report.json" in page for _, page in pages)
    assert {path: found for path, page in pages if (found := canaries.found_in(page))} == {}
    assert any("git" in command for command in sampler.seen)
    assert {command for command in sampler.seen if canaries.found_in(command.encode())} == set()
    live.server.stop()
    given = {live.server.serverdir / "secret"}
    files = [path for path in live.server.folder.rglob("*") if path.is_file() and path not in given]
    assert live.server.log in files
    assert {path: found for path in files if (found := canaries.found_in(_unpacked(path.read_bytes())))} == {}
