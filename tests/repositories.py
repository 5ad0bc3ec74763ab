"""Forks to build: each folder `tests/forks/<case>/` becomes a bare git repository whose commit ids never change.

A case that has an `inline.json` is completed with the in-tree build back end of `tests/forks/_backend`. Overlays for a
second commit lie in `_second/<case>`, the repositories that submodules name in `_parts/<name>`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.surroundings import clean_environment

FORKS = Path(__file__).parent / "forks"
EPOCH = 1_767_315_845  # 2026-01-02 01:04:05 UTC, the time of every first commit; each further one is an hour later
ZONE = "+0200"  # not UTC, so that a test sees who forgets to convert
SOMEBODY = "Fork Tests <forks@example.com>"
MAIN = "refs/heads/main"
VERSION = "1.0.2"


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link in a tree."""

    target: str


@dataclass(frozen=True, slots=True)
class Submodule:
    """A gitlink in a tree: the commit of another repository."""

    commit: str


@dataclass(frozen=True, slots=True)
class Program:
    """An executable file in a tree."""

    text: str


Content = str | bytes | Link | Submodule | Program | None
"""What a commit does to a path; None deletes it."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a pin of the case says, and what its first commit has beside the files of its folder."""

    project: str
    subdirectory: str | None = None
    tag: str | None = None
    parts: Mapping[str, str] = field(default_factory=dict)


SPECIAL = {
    "hatchling": Case("forked-hatchling"),
    "flit": Case("forked-flit"),
    "poetry": Case("forked-poetry"),
    "subdirectory": Case("subdirectory", subdirectory="packages/nested"),
    "submodule": Case("submodule", parts={"vendor/part": "submodule-part"}),
    "version-from-tags": Case("version-from-tags", tag="v1.0.2"),
}
"""The cases of which more is to be said than that the project is named as its folder."""

CASES = tuple(sorted(path.name for path in FORKS.iterdir() if path.is_dir() and path.name[0] not in "_."))
INLINE = tuple(case for case in CASES if any((FORKS / case).rglob("inline.json")))
"""Cases whose build needs no index."""


@dataclass(slots=True)
class Repository:
    """A bare repository. `project`, `version`, `subdirectory` are what a pin of it says; `commits` are oldest first."""

    path: Path
    name: str
    project: str
    version: str
    subdirectory: str | None
    commits: list[str] = field(default_factory=list)

    @property
    def commit(self) -> str:
        """The newest commit."""
        return self.commits[-1]

    def time(self, commit: str | None = None) -> int:
        """When the commit was made, in seconds since 1970 UTC."""
        return EPOCH + 3600 * (self.commits.index(commit or self.commit))

    @property
    def file_url(self) -> str:
        return self.path.as_uri()


