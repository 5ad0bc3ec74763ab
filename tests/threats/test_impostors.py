"""Commits that a host gives under a repository's URL though they are not the repository's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.domain.pins.settings import IndexSettings
from devpi_forkbuilder.errors import ForkbuilderError, LimitsError, RefusedError
from devpi_forkbuilder.pipeline.git.bare_repo import Room
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from tests.gitserver import GitServer
from tests.pipeline.benches import Follower, order, wheel_builder
from tests.pipeline.watching import Lines, never, watch
from tests.repositories import Repositories, Repository, Submodule
from tests.server.app import App, pin


@pytest.fixture
def fork(repositories: Repositories) -> Repository:
    """A repository with three commits on its branch."""
    made = repositories.make("inline")
    for number in (2, 3):
        repositories.commit(made, {f"more-{number}.txt": ""})
    return made


@pytest.fixture
def impostor(repositories: Repositories, fork: Repository) -> str:
    """A commit of somebody else's fork, in the object store that the host has for both."""
    evil = repositories.empty("somebody-elses")
    (evil.path / "objects" / "info" / "alternates").write_text(f"{fork.path}/objects\n")
    commit = repositories.commit(evil, {"inline_backend.py": "raise SystemExit('owned')"}, parent=fork.commit)
    (fork.path / "objects" / "info" / "alternates").write_text(f"{evil.path}/objects\n")
    return commit


@pytest.fixture
def mirrors(tmp_path: Path) -> Mirrors:
    return Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ))


def take(mirrors: Mirrors, url: str, commit: str, *, anywhere: bool = False) -> Lines:
    log = Lines()
    mirrors.fetch(Pin("inline", url, commit), log, never, anywhere=anywhere)
    return log


def refusal(mirrors: Mirrors, url: str, commit: str) -> ForkbuilderError:
    with pytest.raises(ForkbuilderError) as caught:
        take(mirrors, url, commit)
    return caught.value


def test_host__gives_the_impostor_under_the_victims_url(
    git_server: GitServer, repositories: Repositories, fork: Repository, impostor: str, tmp_path: Path
) -> None:
    """Without the check it would be built: this is what the other tests stand on."""
    url = git_server.repository_url(fork.name)
    repositories.git("init", "-q", "--bare", str(tmp_path / "into"))
    repositories.git("fetch", "-q", "--depth=1", url, impostor, at=tmp_path / "into")
    assert repositories.git("cat-file", "-t", impostor, at=tmp_path / "into").strip() == "commit"


@pytest.mark.parametrize("filters", [True, False])
def test_impostor__of_another_fork_is_refused(
    git_server: GitServer, fork: Repository, impostor: str, mirrors: Mirrors, filters: bool
) -> None:
    if not filters:
        git_server.refuse_filters(fork.name)
    fault = refusal(mirrors, git_server.repository_url(fork.name), impostor)
    assert isinstance(fault, RefusedError)
    assert (fault.reference, fault.retryable) == ("commit-unreachable", False)
    assert "on no branch or tag" in fault.what
    assert "fork_unreachable_commits" in fault.next_step


@pytest.mark.parametrize(
    "ref", ["refs/pull/7/head", "refs/merge-requests/7/head", "refs/changes/01/1/1", "refs/notes/x"]
)
@pytest.mark.parametrize("ids_refused", [False, True])
def test_impostor__in_a_proposal_is_refused(
    git_server: GitServer,
    repositories: Repositories,
    fork: Repository,
    mirrors: Mirrors,
    ref: str,
    ids_refused: bool,
) -> None:
    proposal = repositories.commit(fork, {"evil.txt": ""}, ref=ref, parent=fork.commits[0])
    if ids_refused:
        git_server.refuse_ids(fork.name)  # the listing then has all references, and ids are given if one names them
    assert refusal(mirrors, git_server.repository_url(fork.name), proposal).reference == "commit-unreachable"


def test_impostor__again_is_refused_again(
    git_server: GitServer, fork: Repository, impostor: str, mirrors: Mirrors
) -> None:
    """Its objects are in the mirror by then."""
    url = git_server.repository_url(fork.name)
    assert refusal(mirrors, url, impostor).reference == "commit-unreachable"
    assert refusal(mirrors, url, impostor).reference == "commit-unreachable"
    take(mirrors, url, fork.commit)


def test_impostor__is_allowed_where_the_index_says_so_and_only_there(
    git_server: GitServer, fork: Repository, impostor: str, mirrors: Mirrors
) -> None:
    url = git_server.repository_url(fork.name)
    take(mirrors, url, impostor, anywhere=True)
    assert refusal(mirrors, url, impostor).reference == "commit-unreachable"


