"""Puts a kept commit back into a repository, as if it had been fetched: every id has to come out as it was.

Ids are digests of content, so a commit that has its own id again has its own files again, whatever happened to the
archive meanwhile.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from devpi_forkbuilder.errors import SourceError
from devpi_forkbuilder.pipeline.git.archive_store import ArchivedSource, Sources
from devpi_forkbuilder.pipeline.git.bare_repo import Repository
from devpi_forkbuilder.pipeline.git.tree import GITLINK, SYMLINK

INDEX = "index"


def restore(sources: Sources, repository: Repository, commit: str) -> bool:
    """Have `commit` in `repository`; False when it was never kept.

    Raises SourceError (`source-archive-damaged`), OSError, and what git's commands raise.
    """
    kept = sources.read(repository.url, commit)
    if kept is None or not sources.archive(kept.archive).is_file():
        return False
    repository.make(commit)
    try:
        with tempfile.TemporaryDirectory(prefix="restoring-", dir=sources.root) as folder:
            tree = _tree(repository, kept, list(_unpacked(sources.archive(kept.archive), kept, Path(folder))))
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise _damaged(repository, commit) from error
    made = _made(repository, "commit", kept.commit)
    tags = [_made(repository, "tag", tag.content) == tag.object_id for tag in kept.tags if tag.content]
    if tree != kept.tree or made != commit or not all(tags):
        raise _damaged(repository, commit)
    _name(repository, kept, commit)
    return True


def _unpacked(archive: Path, kept: ArchivedSource, folder: Path) -> Iterator[tuple[bytes, bytes, Path]]:
    """(mode, path, a file with the content) of each file of the commit; modes and paths as in git's trees."""
    options = {"encoding": "utf-8", "errors": "surrogateescape"}
    with tarfile.open(archive, "r:gz", **options) as members:  # type: ignore[call-overload]  # as documented
        for number, member in enumerate(members):
            path = _path_in(member.name.partition("/")[2], kept)
            if path is None:
                continue
            file = folder / str(number)
            if member.issym():
                file.write_bytes(os.fsencode(member.linkname))
            else:
                _copy(members.extractfile(member), file)
            yield SYMLINK if member.issym() else b"100%o" % member.mode, os.fsencode(path), file


def _path_in(name: str, kept: ArchivedSource) -> str | None:
    """The path in the kept repository of a file of the archive; None for a file of another repository."""
    if kept.prefix:
        if not name.startswith(f"{kept.prefix}/"):
            return None
        name = name[len(kept.prefix) + 1 :]
    return None if any(name.startswith(f"{module}/") for module in kept.modules) else name


def _copy(source: object, target: Path) -> None:
    if source is None:
        raise ValueError("neither a file nor a link")
    with target.open("wb") as file:
        while block := source.read(1 << 20):  # type: ignore[attr-defined]  # tarfile gives a binary stream
            file.write(block)


def _tree(repository: Repository, kept: ArchivedSource, files: list[tuple[bytes, bytes, Path]]) -> str:
    """The id of the tree that `files` and the submodules make, all of it stored."""
    paths = "".join(f"{file}\n" for _, _, file in files).encode()
    names = repository.local("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=paths).stdout.split()
    lines = [b"%s %s\t%s\0" % (mode, name, path) for (mode, path, _), name in zip(files, names, strict=True)]
    for path, commit in kept.modules.items():
        lines.append(b"%s %s\t%s\0" % (GITLINK, commit.encode(), os.fsencode(path)))
    index = repository.folder / INDEX
    index.unlink(missing_ok=True)
    try:
        repository.local("update-index", "-z", "--index-info", stdin=b"".join(lines))
        return repository.local("write-tree").stdout.decode().strip()
    finally:
        index.unlink(missing_ok=True)


def _made(repository: Repository, kind: str, content: bytes) -> str:
    # Literally: what git checks today was not always checked, and the id says enough.
    done = repository.local("hash-object", "-t", kind, "--literally", "-w", "--stdin", stdin=content)
    return done.stdout.decode().strip()


def _name(repository: Repository, kept: ArchivedSource, commit: str) -> None:
    shallow = repository.folder / "shallow"
    known = shallow.read_text().split() if shallow.exists() else []
    if commit not in known:
        shallow.write_text("".join(f"{name}\n" for name in sorted([*known, commit])))
    for tag in kept.tags:
        repository.name(tag.reference, tag.object_id)
    for kind in ("restored", *(("proven",) if kept.proven else ()), "histories", "pins"):
        repository.name(f"refs/{kind}/{commit}", commit)


def _damaged(repository: Repository, commit: str) -> SourceError:
    what = f"What this server kept of {repository.url} at {commit} is damaged."
    step = "Put the repository back, or the folder sources of --forkbuilder-dir from a backup."
    return SourceError("source-archive-damaged", what, next_step=step)
