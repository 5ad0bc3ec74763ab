"""`warm`, `verify` and the offline server: a cache that is filled once, taken off the network, and still installs."""

from __future__ import annotations

import hashlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devpi_forkbuilder.domain.simple.offline import WORDS
from tests.clients import Installer
from tests.devpi import COMMAND, IMPORTS
from tests.functional.conftest import MakeLive, uv_alone
from tests.live import Host, Live, stamped, wheel_of
from tests.preloaded import preloaded
from tests.processes import Result, Running
from tests.publicindex import BACKEND, BUILD_SYSTEM, PublicIndex, public_index
from tests.repositories import Repository
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
PATIENCE = 120.0
OFFLINE = "--offline-mode"


@pytest.fixture
def public(tmp_path: Path) -> Iterator[PublicIndex]:
    """`alpha` requires `beta`, of which there are two versions; `sourced` has no wheel."""
    with public_index(tmp_path / "public") as index:
        index.add_wheel("alpha", "1.0", requires=["beta<2"])
        index.add_wheel("beta", "1.0")
        index.add_wheel("beta", "2.0")
        index.add_source("sourced", "1.0")
        index.add_backend()
        yield index


class Cache:
    """A server with an index of forks above a mirror, and the commands that are pointed at it."""

    def __init__(self, live: Live, public: PublicIndex, folder: Path) -> None:
        self.live = live
        self.folder = folder
        self.mirror = f"root/public{next(live.host.numbers)}"
        live.create(self.mirror, type="mirror", mirror_url=public.url, mirror_no_project_list=True)

    def index(self, *forks: Repository) -> str:
        return self.live.index_of(*forks, bases=(self.mirror,))

    def file(self, *lines: str, name: str = "requirements.txt") -> str:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def start(self, *arguments: str) -> Running:
        environment = clean_environment(self.folder, UV_CACHE_DIR=str(self.folder / "uv-cache"))
        command = [sys.executable, "-c", COMMAND, *arguments]
        return Running(command, environment, self.folder, None, preloaded(IMPORTS))

    def warm(self, index: str, *arguments: str) -> Result:
        return self.start("warm", "--index-url", self.live.url(index), *arguments).wait(PATIENCE)

    def verify(self, index: str, *arguments: str) -> Result:
        return self.start("verify", "--index-url", self.live.url(index), *arguments).wait(PATIENCE)

    def go_offline(self) -> None:
        server = self.live.server
        server.stop()
        server.options = (*server.options, OFFLINE)
        server.start()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "user"
    place.mkdir()
    return place


@pytest.fixture
def cache(live: Live, public: PublicIndex, folder: Path) -> Cache:
    return Cache(live, public, folder)


@pytest.fixture
def own_cache(own: MakeLive, public: PublicIndex, folder: Path) -> Cache:
    """For tests that switch their server over."""
    return Cache(own(), public, folder)


def needing_backend(host: Host) -> Repository:
    """A fork that is built by a project of the public index."""
    files = {"pyproject.toml": BUILD_SYSTEM, "inline_backend.py": None}
    return host.fork("inline", project="needing", files=files)


@uv_alone
def test_warm__all_of_it_installs_offline(
    own_cache: Cache, public: PublicIndex, host: Host, installer: Installer, tmp_path: Path
) -> None:
    plain, needing = host.fork("inline", project="plain"), needing_backend(host)
    index = own_cache.index(plain, needing)
    lines = (host.pin(plain), host.pin(needing), "alpha", "sourced==1.0")
    manifest = own_cache.folder / "cache.json"
    result = own_cache.warm(index, "-r", own_cache.file(*lines), "--manifest", str(manifest)).check()
    print(result.output)
    told = [(file["name"], file["version"]) for file in json.loads(manifest.read_text())["files"]]
    assert told == [
        ("alpha", "1.0"),
        ("beta", "1.0"),
        ("needing", stamped(needing)),
        ("plain", stamped(plain)),
        ("sourced", "1.0"),
        (BACKEND, "1.0"),
    ]
    own_cache.go_offline()
    public.sent.clear()
    wanted = ("plain==1.0.2", "needing==1.0.2", "alpha", "sourced==1.0")
    target = tmp_path / "target"
    done = installer.install(own_cache.live.url(index), *wanted, target=target).check()
    print(f"{installer.name}: offline install {done.seconds:.2f} s")
    names = {path.name for path in target.glob("*.py")}
    assert names == {"inline.py", "alpha.py", "beta.py", "sourced.py"}
    assert (target / "beta.py").read_text() == "VERSION = '1.0'\n"
    assert not public.sent
    own_cache.verify(index, "--manifest", str(manifest)).check()


def manifest_of(cache: Cache) -> list[str]:
    text = (cache.folder / "cache.json").read_text()
    return [file["filename"] for file in json.loads(text)["files"]]


