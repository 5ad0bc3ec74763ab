from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.errors import InfrastructureError, LimitsError, RefusedError, SourceError
from devpi_forkbuilder.pipeline.git.ls_remote import ls_remote
from devpi_forkbuilder.pipeline.process.command import Command
from devpi_forkbuilder.pipeline.process.runner import run_as_user
from devpi_forkbuilder.pipeline.protocols import CancelledError
from tests.gitserver import BadServer
from tests.repositories import Repositories, Repository
from tests.surroundings import clean_environment


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return clean_environment(tmp_path)


@pytest.fixture
def fork(repositories: Repositories) -> Iterator[Repository]:
    made = repositories.make("same-version-two-commits", tag="v1")
    repositories.tag(made, "annotated", annotated=True)
    return made


def test_ls_remote__only_what_is_asked_for(fork, git_server, environ):
    url = git_server.repository_url(fork.name)
    names = ("refs/tags/v1", "refs/tags/annotated", "refs/tags/annotated^{}", "refs/heads/none")
    found = ls_remote(url, names, environ)
    assert set(found) == {"refs/tags/v1", "refs/tags/annotated", "refs/tags/annotated^{}"}
    assert found["refs/tags/annotated^{}"] == fork.commit
    assert found["refs/tags/annotated"] != fork.commit
    assert ls_remote(url, ["HEAD"], environ) == {"HEAD": fork.commit}
    assert set(ls_remote(url, (), environ)) >= {"HEAD", "refs/heads/main", "refs/tags/v1"}


def test_ls_remote__with_the_users_configuration_but_not_that_of_the_folder(fork, git_server, environ, tmp_path):
    (tmp_path / ".gitconfig").write_text(f'[url "{git_server.url}/"]\n\tinsteadOf = https://forks.example.com/\n')
    del environ["GIT_CONFIG_GLOBAL"]
    url = f"https://forks.example.com/{fork.name}.git"
    # as in a hook, whose git says which repository it is in
    assert "HEAD" in ls_remote(url, ["HEAD"], {**environ, "GIT_DIR": str(tmp_path / "nowhere")})


@pytest.mark.parametrize("behaviour", ["login", "drop", "garbage", "html"])
def test_ls_remote__a_host_that_gives_no_refs(behaviour, environ):
    with BadServer(behaviour) as server, pytest.raises(SourceError) as caught:
        ls_remote(server.repository_url("x"), ["HEAD"], environ)
    assert caught.value.reference == "repository-unreachable"
    assert "\n" not in caught.value.message
    assert caught.value.next_step == f"Try: git ls-remote {server.repository_url('x')}"


def test_ls_remote__a_host_that_says_nothing(environ):
    with BadServer("silent") as server, pytest.raises(SourceError, match=r"longer than 0\.5 seconds"):
        ls_remote(server.repository_url("x"), ["HEAD"], environ, timeout=0.5)


def test_ls_remote__can_be_ended(environ):
    with BadServer("silent") as server, pytest.raises(CancelledError):
        ls_remote(server.repository_url("x"), ["HEAD"], environ, cancelled=server.asked.is_set)


@pytest.mark.parametrize("url", ["ext::sh -c x", "--upload-pack=x", "https://me:word@h.example.com/x", "-x"])
def test_ls_remote__runs_on_no_url_but_ours(url, environ):
    with pytest.raises(RefusedError) as caught:
        ls_remote(url, ["HEAD"], {**environ, "PATH": ""})
    assert "word" not in str(caught.value)


def test_ls_remote__no_git(environ):
    with pytest.raises(InfrastructureError, match="git, which is not installed here"):
        ls_remote("https://h.example.com/x", ["HEAD"], {**environ, "PATH": "/nonexistent"})


def command(tmp_path: Path, script: str, **more: object) -> Command:
    values = {"timeout": 30.0, "capture_limit": 1000, **more}
    return Command(("sh", "-c", script), clean_environment(tmp_path), tmp_path, label="sh", **values)  # type: ignore[arg-type]


def test_run_as_user__output_and_its_end(tmp_path):
    finished = run_as_user(command(tmp_path, "echo out; echo err >&2; exit 3"), cancelled=lambda: False)
    assert (finished.returncode, finished.stdout, finished.tail) == (3, b"out\n", b"err\n")


def test_run_as_user__bounds_time_and_output(tmp_path):
    with pytest.raises(LimitsError, match="more than 1000 bytes"):
        run_as_user(command(tmp_path, "while :; do echo 0123456789; done"), cancelled=lambda: False)
    with pytest.raises(LimitsError, match="more than 1000 bytes"):
        run_as_user(command(tmp_path, "head -c 2000 /dev/zero"), cancelled=lambda: False)
    with pytest.raises(LimitsError, match=r"longer than 0\.3 seconds"):
        run_as_user(command(tmp_path, "trap '' TERM; sleep 60 & wait; sleep 60", timeout=0.3), cancelled=lambda: False)


def test_run_as_user__what_it_leaves_to_run_is_left_alone(tmp_path):
    finished = run_as_user(command(tmp_path, "sleep 60 & echo $!"), cancelled=lambda: False)
    pid = int(finished.stdout)
    os.kill(pid, 0)
    os.kill(pid, 9)