def test_impostor__as_a_submodule(
    git_server: GitServer, repositories: Repositories, fork: Repository, impostor: str, tmp_path: Path
) -> None:
    modules = f'[submodule "x"]\n\tpath = x\n\turl = ../{fork.name}.git\n'
    above = repositories.make("pure-setuptools", files={".gitmodules": modules, "x": Submodule(impostor)})
    line = repositories.pin_line(above, git_server.url)
    with pytest.raises(RefusedError) as caught, wheel_builder(tmp_path).build(order(line), Follower()):
        pass
    assert caught.value.reference == "commit-unreachable"


def test_commit__newest_of_a_branch_costs_one_listing(
    git_server: GitServer, fork: Repository, mirrors: Mirrors
) -> None:
    take(mirrors, git_server.repository_url(fork.name), fork.commit)
    assert (git_server.fetches(fork.name), git_server.advertisements(fork.name)) == (1, 2)


def test_commit__of_a_tag(
    git_server: GitServer, repositories: Repositories, fork: Repository, mirrors: Mirrors
) -> None:
    for annotated in (True, False):
        commit = repositories.commit(fork, {"x": str(annotated)}, ref="refs/heads/gone", parent=fork.commits[0])
        repositories.tag(fork, f"v{annotated}", commit, annotated=annotated)
        repositories.git("update-ref", "-d", "refs/heads/gone", at=fork.path)
        take(mirrors, git_server.repository_url(fork.name), commit)
    assert git_server.fetches(fork.name) == 2


def test_commit__older_one_costs_the_commits_of_the_repository_once(
    git_server: GitServer, fork: Repository, mirrors: Mirrors
) -> None:
    url = git_server.repository_url(fork.name)
    take(mirrors, url, fork.commits[0])
    assert git_server.fetches(fork.name) == 2
    take(mirrors, url, fork.commits[0])
    assert git_server.fetches(fork.name) == 2
    take(mirrors, url, fork.commits[1])
    packs = list(mirrors.root.rglob("*-commits/objects/pack/*.pack"))
    assert len(packs) == 1  # the second time there was nothing new


def test_commit__older_one_brings_no_files(git_server: GitServer, fork: Repository, mirrors: Mirrors) -> None:
    take(mirrors, git_server.repository_url(fork.name), fork.commits[0])
    (commits,) = mirrors.root.glob("*-commits")
    done = mirrors.git.local(commits, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)", watch=watch())
    assert set(done.stdout.split()) == {b"commit"}


def test_commit__a_branch_made_way_for_a_folder_of_branches(
    git_server: GitServer, repositories: Repositories, fork: Repository, mirrors: Mirrors
) -> None:
    url = git_server.repository_url(fork.name)
    repositories.git("update-ref", "refs/heads/topic", fork.commits[0], at=fork.path)
    take(mirrors, url, fork.commits[0])
    repositories.git("update-ref", "-d", "refs/heads/topic", at=fork.path)
    one = repositories.commit(fork, {"one": ""}, ref="refs/heads/topic/one", parent=fork.commits[0])
    repositories.commit(fork, {"two": ""}, ref="refs/heads/topic/one")
    take(mirrors, url, one)


def test_fetch__has_an_end_in_size(git_server: GitServer, repositories: Repositories, tmp_path: Path) -> None:
    large = repositories.make("inline", files={"large.bin": os.urandom(3 << 20)})
    mirrors = Mirrors(tmp_path / "mirrors", Git(tmp_path / "home", os.environ), room=Room(largest=1 << 20))
    fault = refusal_of_size(mirrors, git_server.repository_url(large.name), large.commit)
    assert fault.reference == "repository-too-large"
    assert not list(mirrors.root.rglob("*.pack"))


def refusal_of_size(mirrors: Mirrors, url: str, commit: str) -> LimitsError:
    with pytest.raises(LimitsError) as caught:
        take(mirrors, url, commit)
    return caught.value


def test_setting__unreachable_commits(app: App) -> None:
    app.make_index("root/forks", pin(), fork_unreachable_commits="allow")
    page = app.get("/root/forks/+forks", Accept="text/html").text
    assert "fork_unreachable_commits=allow" in page
    assert app.config()["fork_unreachable_commits"] == "allow"
    app.request("PATCH", "/root/forks", ["fork_unreachable_commits=refuse"])
    assert "fork_unreachable_commits" not in app.get("/root/forks/+forks", Accept="text/html").text
    refused = app.request("PATCH", "/root/forks", ["fork_unreachable_commits=yes"])
    assert refused.status_int == 400
    assert "write refuse or allow" in refused.text


def test_setting__is_part_of_the_order() -> None:
    """A commit that was refused is tried again when the setting changes, and not before."""
    lines = {"forks": [pin()]}
    refuse, allow = (IndexSettings.parse({**lines, "fork_unreachable_commits": word}) for word in ("refuse", "allow"))
    one, two = (settings.order("root/forks", settings.pins[0]) for settings in (refuse, allow))
    assert (one.recipe.unreachable, two.recipe.unreachable) == (False, True)
    assert one.fingerprint("b") != two.fingerprint("b")