ALPHA, BETA, NEWER = (f"{name}-py3-none-any.whl" for name in ("alpha-1.0", "beta-1.0", "beta-2.0"))
MANIFEST = ("--manifest", "cache.json")


def test_warm__again_fetches_nothing_and_writes_the_same(cache: Cache, public: PublicIndex) -> None:
    index = cache.index()
    wanted = ("-r", cache.file("alpha", "sourced"), "--sources", *MANIFEST)
    cache.warm(index, *wanted).check()
    first, sent = (cache.folder / "cache.json").read_bytes(), dict(public.sent)
    again = cache.warm(index, *wanted).check()
    assert (cache.folder / "cache.json").read_bytes() == first
    files = {name: count for name, count in public.sent.items() if name.endswith((".whl", ".gz"))}
    assert files == {name: count for name, count in sent.items() if name in files}
    assert "0 fetched (0.0 MiB), 4 already there" in again.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_warm__interrupted_is_resumed(cache: Cache, public: PublicIndex, number: signal.Signals) -> None:
    public.add_source("beta", "1.0")
    index = cache.index()
    wanted = ("-r", cache.file("alpha", "sourced"), "--sources", *MANIFEST)
    public.gates["beta-1.0.tar.gz"] = threading.Event()
    running = cache.start("warm", "--index-url", cache.live.url(index), *wanted)
    assert public.reached.wait(PATIENCE), "it never came to the files"
    running.signal(number)
    ended = running.wait(PATIENCE)
    assert ended.returncode == (130 if number is signal.SIGINT else -number), ended.output
    assert not (cache.folder / "cache.json").exists()
    public.gates["beta-1.0.tar.gz"].set()
    before = (public.sent[ALPHA], public.sent[BETA])
    cache.warm(index, *wanted).check()
    assert manifest_of(cache) == [
        ALPHA,
        BETA,
        "beta-1.0.tar.gz",
        "sourced-1.0.tar.gz",
        "tiny_backend-1.0-py3-none-any.whl",
    ]
    assert (public.sent[ALPHA], public.sent[BETA]) == before


def test_warm__a_failing_fork_is_told_and_the_rest_is_fetched(cache: Cache, host: Host) -> None:
    bad, good = host.fork("fails"), host.fork("inline")
    index = cache.index(bad, good)
    result = cache.warm(index, "-r", cache.file(host.pin(bad), host.pin(good), "alpha"), *MANIFEST)
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  ")]
    assert line.startswith("  fails==1.0.2 for Python 3.")
    assert f"424 Build of fails 1.0.2 from {bad.commit[:7]} failed (building): " in line
    assert manifest_of(cache) == [ALPHA, BETA, wheel_of(good)]


def test_warm__what_cannot_be_resolved_is_told_and_the_rest_is_fetched(cache: Cache) -> None:
    index = cache.index()
    lines = ("alpha==1.0", "no-such-project", "sourced==7", "https://elsewhere.example/x-1.0.tar.gz", "-e .")
    result = cache.warm(index, "-r", cache.file(*lines), *MANIFEST)
    assert result.returncode == 1
    told = [line.strip() for line in result.stdout.splitlines() if line.startswith("  ")]
    assert [line.partition(" ")[0] for line in told] == [
        str(cache.folder / "requirements.txt:4:"),
        "no-such-project",
        "requirements",
        "sourced==7",
    ]
    assert "no-such-project was not found" in told[1]
    assert manifest_of(cache) == [ALPHA, BETA]
    assert "-e .: not from an index" in result.stderr


def test_warm__other_interpreters_and_platforms_get_their_own_wheels(cache: Cache, public: PublicIndex) -> None:
    tags = ("cp311-cp311-manylinux_2_17_x86_64", "cp312-cp312-manylinux_2_17_x86_64", "cp312-cp312-macosx_11_0_arm64")
    for tag in (*tags, "cp312-cp312-win_amd64"):
        public.add_wheel("native", "1.0", tags=tag)
    index = cache.index()
    wanted = ("--python", "3.11", "--python", "3.12", "--platform", "linux", "--platform", "macos")
    result = cache.warm(index, "-r", cache.file("native"), *wanted, *MANIFEST)
    assert result.returncode == 1
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("  ")]
    assert "Python 3.11 on darwin arm64" in line
    assert manifest_of(cache) == sorted(f"native-1.0-{tag}.whl" for tag in tags)


def test_warm__hashes_choose_the_file_and_build_requirements_are_apart(cache: Cache, public: PublicIndex) -> None:
    digest = hashlib.sha256(public.add_source("beta", "1.0").read_bytes()).hexdigest()
    index = cache.index()
    build = cache.file("beta>=2", name="build.txt")
    lines = (f"beta==1.0 --hash=sha256:{digest}",)
    cache.warm(index, "-r", cache.file(*lines), "--build-requirements", build, *MANIFEST).check()
    assert manifest_of(cache) == ["beta-1.0.tar.gz", NEWER, "tiny_backend-1.0-py3-none-any.whl"]


