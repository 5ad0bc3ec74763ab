"""Forks whose builds attack the server: everything real, in the strongest sandbox that this machine has."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devpi_forkbuilder.domain.pins.orders import Order, Recipe
from devpi_forkbuilder.domain.pins.pins import Pin
from devpi_forkbuilder.errors import ForkbuilderError, MismatchError
from devpi_forkbuilder.pipeline.builder import WheelBuilder
from devpi_forkbuilder.pipeline.sandbox.probe import choose_tier
from tests.pipeline.benches import Follower, wheel_builder
from tests.repositories import Content, Link, Repositories
from tests.threats.hostile import attacking, reporting

CANARY = "canary-71c02f"


@pytest.fixture
def shop(tmp_path: Path) -> WheelBuilder:
    folder = tmp_path / "server"
    (folder / "builds").mkdir(parents=True)
    return wheel_builder(folder, sandbox=choose_tier("auto", scratch=folder / "builds"))


@pytest.fixture
def follower() -> Follower:
    return Follower()


class Attack:
    """A hostile fork, built once."""

    def __init__(
        self, shop: WheelBuilder, repositories: Repositories, files: dict[str, Content], **recipe: Any
    ) -> None:
        self.shop = shop
        self.fork = repositories.make("inline", files=files)
        self.order = Order("root/forks", Pin.parse(repositories.pin_line(self.fork)), recipe=Recipe(**recipe))
        self.follower = Follower()

    def report(self) -> dict[str, str]:
        """What the build found out, from its wheel."""
        with self.shop.build(self.order, self.follower) as built:
            (artefact,) = built.artefacts
            with zipfile.ZipFile(artefact.path) as archive:
                report: dict[str, str] = json.loads(archive.read("report.json"))
        return report

    def failure(self) -> ForkbuilderError:
        with pytest.raises(ForkbuilderError) as caught, self.shop.build(self.order, self.follower):
            pass
        assert caught.value.what.endswith(".")
        return caught.value


@pytest.fixture
def listener() -> Iterator[int]:
    """A server on this machine, such as devpi itself or a database beside it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_build__reads_nothing_of_the_server(
    shop: WheelBuilder, repositories: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_TOKEN", CANARY)
    places = [tmp_path / "server" / name for name in ("secret", "mirrors/x", "builds/other/file", ".git-credentials")]
    places += [Path.home() / ".ssh" / "id_ed25519", Path.home() / ".netrc"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(CANARY)
    wanted = {str(place): f"attempt(read, {str(place)!r})" for place in places}
    wanted["environment"] = "repr(dict(os.environ))"
    wanted["environments"] = "attempt(lambda: [attempt(read, path) for path in glob.glob('/proc/*/environ')])"
    wanted["parent"] = f"attempt(read, '/proc/{os.getpid()}/environ')"
    wanted["memory"] = f"attempt(lambda: open('/proc/{os.getpid()}/mem', 'rb').read(1))"
    wanted["folder"] = f"attempt(os.listdir, {str(tmp_path)!r})"
    wanted["kill"] = f"attempt(os.kill, {os.getpid()}, 0)"
    files = reporting("{" + ", ".join(f"{name!r}: {value}" for name, value in wanted.items()) + "}")
    report = Attack(shop, repositories, files).report()
    assert CANARY not in json.dumps(report)
    errors = {"FileNotFoundError", "PermissionError", "ProcessLookupError"}
    assert {report[str(place)] for place in places} <= errors
    assert {report[name] for name in ("folder", "kill", "memory")} <= errors


def test_build__of_one_fork_leaves_nothing_for_the_next(shop: WheelBuilder, repositories: Repositories) -> None:
    """Neither in a temporary folder nor in uv's cache, which is what builds have in common."""
    write = (
        "[attempt(lambda: Path(p, 'left-behind').write_text('x')) for p in ('/tmp', '/var/tmp', '/dev/shm', '.', '..')]"
    )
    first = repositories.make("inline", name="first", files=reporting(f"{{'x': str({write})}}"))
    with shop.build(Order("root/forks", Pin.parse(repositories.pin_line(first))), Follower()):
        pass
    tops = ("/tmp", "/var/tmp", "/dev/shm", "..")
    look = f"attempt(lambda: [p for top in {tops} for p in glob.glob(top + '/**/left-behind', recursive=True)])"
    assert Attack(shop, repositories, reporting(f"{{'found': {look}}}")).report() == {"found": "[]"}


CONNECT = "attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 5).close())"
LOOK_UP = "attempt(socket.getaddrinfo, 'localhost.example.com', 80)"


def test_build__has_no_network(shop: WheelBuilder, repositories: Repositories, listener: int) -> None:
    files = reporting(f"{{'tcp': {CONNECT.format(port=listener)}, 'dns': {LOOK_UP}}}")
    report = Attack(shop, repositories, files).report()
    assert report["tcp"] in {"ConnectionRefusedError", "PermissionError", "OSError"}
    assert report["dns"] == "gaierror"


def test_build__has_the_network_where_the_index_says_so(
    shop: WheelBuilder, repositories: Repositories, listener: int
) -> None:
    attack = Attack(shop, repositories, reporting(f"{{'tcp': {CONNECT.format(port=listener)}}}"), network=True)
    assert attack.report() == {"tcp": "None"}
    assert "fork_build_network" in attack.follower.lines.text


def test_build__with_the_network_sees_no_proxys_password(shop: WheelBuilder, repositories: Repositories) -> None:
    shop.equipment.base["HTTPS_PROXY"] = f"http://me:{CANARY}@proxy.example.com:1"  # type: ignore[index]  # a dict here
    shop.equipment.base["HTTP_PROXY"] = "http://proxy.example.com:1"  # type: ignore[index]
    shop.equipment.base["NO_PROXY"] = "localhost"  # type: ignore[index]
    report = Attack(shop, repositories, reporting("{'all': repr(dict(os.environ))}"), network=True).report()
    assert CANARY not in report["all"]
    assert "http://proxy.example.com:1" in report["all"]


DAEMON = """
def attack(folder, settings):
    name = write_wheel(folder, settings)
    path = Path(folder).resolve() / name
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (1, 2, 15):
                signal.signal(number, signal.SIG_IGN)
            for stream in (0, 1, 2):
                os.close(stream)
            while True:
                time.sleep(0.01)
                try:
                    path.write_bytes(b'owned')
                except OSError:
                    pass
        os._exit(0)
    return name
"""


def test_build__leaves_a_daemon_that_rewrites_the_wheel(shop: WheelBuilder, repositories: Repositories) -> None:
    """It loses the race or the build fails; in no case is what is published not what was checked."""
    attack = Attack(shop, repositories, attacking(DAEMON))
    found = "mismatch"
    with (
        contextlib.suppress(MismatchError),
        shop.build(attack.order, attack.follower) as built,
        zipfile.ZipFile(built.artefacts[0].path) as archive,
    ):
        found = archive.testzip() or "good"
    assert found in {"good", "mismatch"}
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(shop.work).encode() in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def outputs(code: str) -> dict[str, Content]:
    """An attack on the output folder: `path` is where the wheel has to be."""
    body = "".join(f"    {line}\n" for line in code.splitlines())
    return attacking(
        "def attack(folder, settings):\n"
        "    name = write_wheel(folder, settings)\n"
        f"    path = Path(folder) / name\n{body}    return name\n"
    )


# uv looks at what it has built, so some of it never gets as far as to the server's own checks
OUTPUTS = [
    ("path.unlink(); path.symlink_to({secret!r})", "build-failed artefact-not-a-file"),
    ("path.unlink(); os.mkfifo(path)", "build-failed artefact-not-a-file"),
    ("path.rename('moved'); os.link('moved', path)", "artefact-not-a-file"),
    ("path.unlink(); path.mkdir()", "build-failed artefact-not-a-file"),
    ("shutil.rmtree(folder); os.symlink('/etc', folder)", "build-failed artefact-not-a-file artefact-unexpected"),
    ("[(Path(folder) / f'{number}.whl').touch() for number in range(200)]", "too-many-artefacts"),
    ("(Path(folder) / 'a\\nb-1.0-py3-none-any.whl').touch()", "artefact-name"),
    ("(Path(folder) / '..\\u202egnp.whl').touch()", "artefact-name"),
    ("open(bytes(Path(folder)) + b'/\\xff-1.0-py3-none-any.whl', 'w').close()", "artefact-name"),
    ("path.open('ab').write(b'PK')", ""),
    ("zipfile.ZipFile(path, 'a').writestr('../../evil.py', 'x')", ""),
    ("zipfile.ZipFile(path, 'a').writestr('/etc/evil', 'x')", ""),
    ("path.write_bytes(b'')", ""),
    ("path.write_bytes(b'PK\\x05\\x06' + bytes(18))", ""),
]


@pytest.mark.parametrize(("code", "references"), OUTPUTS, ids=[code[:40] for code, _ in OUTPUTS])
def test_build__output_is_not_what_it_seems(
    shop: WheelBuilder, repositories: Repositories, tmp_path: Path, code: str, references: str
) -> None:
    secret = tmp_path / "secret.whl"
    secret.write_text(CANARY)
    attack = Attack(shop, repositories, outputs(code.format(secret=str(secret)) if "secret" in code else code))
    fault = attack.failure()
    assert fault.reference in references.split() or fault.kind.value == "mismatch"
    assert CANARY not in attack.follower.lines.text


def test_build__rewrites_its_repository(shop: WheelBuilder, repositories: Repositories, tmp_path: Path) -> None:
    """git, run by the server in a tree that a build has had, would start what its configuration names."""
    marker = tmp_path / "marker"
    program = f"#!/bin/sh\\ntouch {marker}\\n"
    code = f'''
def attack(folder, settings):
    evil = Path("evil").resolve()
    evil.write_text("{program}")
    evil.chmod(0o755)
    git = Path(".git")
    with (git / "config").open("a") as config:
        config.write(f"[core]\\n\\tfsmonitor = {{evil}}\\n\\thooksPath = {{evil.parent}}\\n\\tsshCommand = {{evil}}\\n")
        config.write(f"[filter \\"x\\"]\\n\\tsmudge = {{evil}}\\n\\tclean = {{evil}}\\n")
    (git / "info").mkdir(exist_ok=True)
    (git / "info" / "attributes").write_text("* filter=x\\n")
    return write_wheel(folder, settings)
'''
    attack = Attack(shop, repositories, attacking(code))
    with shop.build(attack.order, attack.follower) as built:
        assert built.artefacts
    assert not marker.exists()


@pytest.mark.parametrize("target", ["/etc/hostname", "../../../../etc/hostname", "link-to-above/etc/hostname"])
@pytest.mark.parametrize("name", ["README.md", "inline.py", "pyproject.toml"])
def test_fork__links_to_files_of_the_server(
    shop: WheelBuilder, repositories: Repositories, target: str, name: str
) -> None:
    files: dict[str, Content] = {name: Link(target)}
    if target.startswith("link-"):
        files["link-to-above"] = Link("../../../..")
    fault = Attack(shop, repositories, files).failure()
    assert (fault.kind.value, fault.reference) == ("source", "symlink-outside")


GIT_TREES = {
    ".git as a link": "120000 blob {link}\t.git",
    ".git as a file": "100644 blob {link}\t.git",
    ".GIT as a folder": "040000 tree {tree}\t.GIT",
    "git~1": "040000 tree {tree}\tgit~1",
    "..": "040000 tree {tree}\t..",
    ".gitmodules as a link": "120000 blob {link}\t.gitmodules",
    "HFS": "040000 tree {tree}\t.g\u200cit",
}


@pytest.mark.parametrize("what", GIT_TREES)
def test_fork__trees_that_git_would_take_for_its_own(shop: WheelBuilder, repositories: Repositories, what: str) -> None:
    fork = repositories.make("inline")

    def write(kind: str, content: bytes) -> str:
        return repositories.git(
            "hash-object", "-w", "--literally", "-t", kind, "--stdin", at=fork.path, stdin=content
        ).strip()

    entry = GIT_TREES[what].format(link=write("blob", b"/etc"), tree=write("tree", b""))
    mode, rest = entry.split(" ", 1)
    object_id, name = rest.split(" ", 1)[1].split("\t")
    raw = b"%s %s\0%s" % (mode.lstrip("0").encode(), name.encode(), bytes.fromhex(object_id))
    tree = write("tree", raw)
    head = f"tree {tree}\nparent {fork.commit}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n"
    commit = write("commit", head.encode())
    repositories.git("update-ref", "refs/heads/main", commit, at=fork.path)
    order = Order("root/forks", Pin.parse(repositories.pin_line(fork, commit=commit)))
    with pytest.raises(ForkbuilderError) as caught, shop.build(order, Follower()):
        pass
    assert caught.value.kind.value in {"source", "build"}
    assert not list(shop.work.rglob(".git"))


def test_build__asks_for_requirements_of_other_hosts(
    shop: WheelBuilder, repositories: Repositories, listener: int
) -> None:
    """The supply step has the network, so a requirement's URL would make the server ask any host."""
    table = (
        '[build-system]\nrequires = ["x @ https://127.0.0.1:%d/x-1.0-py3-none-any.whl"]\n'
        'build-backend = "inline_backend"\nbackend-path = ["."]\n'
    )
    fault = Attack(shop, repositories, {"pyproject.toml": table % listener}).failure()
    assert (fault.kind.value, fault.reference) == ("build", "requirement-refused")


def test_builds__hostile_ones_do_not_stop_the_others(shop: WheelBuilder, repositories: Repositories) -> None:
    """Beside builds that fail in every way a good one finishes."""
    evil = [
        "def attack(folder, settings): os.kill(os.getpid(), 9)",
        "def attack(folder, settings): x = [bytearray(1 << 30) for _ in range(1000)]",
        "def attack(folder, settings): print('\\x1b]0;owned\\x07<script>' * 1000, flush=True); sys.exit(3)",
        "def attack(folder, settings): Path('/usr/evil').write_text('x')",
    ]
    attacks = [Attack(shop, repositories_at(repositories, number), attacking(code)) for number, code in enumerate(evil)]
    faults: list[ForkbuilderError] = []
    threads = [threading.Thread(target=lambda one=one: faults.append(one.failure())) for one in attacks]
    for thread in threads:
        thread.start()
    good = repositories.make("inline", name="good")
    with shop.build(Order("root/forks", Pin.parse(repositories.pin_line(good))), Follower()) as built:
        assert built.artefacts
    for thread in threads:
        thread.join()
    assert {fault.kind.value for fault in faults} == {"build", "limits"}  # memory that was refused is a limit
    assert len(faults) == len(evil)
    assert Path(__file__).exists()


def repositories_at(repositories: Repositories, number: int) -> Repositories:
    """A folder of repositories of its own."""
    return Repositories(repositories.folder / str(number))
