from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, InfrastructureError, LimitsError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.git import bare_repo as repository_module
from devpi_forkbuilder.pipeline.git import fetch_errors
from devpi_forkbuilder.pipeline.git.bare_repo import UNFINISHED
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.credential_files import CredentialFiles
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.process.watch import TransferWatch
from devpi_forkbuilder.pipeline.protocols import CancelledError
from tests.gitserver import BadServer, GitServer
from tests.pipeline.watching import Lines, never
from tests.repositories import Repositories, Repository

NOWHERE = "1234567890" * 4


@pytest.fixture
def fork(repositories: Repositories) -> Repository:
    made = repositories.make("pure-setuptools")
    repositories.commit(made, {"more.txt": "more"})
    return made


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    return Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ, slow_seconds=1))


@pytest.fixture
def log() -> Lines:
    return Lines()


def pin(url: str, commit: str) -> Pin:
    return Pin("fork", url, commit)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def failure(mirrors: Mirrors, url: str, commit: str, log: Lines, history: bool = False) -> ForkbuilderError:
    with pytest.raises(ForkbuilderError) as caught:
        mirrors.fetch(pin(url, commit), log, never, history)
    assert caught.value.next_step
    return caught.value


def test_fetch__one_commit_with_one_request(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    url = git_server.repository_url(fork.name)
    folder = mirrors.fetch(pin(url, fork.commit), log, never)
    assert git(folder, "cat-file", "-t", fork.commit) == "commit"
    assert git(folder, "rev-list", "--count", fork.commit) == "1"
    assert (git_server.fetches(fork.name), mirrors.fetches) == (1, 1)
    assert log.fetches == [f"git fetch {url}"]


def test_fetch__again_without_network(git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    url = git_server.repository_url(fork.name)
    mirrors.fetch(pin(url, fork.commit), log, never)
    git_server.hide(fork.name)
    requests = len(git_server.requests)
    mirrors.fetch(pin(url, fork.commit), log, never)
    assert (len(git_server.requests), mirrors.fetches) == (requests, 1)


def test_fetch__older_commit_of_the_same_repository(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    url = git_server.repository_url(fork.name)
    first = mirrors.fetch(pin(url, fork.commits[0]), log, never)
    assert mirrors.fetch(pin(url, fork.commits[1]), log, never) == first
    assert mirrors.fetches == 3  # one for the commits alone: the first one is not a branch's newest


def test_fetch__host_that_refuses_ids_is_fetched_whole(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    git_server.refuse_ids(fork.name)
    folder = mirrors.fetch(pin(git_server.repository_url(fork.name), fork.commits[0]), log, never)
    assert git(folder, "cat-file", "-t", fork.commits[0]) == "commit"
    assert mirrors.fetches == 2


@pytest.mark.parametrize("ids_refused", [False, True])
def test_fetch__history_has_tags_and_ancestors(
    git_server: GitServer,
    repositories: Repositories,
    fork: Repository,
    mirrors: Mirrors,
    log: Lines,
    ids_refused: bool,
) -> None:
    repositories.tag(fork, "v1", fork.commits[0], annotated=True)
    url = git_server.repository_url(fork.name)
    mirrors.fetch(pin(url, fork.commit), log, never)
    if ids_refused:
        git_server.refuse_ids(fork.name)
    folder = mirrors.fetch(pin(url, fork.commit), log, never, history=True)
    assert git(folder, "describe", fork.commit) == f"v1-1-g{fork.commit[:7]}"
    before = mirrors.fetches
    mirrors.fetch(pin(url, fork.commit), log, never, history=True)
    assert mirrors.fetches == before


def test_fetch__history_of_a_commit_on_no_branch(
    git_server: GitServer, repositories: Repositories, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    proposal = repositories.commit(fork, {"new.txt": ""}, ref="refs/pull/1/head", parent=fork.commits[1])
    wanted = pin(git_server.repository_url(fork.name), proposal)
    folder = mirrors.fetch(wanted, log, never, history=True, anywhere=True)
    assert git(folder, "rev-list", "--count", proposal) == "3"


def test_fetch__long_ids(git_server: GitServer, repositories: Repositories, mirrors: Mirrors, log: Lines) -> None:
    fork = repositories.make("pure-setuptools", "long", object_format="sha256")
    assert len(fork.commit) == 64
    folder = mirrors.fetch(pin(git_server.repository_url("long"), fork.commit), log, never)
    assert git(folder, "cat-file", "-t", fork.commit) == "commit"


def test_fetch__urls_do_not_share_objects(
    git_server: GitServer, repositories: Repositories, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    other = repositories.make("hatchling")
    mirrors.fetch(pin(git_server.repository_url(fork.name), fork.commit), log, never)
    fault = failure(mirrors, git_server.repository_url(other.name), fork.commit, log)
    assert fault.reference == "commit-missing"


@pytest.mark.parametrize("history", [False, True])
@pytest.mark.parametrize("ids_refused", [False, True])
def test_fetch__missing_commit(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines, ids_refused: bool, history: bool
) -> None:
    if ids_refused:
        git_server.refuse_ids(fork.name)
    fault = failure(mirrors, git_server.repository_url(fork.name), NOWHERE, log, history)
    assert isinstance(fault, SourceError)
    assert (fault.reference, fault.retryable) == ("commit-missing", False)
    assert NOWHERE in fault.what


def test_fetch__missing_commit_may_come_later(
    git_server: GitServer, repositories: Repositories, mirrors: Mirrors, log: Lines
) -> None:
    fork = repositories.make("pure-setuptools")
    twin = repositories.make("pure-setuptools", "twin")
    later = repositories.commit(twin, {"late.txt": "late"})
    url = git_server.repository_url(fork.name)
    assert failure(mirrors, url, later, log).reference == "commit-missing"
    repositories.git("fetch", "-q", str(twin.path), "+refs/heads/*:refs/heads/*", at=fork.path)
    mirrors.fetch(pin(url, later), log, never)


@pytest.mark.parametrize("again", [False, True])
def test_fetch__tag_object_is_no_commit(
    git_server: GitServer, repositories: Repositories, fork: Repository, mirrors: Mirrors, log: Lines, again: bool
) -> None:
    tag = repositories.tag(fork, "v1", annotated=True)
    url = git_server.repository_url(fork.name)
    fault = failure(mirrors, url, tag, log)
    if again:
        fault = failure(mirrors, url, tag, log)
    assert (fault.reference, fault.retryable) == ("not-a-commit", False)
    assert fork.commit in fault.next_step


def test_fetch__tree_is_no_commit(git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    tree = git(fork.path, "rev-parse", f"{fork.commit}^{{tree}}")
    assert failure(mirrors, git_server.repository_url(fork.name), tree, log).reference == "not-a-commit"


def test_fetch__missing_repository(git_server: GitServer, mirrors: Mirrors, log: Lines) -> None:
    fault = failure(mirrors, git_server.repository_url("none"), NOWHERE, log)
    assert (fault.reference, fault.retryable) == ("repository-missing", False)
    assert mirrors.fetches == 1


def test_fetch__missing_repository_on_this_machine(mirrors: Mirrors, log: Lines, tmp_path: Path) -> None:
    fault = failure(mirrors, (tmp_path / "none.git").as_uri(), NOWHERE, log)
    assert fault.reference == "repository-missing"


@pytest.mark.parametrize(
    ("behaviour", "reference", "retryable"),
    [
        ("silent", "host-silent", True),
        ("trickle", "host-silent", True),
        ("drop", "host-unreachable", True),
        ("garbage", "repository-broken", True),
        ("html", "repository-broken", True),
        ("login", "credentials-refused", False),
        ("redirect", "redirect-refused", False),
    ],
)
def test_fetch__host_that_misbehaves(
    mirrors: Mirrors, log: Lines, behaviour: str, reference: str, retryable: bool
) -> None:
    with BadServer(behaviour, "http://169.254.169.254") as server:
        fault = failure(mirrors, server.repository_url("fork"), NOWHERE, log)
    assert (fault.reference, fault.retryable) == (reference, retryable)


def following(tmp_path: Path, follows: Callable[[str], bool] = lambda _url: True) -> Mirrors:
    return Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ, slow_seconds=1, follows=follows))


def test_fetch__of_a_repository_that_was_renamed(
    git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines
) -> None:
    new = git_server.repository_url(fork.name)
    git_server.move("oldest", git_server.repository_url("older"))
    git_server.move("older", new)
    old = git_server.repository_url("oldest")
    mirror = following(tmp_path).fetch(pin(old, fork.commit), log, never, history=True)
    assert git(mirror, "cat-file", "-t", fork.commit) == "commit"
    assert f"has moved to {new}: following; pin the new URL" in log.text


def test_fetch__a_login_is_looked_up_for_the_new_path(
    git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines
) -> None:
    git_server.require_login(fork.name, "builder", "canary")
    git_server.move("old", git_server.repository_url(fork.name))
    store = tmp_path / "store"
    store.write_text(git_server.repository_url("old").replace("://", "://builder:canary@") + "\n")
    store.chmod(0o600)
    access = CredentialFiles(credentials_file=store)
    mirrors = Mirrors(tmp_path / "m", Git(tmp_path / "home", os.environ, access=access, follows=lambda _url: True))
    old = git_server.repository_url("old")
    assert failure(mirrors, old, fork.commit, log).reference == "credentials-refused"
    store.write_text(git_server.repository_url(fork.name).replace("://", "://builder:canary@") + "\n")
    mirrors.fetch(pin(old, fork.commit), log, never)


@pytest.mark.parametrize("target", ["other-host", "other-port", "not-allowed", "login-page", "itself", "in-circles"])
def test_fetch__redirects_that_are_not_followed(
    git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines, target: str
) -> None:
    good = git_server.repository_url(fork.name)
    port = git_server.url.rpartition(":")[2]
    with BadServer("silent") as other:
        locations = {
            "other-host": good.replace("127.0.0.1", "localhost"),
            "other-port": other.repository_url(fork.name),
            "not-allowed": good,
            "login-page": f"http://127.0.0.1:{port}/login?back=",
            "itself": git_server.repository_url("old"),
            "in-circles": git_server.repository_url("older"),
        }
        git_server.move("old", locations[target])
        git_server.move("older", git_server.repository_url("old"))
        mirrors = following(tmp_path, lambda url: target != "not-allowed" or "old" in url)
        fault = failure(mirrors, git_server.repository_url("old"), fork.commit, log)
        assert (fault.reference, fault.retryable) == ("redirect-refused", False)
        assert not git_server.requests_for(fork.name)
        assert not other.requests


def test_fetch__cut_in_mid_pack(
    git_server: GitServer, repositories: Repositories, mirrors: Mirrors, log: Lines
) -> None:
    fork = repositories.make("pure-setuptools", files={"noise": os.urandom(400_000)})
    url = git_server.repository_url(fork.name)
    git_server.cut(fork.name, 200_000)
    for _ in range(3):
        fault = failure(mirrors, url, fork.commit, log)
        assert (fault.reference, fault.retryable) == ("transfer-cut", True)
        assert "broke the transfer off: '" in fault.what
        assert not list(mirrors.root.rglob("tmp_*"))
    git_server.reset(fork.name)
    mirrors.fetch(pin(url, fork.commit), log, never)


def test_fetch__of_a_damaged_repository_quotes_the_host(
    git_server: GitServer, repositories: Repositories, mirrors: Mirrors, log: Lines
) -> None:
    fork = repositories.make("pure-setuptools", files={"noise": os.urandom(4000)})
    blob = repositories.git("rev-parse", f"{fork.commit}:noise", at=fork.path).strip()
    (fork.path / "objects" / blob[:2] / blob[2:]).unlink()
    fault = failure(mirrors, git_server.repository_url(fork.name), fork.commit, log)
    assert (fault.reference, fault.retryable) == ("transfer-cut", True)
    assert "could not be reached" not in fault.what
    assert "possible repository corruption on the remote side" in fault.what


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (b"remote: first\nremote: the disk is on fire.\nfatal: early EOF\n", ": 'the disk is on fire'"),
        (b"fatal: unable to access 'https://a:b@h/x': nope\n", ": 'unable to access 'https://h/x': nope'"),
        (b"remote: \x1b[31mred\xff\n", ": '[31mred'"),
        (b"remote: " + b"x" * 1000, ": '" + "x" * 160 + "'"),
        (b"", ""),
    ],
)
def test_cut__words_of_the_host_are_made_harmless(words: bytes, quoted: str) -> None:
    assert fetch_errors.cut("https://h/x", words).what == f"The git host h broke the transfer off{quoted}."


def test_fetch__redirect_is_not_followed(git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    with BadServer("redirect", git_server.url) as server:
        failure(mirrors, server.repository_url(fork.name), fork.commit, log)
    assert not git_server.requests


def test_fetch__nobody_listens(mirrors: Mirrors, log: Lines) -> None:
    with BadServer("drop") as server:
        url = server.repository_url("fork")
    fault = failure(mirrors, url, NOWHERE, log)
    assert (fault.reference, fault.retryable) == ("host-unreachable", True)


@pytest.mark.parametrize(("password", "good"), [("right", True), ("wrong", False), (None, False)])
def test_fetch__login(
    git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines, password: str | None, good: bool
) -> None:
    git_server.require_login(fork.name, "builder", "right")
    store = tmp_path / "credentials"
    store.touch(0o600)
    store.write_text(git_server.url.replace("://", f"://builder:{password}@") if password else "")
    access = CredentialFiles(credentials_file=store)
    mirrors = Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ, access=access))
    url = git_server.repository_url(fork.name)
    if good:
        mirrors.fetch(pin(url, fork.commit), log, never)
        assert git_server.fetches(fork.name) == 1
    else:
        fault = failure(mirrors, url, fork.commit, log)
        assert (fault.reference, fault.retryable) == ("credentials-refused", False)
        assert not password or password not in fault.message


def test_fetch__unsafe_objects_do_not_come_in(
    git_server: GitServer, repositories: Repositories, mirrors: Mirrors, log: Lines
) -> None:
    fork = repositories.make("pure-setuptools")
    blob = repositories.git("hash-object", "-w", "--stdin", at=fork.path, stdin=b"[core]\n\tfsmonitor = touch x\n")
    inner = repositories.git("mktree", at=fork.path, stdin=f"100644 blob {blob.strip()}\tconfig\n".encode())
    tree = repositories.git("mktree", at=fork.path, stdin=f"040000 tree {inner.strip()}\t.git\n".encode())
    commit = f"tree {tree.strip()}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
    evil = repositories.git("hash-object", "-w", "-t", "commit", "--stdin", at=fork.path, stdin=commit.encode())
    fault = failure(mirrors, git_server.repository_url(fork.name), evil.strip(), log)
    assert (fault.reference, fault.retryable) == ("repository-unsafe", False)


def test_fetch__refused_by_policy(git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines) -> None:
    url = git_server.repository_url(fork.name)
    mirrors = Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ), allows=lambda asked: asked != url)
    with pytest.raises(RefusedError) as caught:
        mirrors.fetch(pin(url, fork.commit), log, never)
    assert caught.value.reference == "url-refused"
    assert not git_server.requests