def test_warm__lock_files_and_unknown_words_are_refused(cache: Cache) -> None:
    lock = cache.file("version = 1", name="uv.lock")
    for arguments, said in (
        (("-r", lock), "is not a requirements file"),
        (("-r", "missing.txt"), "cannot be read"),
        (("-r", cache.file("alpha"), "--python", "4"), "is not an interpreter"),
    ):
        result = cache.warm("root/nope", *arguments)
        assert result.returncode == 1
        assert said in result.stderr
        assert "Traceback" not in result.output


def test_verify__tells_each_difference_and_fetches_nothing(cache: Cache, public: PublicIndex, host: Host) -> None:
    unbuilt = host.fork("inline", project="unbuilt")
    index = cache.index(unbuilt)
    cache.warm(index, "-r", cache.file("alpha"), *MANIFEST).check()
    path = cache.folder / "cache.json"
    manifest = json.loads(path.read_text())
    newer = hashlib.sha256((public.folder / "files" / NEWER).read_bytes()).hexdigest()
    manifest["files"] += [
        {"name": "beta", "version": "2.0", "filename": NEWER, "sha256": newer},
        {"name": "gone", "version": "1", "filename": "gone-1.tar.gz", "sha256": "0" * 64},
        {"name": "unbuilt", "version": stamped(unbuilt), "filename": wheel_of(unbuilt), "sha256": "0" * 64},
    ]
    manifest["files"][0]["sha256"] = "f" * 64
    path.write_text(json.dumps(manifest))
    public.sent.clear()
    for more in ((), ("--quick",)):
        result = cache.verify(index, *MANIFEST, *more)
        assert result.returncode == 1
        told = [line.strip() for line in result.stdout.splitlines() if line.startswith("  ")]
        assert [line.partition(":")[0] for line in told] == [ALPHA, NEWER, "gone-1.tar.gz", wheel_of(unbuilt)]
        assert f"and should be {'f' * 64}" in told[0]
        assert told[1] == f"{NEWER}: on the index, but not in the cache"
        assert told[3] == f"{wheel_of(unbuilt)}: not on the index"
    assert not public.sent[NEWER]
    assert host.git.fetches(unbuilt.name) == 0


def test_verify__reads_the_bytes(own_cache: Cache) -> None:
    index = own_cache.index()
    own_cache.warm(index, "-r", own_cache.file("alpha"), *MANIFEST).check()
    own_cache.verify(index, *MANIFEST).check()
    (stored,) = (path for path in own_cache.live.server.serverdir.rglob(ALPHA) if path.is_file())
    stored.write_bytes(b"x" * stored.stat().st_size)
    result = own_cache.verify(index, *MANIFEST)
    assert result.returncode == 1
    assert f"  {ALPHA}: its SHA-256 is " in result.stdout
    own_cache.verify(index, *MANIFEST, "--quick").check()


WHAT = ["fork", "file", "project", "url"]


@uv_alone
def test_offline__what_is_missing_is_told_at_once(
    own_cache: Cache, public: PublicIndex, host: Host, installer: Installer
) -> None:
    """Each figure is printed; the bound is generous, for the machine may be busy."""
    unbuilt = host.fork("inline", project="unbuilt")
    public.add_wheel("gamma", "1.0")
    index = own_cache.index(unbuilt)
    own_cache.warm(index, "-r", own_cache.file("alpha")).check()
    newer = own_cache.live.files(index, "beta")[NEWER]["url"]
    own_cache.go_offline()
    page = f"{own_cache.live.url(index)}gamma/"
    own_cache.live.page(index, "unbuilt").check()  # the first page waits until the server knows its interpreters
    placeholder = own_cache.live.file(index, "unbuilt")["url"]
    for what, url in zip(WHAT, (placeholder, newer, page, f"{newer}.metadata"), strict=True):
        begin = time.monotonic()
        answer = own_cache.live.server.get(url, {"User-Agent": "pip/26.3"}, timeout=10)
        print(f"{what}: {answer.status} {answer.reason} after {time.monotonic() - begin:.3f} s")
        assert answer.status == 424
        assert WORDS in answer.reason
        assert WORDS in answer.text
    for wanted in ("unbuilt==1.0.2", "beta==2.0", newer, "gamma"):
        said = installer.install(own_cache.live.url(index), wanted, timeout=30)
        print(f"{installer.name} {wanted}: {said.seconds:.2f} s")
        assert said.returncode
        told = WORDS in " ".join(said.output.split())
        assert told or (wanted == "gamma" and installer.name != "uv"), said.output  # pip hides why a page failed
    installer.install(own_cache.live.url(index), "beta", timeout=30).check()  # what is not here hides nothing
    installer.install(own_cache.live.url(index), "beta==1.0", timeout=30).check()
