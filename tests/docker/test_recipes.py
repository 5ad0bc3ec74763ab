"""The Dockerfiles of docs/how-to/ci, built by a real BuildKit against a real index; the images are searched."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.devpi import DevpiServer
from tests.docker.engine import BUILD, NAME, Engine, run
from tests.live import METADATA, Live, hosted
from tests.processes import Result
from tests.recipes import FOLDER
from tests.repositories import Repository
from tests.sites import readers_plugin

CACHE_MOUNT, AT_BUILD = "Dockerfile.cache-mount", "Dockerfile.index-at-build"
CLIENTS = (shutil.which("docker"), "/usr/bin/docker", "/usr/local/bin/docker")
"""Programs that may be able to drive BuildKit: newer ones need the plugin buildx for it, those up to 20.10 do not."""

WITH_BUILDKIT = ("env", "DOCKER_BUILDKIT=1")  # all other tests build with the classic builder


class BuildKit:
    """Builds with the engine's BuildKit; every image is removed by `clear`."""

    def __init__(self, engine: Engine, client: str, base: str) -> None:
        self.engine = engine
        self._client = client
        self._base = base
        self._made: list[str] = []

    def build(self, context: Path, index: str, dockerfile: str, *words: str) -> tuple[str, Result]:
        """An image of a recipe; RUN steps are on the machine's network, where the tests' index listens."""
        image = f"{NAME}/recipe-{len(self._made)}"
        arguments = ["--build-arg", f"BASE_IMAGE={self._base}", "--build-arg", f"FORKS_INDEX={index}", *words]
        place = ["--network", "host", "--progress", "plain", "-f", str(FOLDER / dockerfile), "-t", image, str(context)]
        done = run(self.engine.home, *WITH_BUILDKIT, self._client, "build", *arguments, *place, timeout=BUILD)
        self._made.append(image)
        return image, done.check()

    def content(self, image: str) -> bytes:
        """Everything that `docker save` writes: the layers and the configuration."""
        archive = self.engine.home / "image.tar"
        self.engine.out("save", "-o", str(archive), image, timeout=BUILD)
        content = archive.read_bytes()
        archive.unlink()
        return content

    def history(self, image: str) -> str:
        return self.engine.out("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)

    def clear(self) -> None:
        for image in self._made:
            self.engine.docker("rmi", "-f", image)


@pytest.fixture(scope="module")
def buildkit(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildKit]:
    empty = tmp_path_factory.mktemp("empty")
    (empty / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    for client in filter(None, CLIENTS):
        command = (*WITH_BUILDKIT, client, "build", "-q", str(empty))
        if Path(client).exists() and not run(engine.home, *command).returncode:
            break
    else:
        pytest.skip("no docker on this machine drives BuildKit: the plugin docker-buildx is not installed")
    made = BuildKit(engine, client, engine.build(Path(__file__).parent / "python", "python"))
    yield made
    made.clear()


@dataclass(frozen=True, slots=True)
class Indexes:
    """An index that everybody may read, and one that only root may, with the same fork; `secret` opens it."""

    live: Live
    fork: Repository
    secret: str

    @property
    def everybodys(self) -> str:
        return f"{self.live.server.url}/root/everybodys"

    @property
    def private(self) -> str:
        return f"{self.live.server.url}/root/private"


@pytest.fixture(scope="module")
def indexes(devpi_templates: Callable[[bool], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Indexes]:
    folder = tmp_path_factory.mktemp("recipes")
    readers = {"PYTHONPATH": str(readers_plugin(folder / "readers"))}
    with hosted(folder / "git") as host:
        fork = host.fork("inline")
        options = (*host.allowed, METADATA)
        template = devpi_templates(False)
        with DevpiServer(folder / "devpi", *options, template=template, environment=readers) as server:
            live = Live(server, host)
            for name in ("everybodys", "private"):
                live.create(f"root/{name}", type="forkbuilder", forks=[host.pin(fork)], title=name)
            secret = secrets.token_urlsafe(24)
            server.api("PATCH", "root", {"password": secret}, user="root").check()
            yield Indexes(live, fork, secret)


@pytest.fixture
def project(indexes: Indexes, tmp_path: Path) -> Path:
    """A build context with a frozen fork and a test."""
    file = indexes.live.file("root/everybodys", indexes.fork.project)
    line = f"inline=={file['filename'].split('-')[1]} --hash=sha256:{file['hashes']['sha256']}\n"
    for name, text in (("requirements/github.txt", line), ("tests/test_fork.py", "import inline\n")):
        (tmp_path / "project" / name).parent.mkdir(parents=True)
        (tmp_path / "project" / name).write_text(text)
    return tmp_path / "project"


@pytest.fixture
def netrc(indexes: Indexes, tmp_path: Path) -> tuple[str, str]:
    """The words that give BuildKit the secret."""
    path = tmp_path / "netrc"
    path.write_text(f"machine 127.0.0.1 login root password {indexes.secret}\n")
    return "--secret", f"id=netrc,src={path}"


def works(engine: Engine, image: str) -> None:
    """The image's own command runs without network; unittest fails where the fork cannot be imported."""
    done = engine.docker("run", "--rm", "--network", "none", image).check()
    assert "OK" in done.output or "NO TESTS RAN" in done.output


def test_index_at_build__leaves_no_secret(
    buildkit: BuildKit, engine: Engine, indexes: Indexes, project: Path, netrc: tuple[str, str]
) -> None:
    image, done = buildkit.build(project, indexes.private, AT_BUILD, *netrc)
    works(engine, image)
    content = buildkit.content(image)
    assert b"inline.py" in content
    assert indexes.secret.encode() not in content
    assert indexes.secret not in buildkit.history(image) + done.output
    assert indexes.private not in str(engine.inspect_image(image)["Config"]["Env"])
    assert engine.inspect_image(image)["Config"]["User"] == "65534:65534"


def test_index_at_build__does_not_go_without_the_secret(buildkit: BuildKit, indexes: Indexes, project: Path) -> None:
    """Else nothing would be proved: the index is closed, and the file is asked for."""
    with pytest.raises(AssertionError, match="netrc"):
        buildkit.build(project, indexes.private, AT_BUILD, "--no-cache")


def test_secret__in_a_build_argument_is_found(buildkit: BuildKit, indexes: Indexes, project: Path) -> None:
    """The search finds what is there: this is what the recipe warns of."""
    login = indexes.private.replace("http://", f"http://root:{indexes.secret}@")
    image, _ = buildkit.build(project, login, CACHE_MOUNT)
    assert indexes.secret.encode() in buildkit.content(image)
    assert indexes.secret in buildkit.history(image)


def test_cache_mount__is_used_again_and_in_no_layer(
    buildkit: BuildKit, engine: Engine, indexes: Indexes, project: Path
) -> None:
    buildkit.build(project, indexes.everybodys, CACHE_MOUNT)
    with (project / "requirements" / "github.txt").open("a") as file:
        file.write("# changed, so that the step runs again; with --no-cache it would get an empty mount\n")
    image, done = buildkit.build(project, indexes.everybodys, CACHE_MOUNT)
    assert "Using cached" in done.output, done.output
    works(engine, image)
    assert engine.out("run", "--rm", image, "find", "/var/cache/pip", "-mindepth", "1") == ""