def test_fetch__full_disk(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(repository_module.shutil, "disk_usage", lambda _path: usage(100, 99, 1))
    fault = failure(mirrors, git_server.repository_url(fork.name), fork.commit, log)
    assert isinstance(fault, InfrastructureError)
    assert (fault.reference, fault.retryable) == ("disk-full", True)


def test_fetch__after_a_crash_in_the_middle(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    url = git_server.repository_url(fork.name)
    folder = mirrors.fetch(pin(url, fork.commits[0]), log, never)
    (folder / UNFINISHED).touch()
    (folder / "shallow.lock").touch()
    mirrors.fetch(pin(url, fork.commits[1]), log, never)
    assert not (folder / "shallow.lock").exists()


def test_fetch__damaged_mirror_is_fetched_again(
    git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines
) -> None:
    url = git_server.repository_url(fork.name)
    folder = mirrors.fetch(pin(url, fork.commits[0]), log, never)
    shutil.rmtree(folder / "objects")
    mirrors.fetch(pin(url, fork.commits[1]), log, never)
    assert git(folder, "cat-file", "-t", fork.commits[1]) == "commit"


def test_fetch__ended_by_the_timeout_leaves_no_process_and_starts_anew(
    git_server: GitServer, fork: Repository, tmp_path: Path, log: Lines
) -> None:
    url = git_server.repository_url(fork.name)
    gate = git_server.hold(fork.name)
    impatient = Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ, timeout=0.5))
    with pytest.raises(LimitsError) as caught:
        impatient.fetch(pin(url, fork.commit), log, never)
    assert caught.value.reference == "timeout"
    gate.open()
    git_server.reset(fork.name)
    Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ)).fetch(pin(url, fork.commit), log, never)


