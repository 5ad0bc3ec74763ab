from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, LimitsError, SourceError
from devpi_forkbuilder.pipeline.checkout.checkout import LIMITS, Checkout, checkout
from devpi_forkbuilder.pipeline.checkout.submodules import resolve_url
from devpi_forkbuilder.pipeline.git.client import Git
from devpi_forkbuilder.pipeline.git.mirror import Mirrors
from devpi_forkbuilder.pipeline.git.tree import TreeLimits, judge_links
from tests.gitserver import GitServer
from tests.pipeline.watching import Lines, never
from tests.repositories import Content, Link, Program, Repositories, Repository, Submodule

SETUP = "from setuptools import setup\nsetup()\n"


class Desk:
    """Checks commits out and remembers the log; a checkout is always into a fresh folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mirrors = Mirrors(folder / "mirrors", Git(folder / "home", os.environ, slow_seconds=2))
        self.log = Lines()

    def take(self, url: str, commit: str, subdirectory: str | None = None, limits: TreeLimits = LIMITS) -> Checkout:
        into = self.folder / "into"
        shutil.rmtree(into, ignore_errors=True)
        pin = Pin("fork", url, commit, None, subdirectory)
        return checkout(self.mirrors, pin, into, self.log, never, limits)

    def failure(self, url: str, commit: str, **more: object) -> ForkbuilderError:
        with pytest.raises(ForkbuilderError) as caught:
            self.take(url, commit, **more)  # type: ignore[arg-type]  # checked by take
        assert caught.value.what.endswith(".")
        assert not caught.value.retryable or caught.value.reference == "lfs-failed"
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def fork_of(repositories: Repositories, files: Mapping[str, Content], name: str = "fork") -> Repository:
    made = repositories.empty(name)
    repositories.commit(made, {"setup.py": SETUP, **files})
    return made


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_checkout__files_and_what_is_known_of_them(
    git_server: GitServer, repositories: Repositories, desk: Desk
) -> None:
    fork = fork_of(repositories, {"a/b.txt": "text", "run": Program("#!/bin/sh\n"), "link": Link("a/b.txt")})
    repositories.commit(fork, {"later.txt": ""})
    done = desk.take(git_server.repository_url("fork"), fork.commits[0])
    assert (done.root / "a/b.txt").read_text() == "text"
    assert (done.root / "link").read_text() == "text"
    assert (done.root / "run").stat().st_mode & 0o777 == 0o755
    assert not (done.root / "later.txt").exists()
    assert (done.project, done.commit) == (done.root, fork.commits[0])
    assert done.commit_time == fork.time(fork.commits[0])
    assert done.tree == git(fork.path, "rev-parse", f"{fork.commits[0]}^{{tree}}")
    # the second one brings commits without files: the pinned one is not a branch's newest
    assert git_server.fetches("fork") == 2
    assert len(desk.log.fetches) == 2


def test_checkout__repository_stands_alone(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = fork_of(repositories, {})
    url = git_server.repository_url("fork")
    done = desk.take(url, fork.commit)
    shutil.rmtree(desk.mirrors.root)
    assert git(done.root, "rev-parse", "HEAD") == fork.commit
    assert git(done.root, "status", "--porcelain") == ""
    assert git(done.root, "fsck", "--connectivity-only") == ""
    assert subprocess.run(["git", "symbolic-ref", "-q", "HEAD"], cwd=done.root, check=False).returncode == 1
    content = b"".join(path.read_bytes() for path in (done.root / ".git").rglob("*") if path.is_file())
    for word in (url, str(desk.mirrors.root), "alternates"):
        assert word.encode() not in content
    assert not (done.root / ".git/objects/info/alternates").exists()
    assert not list((done.root / ".git").glob("hooks/*"))


def test_checkout__again_without_network(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = fork_of(repositories, {})
    desk.take(git_server.repository_url("fork"), fork.commit)
    git_server.hide("fork")
    desk.take(git_server.repository_url("fork"), fork.commit)
    assert desk.mirrors.fetches == 1


def test_checkout__tags_and_history_where_the_version_needs_them(
    git_server: GitServer, repositories: Repositories, desk: Desk
) -> None:
    fork = repositories.make("version-from-tags")
    repositories.commit(fork, {"more.txt": ""})
    done = desk.take(git_server.repository_url(fork.name), fork.commit)
    assert git(done.root, "describe", "--tags") == f"v1.0.2-1-g{fork.commit[:7]}"
    assert not (done.root / ".git/shallow").exists()


def test_checkout__no_history_where_it_does_not(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = fork_of(repositories, {})
    repositories.tag(fork, "v1")
    repositories.commit(fork, {"more.txt": ""})
    done = desk.take(git_server.repository_url("fork"), fork.commit)
    assert git(done.root, "rev-list", "--count", "HEAD") == "1"
    assert git(done.root, "tag") == ""


def test_checkout__history_is_judged_in_the_subdirectory(
    git_server: GitServer, repositories: Repositories, desk: Desk
) -> None:
    fork = fork_of(repositories, {"pkg/pyproject.toml": '[build-system]\nrequires = ["hatch-vcs"]\n'})
    repositories.tag(fork, "v1")
    url = git_server.repository_url("fork")
    assert git(desk.take(url, fork.commit).root, "tag") == ""
    assert git(desk.take(url, fork.commit, "pkg").root, "tag") == "v1"


def test_checkout__subdirectory(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = repositories.make("subdirectory")
    done = desk.take(git_server.repository_url(fork.name), fork.commit, fork.subdirectory)
    assert done.project == done.root / "packages/nested"
    assert done.project.is_dir()


@pytest.mark.parametrize("folder", ["none", "setup.py", "packages/none"])
def test_checkout__missing_subdirectory(
    git_server: GitServer, repositories: Repositories, desk: Desk, folder: str
) -> None:
    fork = fork_of(repositories, {"packages/one/a": ""})
    fault = desk.failure(git_server.repository_url("fork"), fork.commit, subdirectory=folder)
    assert isinstance(fault, SourceError)
    assert fault.reference == "subdirectory-missing"
    assert folder in fault.what


@pytest.mark.parametrize(
    "links",
    [
        {"README": Link("/etc/passwd")},
        {"README": Link("../outside")},
        {"a/b/README": Link("../../../outside")},
        {"a/README": Link("b/../../../outside")},
        {"README": Link("..")},
        {"x/y/z/top": Link("../../.."), "bad": Link("x/y/z/top/../../secret")},
    ],
    ids=["absolute", "parent", "deep", "winding", "folder", "by-another-link"],
)
def test_checkout__link_out_of_the_tree(
    git_server: GitServer, repositories: Repositories, desk: Desk, links: dict[str, Content]
) -> None:
    fork = fork_of(repositories, links)
    fault = desk.failure(git_server.repository_url("fork"), fork.commit)
    assert isinstance(fault, SourceError)
    assert fault.reference == "symlink-outside"


@pytest.mark.parametrize("target", ["setup.py", "./setup.py", "a/../setup.py", "nowhere", "loop", "."])
def test_checkout__link_inside_the_tree(
    git_server: GitServer, repositories: Repositories, desk: Desk, target: str
) -> None:
    fork = fork_of(repositories, {"loop": Link(target), "a/up": Link("../setup.py")})
    done = desk.take(git_server.repository_url("fork"), fork.commit)
    assert (done.root / "loop").is_symlink()


@pytest.mark.parametrize(
    ("limits", "reference"),
    [
        (TreeLimits(files=3), "too-many-files"),
        (TreeLimits(listing_bytes=200), "too-many-files"),
        (TreeLimits(total_bytes=1000), "tree-too-large"),
        (TreeLimits(path_bytes=20), "path-too-long"),
    ],
)
def test_checkout__limits(
    git_server: GitServer, repositories: Repositories, desk: Desk, limits: TreeLimits, reference: str
) -> None:
    fork = fork_of(repositories, {"large": "x" * 980, "b": "", "folder/with/a/long/path": ""})
    url = git_server.repository_url("fork")
    fault = desk.failure(url, fork.commit, limits=limits)
    assert isinstance(fault, LimitsError)
    assert fault.reference == reference
    assert not (desk.folder / "into").exists()
    desk.take(url, fork.commit, limits=TreeLimits(files=4, total_bytes=1100, path_bytes=23))


def test_checkout__git_bomb(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = repositories.empty("bomb")
    entry = f"100644 blob {repositories.git('hash-object', '-w', '--stdin', at=fork.path, stdin=b'x').strip()}"
    for _ in range(10):
        lines = "".join(f"{entry}\tf{number}\n" for number in range(10))
        entry = f"040000 tree {repositories.git('mktree', at=fork.path, stdin=lines.encode()).strip()}"
    tree = entry.split()[-1]
    raw = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n".encode()
    commit = repositories.git("hash-object", "-w", "-t", "commit", "--stdin", at=fork.path, stdin=raw).strip()
    repositories.git("update-ref", "refs/heads/main", commit, at=fork.path)
    fault = desk.failure(git_server.repository_url("bomb"), commit)
    assert fault.reference == "too-many-files"


def test_checkout__submodules(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = repositories.make("submodule")
    done = desk.take(git_server.repository_url(fork.name), fork.commit)
    part = done.root / "vendor/part"
    assert any(path.is_file() for path in part.iterdir() if path.name != ".git")
    assert git(part, "rev-parse", "HEAD") == git(fork.path, "rev-parse", f"{fork.commit}:vendor/part")
    assert git(done.root, "status", "--porcelain") == ""
    assert git_server.fetches("submodule-part") == 1


def modules(**urls: str) -> str:
    return "".join(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n' for path, url in urls.items())


def nested(repositories: Repositories, depth: int) -> Repository:
    fork = fork_of(repositories, {"end.txt": "end"}, "level0")
    for level in range(1, depth + 1):
        below = Submodule(fork.commit)
        text = modules(below=f"../level{level - 1}.git")
        fork = fork_of(repositories, {".gitmodules": text, "below": below}, f"level{level}")
    return fork


def test_checkout__submodules_in_submodules(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = nested(repositories, 3)
    done = desk.take(git_server.repository_url("level3"), fork.commit)
    assert (done.root / "below/below/below/end.txt").read_text() == "end"


def test_checkout__submodules_too_deep(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = nested(repositories, 3)
    fault = desk.failure(git_server.repository_url("level3"), fork.commit, limits=TreeLimits(depth=2))
    assert fault.reference == "submodules-too-deep"


def test_checkout__limits_count_submodules_too(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = nested(repositories, 1)
    url = git_server.repository_url("level1")
    assert desk.failure(url, fork.commit, limits=TreeLimits(files=4)).reference == "too-many-files"
    assert desk.failure(url, fork.commit, limits=TreeLimits(submodules=0)).reference == "too-many-submodules"
    desk.take(url, fork.commit, limits=TreeLimits(files=5, submodules=1))


@pytest.mark.parametrize("declared", [None, modules(other="../part.git"), '[submodule "vendor"]\n\tpath = vendor\n'])
def test_checkout__undeclared_gitlink_is_an_empty_folder(
    git_server: GitServer, repositories: Repositories, desk: Desk, declared: str | None
) -> None:
    part = fork_of(repositories, {}, "part")
    more = {} if declared is None else {".gitmodules": declared}
    fork = fork_of(repositories, {"vendor": Submodule(part.commit), **more})
    done = desk.take(git_server.repository_url("fork"), fork.commit)
    assert list((done.root / "vendor").iterdir()) == []
    assert (done.root / "setup.py").is_file()
    assert [line for line in desk.log.said if "'vendor'" in line and "left empty" in line]
    assert git_server.fetches("part") == 0


def test_checkout__undeclared_gitlink_beside_a_declared_one(
    git_server: GitServer, repositories: Repositories, desk: Desk
) -> None:
    part = fork_of(repositories, {}, "part")
    links = {"declared": Submodule(part.commit), "bare": Submodule("1" * 40)}
    fork = fork_of(repositories, {**links, ".gitmodules": modules(declared="../part.git")})
    done = desk.take(git_server.repository_url("fork"), fork.commit)
    assert (done.root / "declared/setup.py").is_file()
    assert list((done.root / "bare").iterdir()) == []


def test_checkout__gitmodules_that_cannot_be_read(
    git_server: GitServer, repositories: Repositories, desk: Desk
) -> None:
    part = fork_of(repositories, {}, "part")
    fork = fork_of(repositories, {"vendor": Submodule(part.commit), ".gitmodules": "[submodule\n"})
    fault = desk.failure(git_server.repository_url("fork"), fork.commit)
    assert fault.reference in {"submodule-refused", "repository-unsafe"}


@pytest.mark.parametrize(
    "url",
    [
        "file://{folder}/part.git",
        "{folder}/part.git",
        "ext::sh -c touch% {folder}/marker",
        "--upload-pack=touch {folder}/marker",
        "ssh://-oProxyCommand=x/y",
        "http://user:password@127.0.0.1/part.git",
        "git://127.0.0.1/part.git",
        "../../../../../..",
        "../-x/part.git",
        "",
    ],
)
def test_checkout__submodule_with_another_kind_of_url(
    git_server: GitServer, repositories: Repositories, desk: Desk, url: str
) -> None:
    part = fork_of(repositories, {}, "part")
    text = modules(vendor=url.format(folder=repositories.folder))
    fork = fork_of(repositories, {"vendor": Submodule(part.commit)})
    # git refuses some of these on arrival; both are a refusal before anything of them is run
    commit = repositories.commit(fork, {".gitmodules": text})
    fault = desk.failure(git_server.repository_url("fork"), commit)
    assert fault.reference in {"submodule-refused", "repository-unsafe"}
    assert "password" not in fault.message
    assert not (repositories.folder / "marker").exists()
    assert git_server.fetches("part") == 0


def test_checkout__submodule_refused_by_policy(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = repositories.make("submodule")
    desk.mirrors.allows = lambda url: "part" not in url
    fault = desk.failure(git_server.repository_url(fork.name), fork.commit)
    assert fault.reference == "url-refused"


def test_checkout__missing_commit_of_a_submodule(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork_of(repositories, {}, "part")
    lost = "1234567890" * 4
    fork = fork_of(repositories, {"vendor": Submodule(lost), ".gitmodules": modules(vendor="../part.git")})
    fault = desk.failure(git_server.repository_url("fork"), fork.commit)
    assert fault.reference == "commit-missing"
    assert lost in fault.what


@pytest.mark.parametrize(
    ("parent", "url", "expected"),
    [
        ("https://h/o/a.git", "../b.git", "https://h/o/b.git"),
        ("https://h/o/a.git/", "../../p/b.git", "https://h/p/b.git"),
        ("https://h/o/a", "./b", "https://h/o/a/b"),
        ("ssh://git@h:22/o/a", "../b", "ssh://git@h:22/o/b"),
        ("file:///srv/a.git", "../b.git", "file:///srv/b.git"),
        ("https://h/o/a", "git@other:o/b.git", "ssh://git@other/o/b.git"),
        ("https://h/o/a", "other:o/b.git", "ssh://other/o/b.git"),
        ("https://h/o/a", "https://other/b", "https://other/b"),
        ("https://h/o/a", "ext::sh -c x", "ext::sh -c x"),
    ],
)
def test_resolve__as_git_reads_it(parent: str, url: str, expected: str) -> None:
    assert resolve_url(parent, url) == expected


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"


def test_checkout__pointers_of_lfs(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = fork_of(repositories, {".gitattributes": "*.bin filter=lfs\n", "data/a.bin": POINTER, "b.bin": "real"})
    fault = desk.failure(git_server.repository_url("fork"), fork.commit)
    assert fault.reference in {"lfs-missing", "lfs-failed"}  # by whether git-lfs is installed; this host has no LFS


@pytest.mark.parametrize(
    "files", [{".gitattributes": "*.bin filter=lfs\n", "a.bin": "real content"}, {"pointer.txt": POINTER}]
)
def test_checkout__no_pointers_of_lfs(
    git_server: GitServer, repositories: Repositories, desk: Desk, files: dict[str, Content]
) -> None:
    fork = fork_of(repositories, files)
    desk.take(git_server.repository_url("fork"), fork.commit)


def test_checkout__filters_of_the_repository_are_not_run(
    git_server: GitServer, repositories: Repositories, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f'[filter "evil"]\n\tsmudge = touch {tmp_path}/marker\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    fork = fork_of(repositories, {".gitattributes": "* filter=evil\n"})
    desk.take(git_server.repository_url("fork"), fork.commit)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("lost", ["blob", "everything"])
def test_checkout__damaged_mirror_is_fetched_once_more(
    git_server: GitServer, repositories: Repositories, desk: Desk, lost: str
) -> None:
    fork = fork_of(repositories, {"a.txt": "text"})
    url = git_server.repository_url("fork")
    desk.take(url, fork.commit)
    folder = next(path for path in desk.mirrors.root.iterdir() if path.is_dir())
    if lost == "blob":
        blob = git(fork.path, "rev-parse", f"{fork.commit}:a.txt")
        _unpack(folder)
        (folder / "objects" / blob[:2] / blob[2:]).unlink()
    else:
        shutil.rmtree(folder / "objects")
        (folder / "objects").mkdir()
    done = desk.take(url, fork.commit)
    assert (done.root / "a.txt").read_text() == "text"
    assert desk.mirrors.fetches == 2


def _unpack(folder: Path) -> None:
    for pack in (folder / "objects/pack").glob("*.pack"):
        moved = folder / pack.name
        pack.rename(moved)
        pack.with_suffix(".idx").unlink()
        with moved.open("rb") as stream:
            subprocess.run(["git", "unpack-objects", "-q"], cwd=folder, stdin=stream, check=True)


def test_checkout__odd_time_is_refused(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = fork_of(repositories, {})
    tree = git(fork.path, "rev-parse", f"{fork.commit}^{{tree}}")
    when = 253402300800
    raw = f"tree {tree}\nauthor A <a@b> {when} +0000\ncommitter A <a@b> {when} +0000\n\nx\n".encode()
    commit = repositories.git("hash-object", "-w", "-t", "commit", "--stdin", at=fork.path, stdin=raw).strip()
    repositories.git("update-ref", "refs/heads/main", commit, at=fork.path)
    assert desk.failure(git_server.repository_url("fork"), commit).reference == "commit-time-odd"


def test_checkout__from_this_machine(repositories: Repositories, desk: Desk) -> None:
    fork = repositories.make("submodule")
    done = desk.take(fork.file_url, fork.commit)
    assert (done.root / "vendor/part/.git").is_dir()


def test_checkout__long_ids(git_server: GitServer, repositories: Repositories, desk: Desk) -> None:
    fork = repositories.make("pure-setuptools", "long", object_format="sha256")
    assert desk.take(git_server.repository_url("long"), fork.commit).commit == fork.commit


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../..", b"../../x", b"b/../../../x", b"x\0y"])
def test_judge_links__that_leave_the_tree_never_get_to_the_disk(target: bytes) -> None:
    """The look at the disk that follows would find them too, but there they would be by then."""
    with pytest.raises(SourceError) as caught:
        judge_links({b"a/link": target})
    assert caught.value.reference == "symlink-outside"


def test_judge_links__inside_the_tree() -> None:
    judge_links({b"a/link": b"../b", b"link": b"a/../b", b"c": b".", b"d/e/f": b"../../x"})


@pytest.mark.parametrize(
    "person",
    [
        "A<a@b> 1500000000 +0000",
        "A > <a@b> 1500000000 +0000",
        "A <a@b<c> 1500000000 +0000",
        "A <a@b> 01500000000 +0000",
        "A <a@b> 1500000000 -7",
        "<a@b> 1500000000 +0000",
    ],
)
def test_checkout__odd_authors_of_old_histories(
    git_server: GitServer, repositories: Repositories, desk: Desk, person: str
) -> None:
    """What tools of long ago have written; `git clone`, and so pip, takes all of it."""
    fork = fork_of(repositories, {})
    tree = repositories.git("rev-parse", f"{fork.commit}^{{tree}}", at=fork.path).strip()
    raw = f"tree {tree}\nauthor {person}\ncommitter A <a@b> 1500000000 +0000\n\nx\n".encode()
    commit = repositories.git(
        "hash-object", "-w", "-t", "commit", "--literally", "--stdin", at=fork.path, stdin=raw
    ).strip()
    repositories.git("update-ref", "refs/heads/main", commit, at=fork.path)
    assert desk.take(git_server.repository_url("fork"), commit).commit_time == 1_500_000_000


@pytest.mark.parametrize("committer", ["A > <a@b> 1500000000 +0000", "A 1500000000", "A <a@b> -1 +0000"])
def test_checkout__committers_without_a_time(
    git_server: GitServer, repositories: Repositories, desk: Desk, committer: str
) -> None:
    """Whatever git makes of it, it ends with one of our errors or with a time."""
    fork = fork_of(repositories, {})
    tree = repositories.git("rev-parse", f"{fork.commit}^{{tree}}", at=fork.path).strip()
    raw = f"tree {tree}\nauthor A <a@b> 1 +0000\ncommitter {committer}\n\nx\n".encode()
    commit = repositories.git(
        "hash-object", "-w", "-t", "commit", "--literally", "--stdin", at=fork.path, stdin=raw
    ).strip()
    repositories.git("update-ref", "refs/heads/main", commit, at=fork.path)
    with contextlib.suppress(SourceError):
        assert desk.take(git_server.repository_url("fork"), commit).commit_time >= 0
