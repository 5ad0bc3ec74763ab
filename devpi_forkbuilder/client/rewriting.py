"""A file's content replaced in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from devpi_forkbuilder.client.models import ClientError


def rewrite(path: Path, text: str) -> None:
    """Put `text` in place of a file's content in one step; its mode stays, and it may be a symbolic link.

    Raises ClientError when it cannot be written; then the file is as it was.
    """
    try:
        _replace(path.resolve(), text)
    except OSError as error:
        what = f"{path} cannot be written ({error.strerror})."
        fix = "The file is as it was. Check the permissions of its folder and the disk."
        raise ClientError("file-not-written", what, next_step=fix) from error


def _replace(target: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        shutil.copymode(target, name)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise
