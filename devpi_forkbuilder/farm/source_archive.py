"""The checkout of an order as one file, for a worker that has no git; what git knows of the commit goes with it."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import IO

LEFT_OUT = frozenset({".git/FETCH_HEAD", ".git/logs"})
"""Names folders of the primary, and is of no use to a build."""
FOLDER = "src"


def pack(root: Path, target: Path) -> None:
    """Write the folder `root` into the archive `target`. Raises OSError."""

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if info.name.removeprefix(f"{FOLDER}/") in LEFT_OUT:
            return None
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        archive.add(root, FOLDER, filter=kept)


def unpack(file: IO[bytes], into: Path) -> None:
    """Write what is in an archive of `pack`'s to the folder `into`, which is made.

    Members that leave it are refused (Python's "tar" filter, PEP 706). Raises OSError and tarfile.TarError.
    """
    into.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=file, mode="r|gz") as archive:
        for member in archive:
            if member.name.split("/", 1)[0] != FOLDER:
                raise tarfile.ReadError(f"{member.name!r} is not in {FOLDER}")
            member.name = os.path.relpath(member.name, FOLDER)
            archive.extract(member, into, filter="tar")