class Repositories:
    """Makes bare repositories `NAME.git` in `folder`, as a `GitServer` of the same folder serves them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._environment = clean_environment(folder)

    def make(
        self,
        case: str,
        name: str | None = None,
        tag: str | None = None,
        *,
        project: str | None = None,
        version: str | None = None,
        files: Mapping[str, Content] | None = None,
        object_format: str = "sha1",
    ) -> Repository:
        """The repository of a case. `files` are laid over those of its folder.

        `project` and `version` rename what an in-tree back end builds, for tests that need many forks of one kind.
        """
        special = SPECIAL.get(case, Case(case))
        tree = {**_tree(FORKS / case, project, version), **self._parts(special), **(files or {})}
        repository = self.empty(name or case, special, project, version, object_format)
        self.commit(repository, tree)
        if tag or special.tag:
            self.tag(repository, tag or str(special.tag))
        second = FORKS / "_second" / case
        if second.is_dir():
            self.commit(repository, _tree(second))
        return repository

    def empty(
        self,
        name: str,
        case: Case | None = None,
        project: str | None = None,
        version: str | None = None,
        object_format: str = "sha1",
    ) -> Repository:
        """A repository without commits."""
        path = self.folder / f"{name}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        options = ["--template=", "--initial-branch=main", f"--object-format={object_format}"]
        self.git("init", "--quiet", "--bare", *options, "--", str(path))
        what = case or Case(name)
        return Repository(path, name, project or what.project, version or VERSION, what.subdirectory)

    def commit(
        self, repository: Repository, files: Mapping[str, Content], ref: str = MAIN, parent: str | None = None
    ) -> str:
        """Add a commit that changes `files`, and move `ref` to it; its id.

        Its parent is `parent`, else what `ref` names, else none.
        """
        known = parent or self._tip(repository, ref)
        when = EPOCH + 3600 * len(repository.commits)
        message = f"Commit {len(repository.commits) + 1}"
        stream = [
            b"feature done\nreset %s\ncommit %s\nmark :1\n" % (ref.encode(), ref.encode()),
            *(f"{who} {SOMEBODY} {when} {ZONE}\n".encode() for who in ("author", "committer")),
            _data(message.encode()),
            f"from {known}\n".encode() if known else b"",
            *(_change(path, content) for path, content in files.items()),
            b"get-mark :1\ndone\n",
        ]
        sha = self.git("fast-import", "--quiet", "--force", at=repository.path, stdin=b"".join(stream)).strip()
        repository.commits.append(sha)
        return sha

    def tag(self, repository: Repository, tag: str, commit: str | None = None, *, annotated: bool = False) -> str:
        """Tag a commit (the newest); the id of what the tag names: the commit, or the tag object if annotated."""
        target = commit or repository.commit
        if annotated:
            head = f"object {target}\ntype commit\ntag {tag}\ntagger {SOMEBODY} {EPOCH} {ZONE}\n\n{tag}\n"
            target = self.git("mktag", at=repository.path, stdin=head.encode()).strip()
        self.git("update-ref", f"refs/tags/{tag}", target, at=repository.path)
        return target

    def pin_line(
        self,
        repository: Repository,
        base_url: str | None = None,
        project: str | None = None,
        version: str | None = None,
        subdirectory: str | None = None,
        commit: str | None = None,
    ) -> str:
        """A line of `forks`. `base_url` is a server's (default: `file://`); `version=""` names none."""
        url = f"{base_url}/{repository.name}.git" if base_url else repository.file_url
        release = repository.version if version is None else version
        folder = subdirectory or repository.subdirectory
        egg = f"{project or repository.project}{'==' if release else ''}{release}"
        tail = f"&subdirectory={folder}" if folder else ""
        return f"git+{url}@{commit or repository.commit}#egg={egg}{tail}"

    def git(self, *arguments: str, at: Path | None = None, stdin: bytes = b"") -> str:
        """Run git as nobody in particular and give what it prints; it raises `CalledProcessError` if git fails."""
        place = ("--git-dir", str(at)) if at else ()
        command = ["git", *place, *arguments]
        done = subprocess.run(command, input=stdin, env=self._environment, capture_output=True, check=True)
        return done.stdout.decode()

    def _part(self, name: str) -> str:
        part = self.empty(name)
        return self._tip(part, MAIN) or self.commit(part, _tree(FORKS / "_parts" / name))

    def _tip(self, repository: Repository, ref: str) -> str:
        return self.git("for-each-ref", "--format=%(objectname)", ref, at=repository.path).strip()

    def _parts(self, case: Case) -> dict[str, Content]:
        """Gitlinks and `.gitmodules` of the submodules, whose repositories are made if they are not there yet."""
        tree: dict[str, Content] = {}
        modules = []
        for place, name in case.parts.items():
            tree[place] = Submodule(self._part(name))
            modules.append(f'[submodule "{name}"]\n\tpath = {place}\n\turl = ../{name}.git\n')
        return {**tree, ".gitmodules": "".join(modules)} if modules else {}


def _tree(folder: Path, project: str | None = None, version: str | None = None) -> dict[str, Content]:
    """The files of a folder by POSIX path; beside each `inline.json`, the in-tree back end."""
    tree: dict[str, Content] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or "__pycache__" in path.parts:
            continue
        name = path.relative_to(folder).as_posix()
        tree[name] = path.read_bytes()
        if path.name == "inline.json":
            tree[name] = _renamed(path.read_text(), project, version)
            tree.update(_backend(name.removesuffix(path.name)))
    return tree


def _backend(prefix: str) -> dict[str, Content]:
    return {f"{prefix}{path.name}": path.read_bytes() for path in (FORKS / "_backend").iterdir() if path.is_file()}


def _renamed(text: str, project: str | None, version: str | None) -> str:
    given = {key: value for key, value in (("name", project), ("version", version)) if value}
    return json.dumps({**json.loads(text), **given}) + "\n"


def _change(path: str, content: Content) -> bytes:
    """One file command of git-fast-import(1)."""
    where = path.encode()
    if content is None:
        return b"D %s\n" % where
    if isinstance(content, Submodule):
        return b"M 160000 %s %s\n" % (content.commit.encode(), where)
    if isinstance(content, Link):
        return b"M 120000 inline %s\n%s" % (where, _data(content.target.encode()))
    if isinstance(content, Program):
        return b"M 100755 inline %s\n%s" % (where, _data(content.text.encode()))
    return b"M 100644 inline %s\n%s" % (where, _data(content.encode() if isinstance(content, str) else content))


def _data(data: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(data), data)
