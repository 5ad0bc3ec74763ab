from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import RefusedError
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from tests.gitserver import GitServer
from tests.pipeline.watching import Lines, never
from tests.repositories import Repositories, Repository

PASSWORD = "canary-5ebe2294"


@pytest.fixture
def fork(repositories: Repositories) -> Repository:
    return repositories.make("pure-setuptools")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def log() -> Lines:
    return Lines()


@pytest.fixture
def into(tmp_path: Path, home: Path, log: Lines) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    done = Git(home, os.environ).local(folder, "init", "-q", "--bare", "--template=", watch=TransferWatch(log, never))
    assert done.returncode == 0
    return folder


def fetch(git: Git, into: Path, url: str, what: str, log: Lines) -> tuple[int, tuple[int, ...]]:
    transfer = git.network(into, url, "fetch", "--depth=1", "--", url, what, watch=TransferWatch(log, never))
    return transfer.finished.returncode, transfer.statuses


def credentials(tmp_path: Path, url: str, password: str = PASSWORD) -> Path:
    path = tmp_path / "it's credentials"
    path.write_text(url.replace("://", f"://builder:{password}@") + "\n")
    path.chmod(0o600)
    return path


def test_network__statuses_of_a_good_fetch(
    git_server: GitServer, fork: Repository, home: Path, into: Path, log: Lines
) -> None:
    code, statuses = fetch(Git(home, os.environ), into, git_server.repository_url(fork.name), fork.commit, log)
    assert (code, set(statuses)) == (0, {200})


def test_network__statuses_of_a_missing_repository(git_server: GitServer, home: Path, into: Path, log: Lines) -> None:
    code, statuses = fetch(Git(home, os.environ), into, git_server.repository_url("none"), "main", log)
    assert code != 0
    assert statuses[-1] == 404


def test_network__credentials_reach_the_host_and_nothing_else(
    git_server: GitServer, fork: Repository, home: Path, into: Path, tmp_path: Path, log: Lines
) -> None:
    git_server.require_login(fork.name, "builder", PASSWORD)
    store = credentials(tmp_path, git_server.url)
    git = Git(home, os.environ, access=CredentialFiles(credentials_file=store))
    code, statuses = fetch(git, into, git_server.repository_url(fork.name), fork.commit, log)
    assert (code, statuses[0], set(statuses[1:])) == (0, 401, {200})
    assert PASSWORD not in log.text
    files = [path for folder in (into, home) for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


def test_network__credentials_are_in_no_argument(
    git_server: GitServer, fork: Repository, home: Path, into: Path, tmp_path: Path, log: Lines
) -> None:
    git_server.require_login(fork.name, "builder", PASSWORD)
    programs = tmp_path / "programs"
    programs.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (programs / "git").write_text(
        f'#!/bin/sh\ncat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " >> "{tmp_path}/seen"\nexec {real} "$@"\n'
    )
    (programs / "git").chmod(0o755)
    base = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    git = Git(home, base, access=CredentialFiles(credentials_file=credentials(tmp_path, git_server.url)))
    assert fetch(git, into, git_server.repository_url(fork.name), fork.commit, log)[0] == 0
    seen = (tmp_path / "seen").read_text()
    assert "fetch" in seen
    assert PASSWORD not in seen


def test_network__refused_credentials_stay_in_the_file(
    git_server: GitServer, fork: Repository, home: Path, into: Path, tmp_path: Path, log: Lines
) -> None:
    git_server.require_login(fork.name, "builder", "another")
    store = credentials(tmp_path, git_server.url)
    before = store.read_bytes(), store.stat().st_mtime_ns
    git = Git(home, os.environ, access=CredentialFiles(credentials_file=store))
    code, statuses = fetch(git, into, git_server.repository_url(fork.name), fork.commit, log)
    assert (code, statuses[-1]) == (128, 401)
    assert (store.read_bytes(), store.stat().st_mtime_ns) == before


def test_network__credentials_are_for_their_host_only(
    git_server: GitServer, fork: Repository, home: Path, into: Path, tmp_path: Path, log: Lines
) -> None:
    git_server.require_login(fork.name, "builder", PASSWORD)
    git = Git(
        home, os.environ, access=CredentialFiles(credentials_file=credentials(tmp_path, "http://elsewhere.example"))
    )
    assert fetch(git, into, git_server.repository_url(fork.name), fork.commit, log)[1] == (401,)


@pytest.mark.parametrize("word", ["--upload-pack=touch {};false", "-oProxyCommand=touch {}", "--exec=touch {}"])
def test_network__what_looks_like_an_option_is_none(
    fork: Repository, home: Path, into: Path, tmp_path: Path, log: Lines, word: str
) -> None:
    marker = tmp_path / "marker"
    assert fetch(Git(home, os.environ), into, fork.file_url, word.format(marker), log)[0] != 0
    assert not marker.exists()


@pytest.mark.parametrize(
    "url",
    [
        "--upload-pack=touch {};false",
        "ext::sh -c touch% {}",
        "ext::touch",
        "fd::0",
        "https::ext::x",
        "/etc",
        "git://host/x",
        "ssh://-oProxyCommand=touch%20{}/x",
        "https://user:canary@host/x",
        "https://host/x%0ay",
    ],
)
def test_network__other_urls_never_reach_git(home: Path, into: Path, tmp_path: Path, log: Lines, url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        fetch(Git(home, os.environ), into, url.format(tmp_path / "marker"), "main", log)
    assert caught.value.reference == "url-refused"
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "marker").exists()


def test_network__only_the_transport_of_the_url(fork: Repository, home: Path, into: Path, log: Lines) -> None:
    transfer = Git(home, os.environ).network(
        into, "https://example.invalid/x", "fetch", "--", fork.file_url, "main", watch=TransferWatch(log, never)
    )
    assert transfer.finished.returncode != 0
    assert "transport 'file' not allowed" in log.text


def test_local__no_transport_at_all(fork: Repository, home: Path, into: Path, log: Lines) -> None:
    done = Git(home, os.environ).local(into, "fetch", "--", fork.file_url, "main", watch=TransferWatch(log, never))
    assert done.returncode != 0


def test_local__configuration_of_others_is_not_read(
    home: Path, into: Path, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(exist_ok=True)
    (home / ".gitconfig").write_text("[user]\n\tname = canary\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name=canary'")
    done = Git(home, os.environ).local(into, "config", "--list", watch=TransferWatch(log, never))
    assert b"canary" not in done.stdout
    assert b"core.hookspath=/dev/null" in done.stdout


def test_network__ssh_command_is_ours(tmp_path: Path, home: Path, into: Path, log: Lines) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "ssh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/arguments"\nexit 255\n')
    (programs / "ssh").chmod(0o755)
    key, hosts = tmp_path / "a key", tmp_path / "known hosts"
    key.touch(0o600)
    hosts.touch(0o644)
    base = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "SSH_AUTH_SOCK": "/tmp/agent"}
    git = Git(home, base, access=CredentialFiles(ssh_key=key, known_hosts=hosts))
    assert fetch(git, into, "ssh://git@host.example/org/name.git", "main", log)[0] != 0
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert f'-oIdentityFile="{key}"' in arguments
    assert f'-oUserKnownHostsFile="{hosts}"' in arguments
    assert "-oBatchMode=yes" in arguments
    assert "git@host.example" in arguments
