"""The sources of what was built, kept for when a repository or a commit is gone.

`trees/TREE.tar.gz` has the exact files of a tree, submodules included, each once whatever commits have it. What else
makes a commit is in `commits/URL-DIGEST/COMMIT.json`: only by the URL that it came from can an archive be reached,
since the source of one private repository must not be read through another's URL.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devpi_forkbuilder.pipeline.process.atomic_write import disk, placed
from devpi_forkbuilder.pipeline.process.flock import locked


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a commit: its reference, the id of what it names, and that object when it is not the commit itself."""

    reference: str
    object_id: str
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class ArchivedSource:
    """One commit of one repository in an archive.

    `archive` is the tree id that the archive is named by, `prefix` where this repository is in it (a submodule; POSIX,
    empty for the whole). `commit` is the commit object itself, `modules` has the commits of submodules by path.
    `proven`: a branch or tag led to it. `versions`: what was built, by the pin's subdirectory.
    """

    archive: str
    tree: str
    commit: bytes
    prefix: str = ""
    tags: tuple[Tag, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    proven: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """As text."""
        return json.dumps(
            {
                "archive": self.archive,
                "tree": self.tree,
                "commit": _encoded(self.commit),
                "prefix": self.prefix,
                "tags": [[tag.reference, tag.object_id, _encoded(tag.content)] for tag in self.tags],
                "modules": dict(self.modules),
                "proven": self.proven,
                "versions": dict(self.versions),
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> ArchivedSource:
        """Raises ValueError, KeyError or TypeError for anything else."""
        found: dict[str, Any] = json.loads(text)
        tags = tuple(Tag(reference, name, _decoded(content)) for reference, name, content in found["tags"])
        return cls(**{**found, "commit": _decoded(found["commit"]), "tags": tags})


class Sources:
    """The folder `root`. May be used by several threads and processes: files are put there whole."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, url: str, commit: str) -> Path | None:
        """The archive (a gzipped tar) of a commit with all of its submodules, if it was kept."""
        kept = self.read(url, commit)
        if kept is None or kept.prefix:
            return None
        path = self.archive(kept.archive)
        return path if path.is_file() else None

    def archive(self, tree: str) -> Path:
        """Where the archive of a tree is, or would be."""
        return self.root / "trees" / f"{tree}.tar.gz"

    def read(self, url: str, commit: str) -> ArchivedSource | None:
        """What is known of a commit; None when nothing is, or when it cannot be read."""
        try:
            return ArchivedSource.from_json(self._path(url, commit).read_text())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, url: str, commit: str, kept: ArchivedSource) -> None:
        """Note a commit; versions that were noted before stay. Raises InfrastructureError (`disk-failed`)."""
        with self.held(hashlib.sha256(url.encode()).hexdigest()):
            self._merge(url, commit, kept)

    @contextmanager
    def held(self, name: str, cancelled: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Keep all other threads and processes from what is called `name`.

        Raises InfrastructureError (`disk-failed`) for an OSError in the block too, and CancelledError when `cancelled`
        says so during the wait.
        """
        path = self.root / "locks" / f"{name}.lock"
        with disk(path.name):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(path, cancelled):
                yield

    def _merge(self, url: str, commit: str, kept: ArchivedSource) -> None:
        known = self.read(url, commit)
        if known is not None:
            archive, prefix = (known.archive, known.prefix) if not known.prefix else (kept.archive, kept.prefix)
            versions = {**known.versions, **kept.versions}
            proven = known.proven or kept.proven
            kept = replace(kept, archive=archive, prefix=prefix, versions=versions, proven=proven)
        if kept == known:
            return
        path = self._path(url, commit)
        with disk(path.name):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with placed(path) as part:
            part.write_text(kept.to_json())

    def lfs(self, url: str) -> Path:
        """The folder for what a repository keeps in Git LFS, by SHA-256."""
        return self.root / "lfs" / hashlib.sha256(url.encode()).hexdigest()

    def _path(self, url: str, commit: str) -> Path:
        return self.root / "commits" / hashlib.sha256(url.encode()).hexdigest() / f"{commit}.json"


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)