def test_fetch__cancelled_in_the_middle(git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    gate = git_server.hold(fork.name)
    with pytest.raises(CancelledError):
        mirrors.fetch(pin(git_server.repository_url(fork.name), fork.commit), log, gate.reached.is_set)


def test_fetch__many_threads_fetch_once(git_server: GitServer, fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    url = git_server.repository_url(fork.name)
    gate = git_server.hold(fork.name)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(mirrors.fetch(pin(url, fork.commit), log, never)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    gate.wait_until_reached()
    gate.open()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert git_server.fetches(fork.name) == 1


def test_opened__held_against_other_processes(fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    url = fork.file_url
    with mirrors.opened(url, fork.commit, TransferWatch(log, never)) as mirror:
        lock = mirror.folder.with_suffix(".lock")
        tried = subprocess.run(["flock", "--nonblock", str(lock), "true"], check=False)
        assert tried.returncode == 1
    assert subprocess.run(["flock", "--nonblock", str(lock), "true"], check=False).returncode == 0


def test_opened__lock_of_a_killed_process_is_free(fork: Repository, mirrors: Mirrors, log: Lines) -> None:
    with mirrors.opened(fork.file_url, fork.commit, TransferWatch(log, never)) as mirror:
        lock = mirror.folder.with_suffix(".lock")
    command = ["flock", str(lock), "sh", "-c", "echo held; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(CancelledError):
            mirrors.fetch(pin(fork.file_url, fork.commit), log, lambda: True)
        os.killpg(holder.pid, signal.SIGKILL)
    mirrors.fetch(pin(fork.file_url, fork.commit), log, never)


def test_fetch__folder_that_cannot_be_made(fork: Repository, tmp_path: Path, log: Lines) -> None:
    (tmp_path / "file").touch()
    mirrors = Mirrors(tmp_path / "file" / "mirrors", Git(tmp_path / "home", os.environ))
    fault = failure(mirrors, fork.file_url, fork.commit, log)
    assert fault.reference == "mirror-folder"
