"""The engine, the images and the forks that all tests of this folder share."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docker.engine import COMPOSE, MACHINE, TESTS, Engine, Stack, build_context, stack, why_not
from tests.repositories import Repositories, Repository

FORKS = TESTS / "docker" / "forks.yaml"
CUT = TESTS / "docker" / "cut.yaml"
HOST = "http://forks:8000"
MakeStack = Callable[..., AbstractContextManager[Stack]]


@pytest.hookimpl(tryfirst=True)  # before the hook that leaves marked tests out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs an engine, and more time than other tests."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.timeout(1800))


@dataclass(frozen=True, slots=True)
class Forks:
    """Repositories in a folder that the containers of `forks.yaml` serve."""

    repositories: Repositories
    folder: Path

    def make(self, case: str, **more: object) -> Repository:
        return self.repositories.make(case, **more)  # type: ignore[arg-type]  # checked by `make` itself

    def pin(self, fork: Repository) -> str:
        return self.repositories.pin_line(fork, HOST)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    engine = Engine(tmp_path_factory.mktemp("engine"))
    if engine.find_base() is None:
        pytest.skip("there is no base image: no registry can be reached, and debootstrap cannot be run")
    return engine


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_context(tmp_path_factory.mktemp("context"))


def target_image(engine: Engine, context: Path, target: str, *words: str, tag: str = "") -> str:
    """Build one of the targets of compose/Dockerfile; the image's name."""
    file = context / "compose" / "Dockerfile"
    return engine.build(context, tag or target, "--target", target, *words, dockerfile=file)


@pytest.fixture(scope="session")
def server_image(engine: Engine, context: Path) -> str:
    return target_image(engine, context, "server")


@pytest.fixture(scope="session")
def client_image(engine: Engine, context: Path, server_image: str) -> str:  # noqa: ARG001  (its layers are shared)
    return target_image(engine, context, "client")


@pytest.fixture(scope="session")
def postgres_image(engine: Engine) -> str:
    return engine.build(TESTS / "docker" / "postgres", "postgres")


@pytest.fixture(scope="session")
def nginx_image(engine: Engine) -> str:
    return engine.build(TESTS / "docker" / "nginx", "nginx")


@pytest.fixture
def forks(tmp_path: Path) -> Forks:
    folder = tmp_path / "git"
    return Forks(Repositories(folder), folder)


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    """The folder of requirements files that the servers are given."""
    folder = tmp_path / "pins"
    folder.mkdir()
    return folder


@pytest.fixture
def make_stack(engine: Engine, server_image: str, forks: Forks, pins: Path) -> MakeStack:
    """Makes stacks: `make_stack("devstack", NGINX_IMAGE=...)`, with the git host beside them."""

    def make(project: str, **environment: str) -> AbstractContextManager[Stack]:
        given = {
            "FORKBUILDER_IMAGE": server_image,
            "FORKBUILDER_ALLOW_URL": f"{HOST}/",
            "FORKBUILDER_REQUIREMENTS": "/pins/github.txt",
            "FORKBUILDER_PINS": str(pins),
            "FORKBUILDER_PUBLISH": "127.0.0.1:",
            "FORKBUILDER_PUBLIC_INDEX": MACHINE.get("PIP_INDEX_URL", ""),
            "NGINX_PUBLISH": "127.0.0.1:",
            "REPOSITORIES": str(forks.folder),
            "TESTS": str(TESTS),
        }
        files = [COMPOSE / "compose.yaml", FORKS]
        return stack(engine, f"forkbuilder-tests-{project}-{os.getpid()}", files, {**given, **environment})

    return make
