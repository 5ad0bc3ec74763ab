"""A real Docker engine, driven by its own programs: images, containers, and the services of compose.yaml."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Result, Running
from tests.surroundings import clean_environment

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "compose"
TESTS = ROOT / "tests"
NAME = "forkbuilder-tests"
BASE = f"{NAME}/base"
PUBLIC_BASE = "debian:bookworm-slim"
SUITE = "bookworm"
BUILD = 900.0  # seconds for one image
PATIENCE = 120.0
HEALTHY = 60.0  # seconds in which a profile has to be healthy on a warm image
CONTEXT = ("setup.cfg", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "devpi_forkbuilder", "compose")
UNWANTED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists")
"""What the public image does not have either."""
ARGUMENTS = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_TRUSTED_HOST"),
)
MACHINE = {name: os.environ[name] for name in ARGUMENTS if name in os.environ}
"""How this machine reaches the network and the package index; read before the tests' own environment leaves it out."""


def why_not() -> str | None:
    """Why there can be no containers here; None if there can."""
    for program in ("docker", "docker-compose"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return "the Docker engine does not answer"
    return None if asked.returncode == 0 else "no Docker engine runs, or this user may not use it"


def run(home: Path, *words: str, timeout: float = PATIENCE, cwd: Path | None = None, **environment: str) -> Result:
    """Run a program to its end."""
    surroundings = clean_environment(home, DOCKER_BUILDKIT="0", COMPOSE_INTERACTIVE_NO_CLI="1", **environment)
    return Running(words, surroundings, cwd or home, None).wait(timeout)


class Engine:
    """The engine; `home` is for the programs' own files."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.base = ""

    def docker(self, *words: str, timeout: float = PATIENCE) -> Result:
        """Any of docker's commands; the result is not judged."""
        return run(self.home, "docker", *words, timeout=timeout)

    def out(self, *words: str, timeout: float = PATIENCE) -> str:
        """What a command prints; it has to succeed."""
        return self.docker(*words, timeout=timeout).check().stdout.strip()

    # images

    def find_base(self) -> str | None:
        """The base of all images: the public one where a registry has it, or one that debootstrap makes; or None."""
        if not self.out("images", "-q", BASE):
            if shutil.which("debootstrap") is None or os.geteuid() != 0:
                if self.docker("pull", PUBLIC_BASE, timeout=BUILD).returncode:
                    return None
                self.out("tag", PUBLIC_BASE, BASE)
            else:
                self._bootstrap()
        self.base = BASE
        return BASE

    def _bootstrap(self) -> None:
        root, archive = self.home / "root", self.home / "root.tar"
        words = ["debootstrap", "--variant=minbase", SUITE, str(root), *_mirror()]
        run(self.home, *words, timeout=BUILD).check()
        for name in UNWANTED:
            shutil.rmtree(root / name)
            (root / name).mkdir()
        for package in (root / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".")
        self.out("import", "--change", 'CMD ["bash"]', str(archive), BASE)
        archive.unlink()
        shutil.rmtree(root)

    def build(self, context: Path, tag: str, *words: str, dockerfile: Path | None = None) -> str:
        """Build an image and give its name."""
        arguments = ["--build-arg", f"BASE_IMAGE={self.base}"]
        for name, value in MACHINE.items():
            arguments += ["--build-arg", f"{name}={value}"]
        file = ["-f", str(dockerfile)] if dockerfile else []
        image = f"{NAME}/{tag}"
        self.docker("build", "--force-rm", *file, *arguments, *words, "-t", image, str(context), timeout=BUILD).check()
        return image

    def inspect_image(self, image: str) -> Any:
        return json.loads(self.out("image", "inspect", image))[0]

    def size(self, image: str) -> int:
        """Bytes."""
        return int(self.out("image", "inspect", "-f", "{{.Size}}", image))

    # containers

    def inspect(self, container: str) -> Any:
        return json.loads(self.out("inspect", container))[0]

    def health(self, container: str) -> str:
        return str(self.inspect(container)["State"].get("Health", {}).get("Status", "none"))

    def wait_until_healthy(self, container: str, timeout: float = HEALTHY) -> None:
        self.wait_for(lambda: self.health(container) == "healthy", f"{container} is healthy", timeout)

    def wait_for(self, fine: Callable[[], bool], what: str, timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not fine():
            assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
            time.sleep(0.2)  # the engine tells nobody: it is asked

    def python(self, container: str, code: str, *words: str) -> str:
        """What a Python program prints inside a running container."""
        return self.out("exec", container, "python", "-c", code, *words)

    def get(self, container: str, path: str) -> tuple[int, str, str]:
        """GET a path from a server inside its own container: status, reason and body."""
        code = (
            "import sys, json, urllib.request as r, urllib.error as e\n"
            "q = r.Request('http://127.0.0.1:3141/' + sys.argv[1], headers={'Accept': 'application/json'})\n"
            "try: a = r.urlopen(q, timeout=60)\n"
            "except e.HTTPError as error: a = error\n"
            "print(json.dumps([a.status, a.reason, a.read().decode()]))\n"
        )
        status, reason, body = json.loads(self.python(container, code, path))
        return status, reason, body

    def post(self, container: str, path: str) -> int:
        """POST nothing; the status."""
        code = (
            "import sys, urllib.request as r, urllib.error as e\n"
            "h = {'Content-Type': 'application/json'}\n"
            "q = r.Request('http://127.0.0.1:3141/' + sys.argv[1], b'{}', h, method='POST')\n"
            "try: print(r.urlopen(q, timeout=60).status)\n"
            "except e.HTTPError as error: print(error.status)\n"
        )
        return int(self.python(container, code, path))


class Stack:
    """The services of compose.yaml under a project name of their own."""

    def __init__(self, engine: Engine, project: str, files: Sequence[Path], environment: Mapping[str, str]) -> None:
        self.engine = engine
        self.project = project
        self.files = list(files)
        self.environment = dict(environment)

    def compose(self, *words: str, files: Sequence[Path] | None = None, timeout: float = PATIENCE) -> Result:
        """docker-compose with these words; the result is not judged."""
        named = [word for file in (files or self.files) for word in ("-f", str(file))]
        command = ["docker-compose", "-p", self.project, "--project-directory", str(COMPOSE), *named, *words]
        return run(self.engine.home, *command, timeout=timeout, **self.environment)

    def up(self, profile: str, *services: str, files: Sequence[Path] | None = None) -> float:
        """Start a profile and wait until every container with a health check is healthy; the seconds that took."""
        started = time.monotonic()
        words = ("--profile", profile, "up", "-d", "--no-build", *services)
        self.compose(*words, files=files, timeout=PATIENCE * 2).check()
        for container in self.containers():
            state = self.engine.inspect(container)["State"]
            if "Health" in state and state["Running"]:
                self.engine.wait_until_healthy(container)
        return time.monotonic() - started

    def down(self, profile: str, *words: str) -> None:
        """End and remove the containers; volumes stay unless `words` say otherwise."""
        self.compose("--profile", profile, "down", "-t", "15", *words).check()

    def containers(self) -> list[str]:
        """All of this project."""
        label = f"label=com.docker.compose.project={self.project}"
        return self.engine.out("ps", "-aq", "--filter", label).split()

    def name(self, service: str) -> str:
        """The service's container."""
        return f"{self.project}_{service}_1"

    @property
    def network(self) -> str:
        return f"{self.project}_default"

    def logs(self) -> str:
        return self.compose("logs", "--no-color", "--tail", "200").output

    def run_client(self, image: str, command: str, timeout: float = PATIENCE) -> Result:
        """A shell command in a new container on the stack's network."""
        words = ["run", "--rm", "--network", self.network, image, "sh", "-euc", command]
        return self.engine.docker(*words, timeout=timeout)

    def end(self) -> None:
        """Remove everything that was made, volumes and networks too."""
        for container in self.containers():
            self.engine.docker("rm", "-fv", container)
        for what in ("volume", "network"):
            label = f"label=com.docker.compose.project={self.project}"
            for name in self.engine.out(what, "ls", "-q", "--filter", label).split():
                self.engine.docker(what, "rm", name)


@contextmanager
def stack(engine: Engine, project: str, files: Sequence[Path], environment: Mapping[str, str]) -> Iterator[Stack]:
    """A stack that is gone at the end of the block; its logs are shown when the block fails."""
    made = Stack(engine, project, files, environment)
    made.end()
    try:
        yield made
    except BaseException:
        print(made.logs())
        raise
    finally:
        made.end()


def build_context(folder: Path) -> Path:
    """What Docker is sent: the repository's sources, with this machine's certificates where it has its own."""
    for name in CONTEXT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    shutil.copy2(ROOT / ".dockerignore", folder / ".dockerignore")
    if certificates := os.environ.get("SSL_CERT_FILE"):
        shutil.copy(certificates, folder / "compose" / "ca" / "machine.crt")
    return folder


def _mirror() -> list[str]:
    """The mirror that this machine's apt uses, or debootstrap's own."""
    places = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    lines = [line for path in places if path.is_file() for line in path.read_text(errors="replace").splitlines()]
    for line in lines:
        words = line.split()
        if words[:1] == ["URIs:"] and words[1].rstrip("/").endswith("/debian"):
            return [words[1]]
        if words[:1] == ["deb"]:
            found = [word for word in words if "://" in word and word.rstrip("/").endswith("/debian")]
            if found:
                return found[:1]
    return []
