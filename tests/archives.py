"""Wheels and source distributions for tests, right or wrong in one chosen way."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

METADATA = """Metadata-Version: 2.4
Name: {name}
Version: {version}
Summary: A project for tests
Keywords: one, two
Classifier: Programming Language :: Python :: 3
Classifier: Topic :: Education
Project-URL: Source, https://git.example.org/name
Requires-Python: >=3.8
License-Expression: MIT
License-File: LICENSE
Requires-Dist: requests>=2
Requires-Dist: rich; extra == "cli"
Provides-Extra: cli
Description-Content-Type: text/markdown

Version: 0.0 is what the text says.
"""

WHEEL = """Wheel-Version: 1.0
Generator: tests
Root-Is-Purelib: true
Tag: py3-none-any
"""


def record(members: Mapping[str, bytes], own: str) -> bytes:
    """RECORD for `members`, its own line last."""
    lines = []
    for name, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*lines, f"{own},,\n"]).encode()


def members_of(
    name: str = "sample_fork",
    version: str = "1.0.2",
    *,
    metadata: str = METADATA,
    wheel: str = WHEEL,
    extra: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """All members of a good wheel, RECORD last; `extra` are more files, or others with the same name."""
    folder = f"{name}-{version}.dist-info"
    members = {
        f"{name}/__init__.py": b"VALUE = 1\n",
        f"{name}/long.txt": b"0123456789" * 1000,
        f"{name}-{version}.data/scripts/{name}": b"#!python\nprint('here')\n",
        f"{folder}/METADATA": metadata.format(name=name, version=version).encode(),
        f"{folder}/WHEEL": wheel.encode(),
        f"{folder}/licenses/LICENSE": b"Free.\n",
    }
    members.update(extra or {})
    members[f"{folder}/RECORD"] = record(members, f"{folder}/RECORD")
    return members


def write_zip(path: Path, members: Mapping[str, bytes] | Iterable[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    """An archive of `members` in their order; names that come twice are written twice."""
    pairs = members.items() if isinstance(members, Mapping) else members
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pairs:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            if not isinstance(name, zipfile.ZipInfo):
                mode = 0o40755 if name.endswith("/") else 0o100755 if "/scripts/" in name else 0o100644
                info.external_attr = mode << 16
                info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return path


def write_wheel(folder: Path, name: str = "sample_fork", version: str = "1.0.2", **changes) -> Path:
    """A good wheel in `folder`; `changes` as for `members_of`."""
    return write_zip(folder / f"{name}-{version}-py3-none-any.whl", members_of(name, version, **changes))


def tar_member(name: str, data: bytes = b"", **values) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar archive, with the given attributes of `TarInfo`."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in values.items():
        setattr(info, key, value)
    return info, data


def sdist_members(name: str = "sample_fork", version: str = "1.0.2") -> list[tuple[tarfile.TarInfo, bytes]]:
    """The members of a good source distribution, not sorted."""
    top = f"{name}-{version}"
    return [
        tar_member(top, type=tarfile.DIRTYPE, mode=0o755),
        tar_member(f"{top}/setup.py", b"import setuptools\n", mode=0o664, uname="someone", uid=1000, mtime=5),
        tar_member(f"{top}/PKG-INFO", METADATA.format(name=name, version=version).encode(), mtime=7),
        tar_member(f"{top}/build.sh", b"#!/bin/sh\n", mode=0o700),
    ]


def write_sdist(
    folder: Path,
    members: Iterable[tuple[tarfile.TarInfo, bytes]] | None = None,
    filename: str = "sample_fork-1.0.2.tar.gz",
    after: bytes = b"",
) -> Path:
    """A source distribution of `members`; `after` follows the tar archive inside the compressed file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for info, data in sdist_members() if members is None else members:
            archive.addfile(info, io.BytesIO(data))
    path = folder / filename
    path.write_bytes(gzip.compress(buffer.getvalue() + after))
    return path
