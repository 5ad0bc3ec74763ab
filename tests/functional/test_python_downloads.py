"""`--forkbuilder-python-downloads`: the real uv fetches an interpreter for a client, from a mirror of the tests."""

from __future__ import annotations

import hashlib
import json
import platform
import tarfile
from pathlib import Path

import pytest

from tests.clients import Uv
from tests.functional.conftest import MakeLive
from tests.functional.test_interpreters import answer, interpreters, knowing
from tests.live import Live

pytestmark = [pytest.mark.functional, pytest.mark.network]

LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "site-packages", "share"}
"""Of an installation, for the sake of time."""


def mirror(folder: Path, prefix: Path, version: str) -> str:
    """A list of downloads as uv reads it, with one entry: what is installed in `prefix`."""
    archive = folder / "python.tar.gz"

    def needed(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        unneeded = LEFT_OUT & set(member.name.split("/")) or member.name.endswith(".a")
        return None if unneeded else member

    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for name in ("bin", "include", "lib"):
            packed.add(prefix / name, f"python/{name}", filter=needed)
    major, minor, patch = map(int, version.split("."))
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    entry = {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "variant": None,
        "url": archive.as_uri(),
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
    }
    listing = folder / "downloads.json"
    listing.write_text(json.dumps({f"cpython-{version}-linux-{machine}-gnu": entry}))
    return str(listing)


def pythons(live: Live) -> list[str]:
    return [path.name for path in (live.server.serverdir / ".forkbuilder").glob("pythons/cpython-*")]


@pytest.mark.parametrize("allowed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_downloads__an_interpreter_that_the_server_lacks(
    own: MakeLive, uv: Uv, tmp_path: Path, *, allowed: bool
) -> None:
    own_name, *others = interpreters()
    name = next((one for one in others if one in {"3.9", "3.10", "3.11", "3.12", "3.13"}), None)
    if name is None or platform.libc_ver()[0] != "glibc":
        pytest.skip("needs a second CPython and glibc")
    python = interpreters()[name]
    environment = knowing([], python, tmp_path)
    listing = mirror(tmp_path, python.prefix, python.version)
    # The copy may look for its shared library in the original, which no box shows.
    options = ("--forkbuilder-sandbox", "none", *(("--forkbuilder-python-downloads",) if allowed else ()))
    live = own(*options, environment={**environment, "UV_PYTHON_DOWNLOADS_JSON_URL": listing})
    index = live.index_of(live.host.fork("extension"))
    target = tmp_path / "target"
    result = uv.install(live.url(index), "extension", target=target, arguments=("--python", str(python.executable)))
    if allowed:
        result.check()
        assert answer(python, "extension", target) == "42"
        assert f"cpython-{python.version}-linux-{platform.machine()}-gnu" in pythons(live)
    else:
        assert result.returncode != 0
        assert f"no file for Python {name} on linux" in result.output
        assert f"this server builds for Python {own_name}" in result.output
        assert pythons(live) == []
