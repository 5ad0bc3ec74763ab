"""An image with a filled cache, run without any network."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.conftest import HOST, Forks, MakeStack, target_image
from tests.docker.engine import MACHINE, Engine
from tests.live import stamped
from tests.processes import Result
from tests.repositories import Repository

INDEX = "http://127.0.0.1:3141/main/forks/+simple/"
WORDS = "is not in the offline cache"
AT_ONCE = 1.0
"""Seconds in which what is missing has to be answered."""


@pytest.fixture
def fork(forks: Forks) -> Repository:
    return forks.make("inline")


@pytest.fixture
def warmed(
    engine: Engine, context: Path, make_stack: MakeStack, forks: Forks, pins: Path, fork: Repository
) -> Iterator[str]:
    """A container of the warmed image, without network; the git host is there while the image is built."""
    (pins / "github.txt").write_text(f"# forks\n{forks.pin(fork)}\n")
    (pins / "base.txt").write_text("iniconfig==2.0.0\npluggy\n")
    requirements = context / "requirements"
    shutil.copytree(pins, requirements)
    with make_stack("warming") as stack:
        stack.up("devstack", "forks")
        given = {"FORKBUILDER_ALLOW_URL": f"{HOST}/", "FORKBUILDER_PUBLIC_INDEX": MACHINE.get("PIP_INDEX_URL", "")}
        arguments = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        image = target_image(engine, context, "warmed", "--network", stack.network, *arguments)
    shutil.rmtree(requirements)
    print(f"{image}: {engine.size(image) / 1e6:.0f} MB")
    started = time.monotonic()
    container = engine.out("run", "-d", "--network", "none", image)
    try:
        engine.wait_until_healthy(container)
        print(f"healthy after {time.monotonic() - started:.1f} s")
        yield container
    except BaseException:
        print(engine.docker("logs", container).output)
        raise
    finally:
        engine.docker("rm", "-fv", container)


class Beside:
    """Installers in containers that have the warmed one's loopback for all their network."""

    def __init__(self, engine: Engine, container: str, image: str) -> None:
        self.engine = engine
        self._words = ["run", "--rm", "--network", f"container:{container}", image, "sh", "-euc"]

    def run(self, command: str) -> Result:
        return self.engine.docker(*self._words, command)

    def pip(self, *what: str) -> Result:
        return self.run(f"pip install --no-cache-dir -q --index-url {INDEX} {' '.join(what)}; pip freeze")

    def uv(self, *what: str) -> Result:
        return self.run(f"uv pip install --no-cache -q --default-index {INDEX} {' '.join(what)}; uv pip freeze")


def test_warmed__installs_its_list_and_says_what_it_has_not(
    warmed: str, engine: Engine, client_image: str, fork: Repository
) -> None:
    assert list(engine.inspect(warmed)["NetworkSettings"]["Networks"]) == ["none"]
    beside = Beside(engine, warmed, client_image)
    for install in (beside.pip, beside.uv):
        said = install("inline==1.0.2", "iniconfig", "pluggy").check().stdout.split()
        assert {f"inline=={stamped(fork)}", "iniconfig==2.0.0"} <= set(said)
        for missing in ("pluggy==1.0.0", "sampleproject"):
            refused = install(missing)
            assert refused.returncode != 0
            # on page errors pip says only that it found nothing
            assert WORDS in refused.output or (install == beside.pip and missing == "sampleproject")
    for path in ("main/forks/+simple/sampleproject/", "root/pypi/+simple/sampleproject/"):
        before = time.monotonic()
        status, reason, body = engine.get(warmed, path)
        seconds = time.monotonic() - before
        print(f"{path}: {status} {reason}, after {seconds:.2f} s with the start of the program that asks")
        assert seconds < AT_ONCE
        assert WORDS in reason + body


def test_warmed__has_no_secret_and_no_source_in_it(warmed: str, engine: Engine) -> None:
    names = engine.out("exec", warmed, "find", "/data", "-newer", "/data/manifest.json", "-type", "f").splitlines()
    kept = [name for name in names if "/passwords/" in name]
    assert kept == ["/data/server/.forkbuilder/passwords/+server-secret"]  # this container's own, made at its start
    manifest = json.loads(engine.out("exec", warmed, "cat", "/data/manifest.json"))
    assert "inline" in json.dumps(manifest)
    listed = engine.out("exec", warmed, "find", "/data/server", "/tmp", "-name", "*.git")
    assert not listed
