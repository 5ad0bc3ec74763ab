"""PostgreSQL, a primary, two replicas and nginx; and a read-only mirror of them as Jenkins has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.conftest import Forks, MakeStack
from tests.docker.engine import HEALTHY, Engine, Stack
from tests.docker.test_devstack import PRIMARY
from tests.live import stamped
from tests.repositories import Repository

URL = "http://nginx:8080/main/forks/+simple/"
MIRROR = "http://mirror:3141/main/forks/+simple/"


def install(url: str, *what: str) -> str:
    host = url.split("/")[2]
    return f"pip install --no-cache-dir --quiet --index-url {url} --trusted-host {host} {' '.join(what)}; pip freeze"


def uv_install(url: str, *what: str) -> str:
    return f"uv pip install --no-cache --quiet --default-index {url} {' '.join(what)}; uv pip freeze"


@pytest.fixture
def two(forks: Forks, pins: Path) -> tuple[Repository, Repository]:
    """Two forks: one for before, one for after the primary is gone."""
    made = forks.make("inline"), forks.make("inline", name="later", project="later")
    # what comes after the one that is asked for would be built ahead
    (pins / "github.txt").write_text("".join(f"{forks.pin(fork)}\n" for fork in reversed(made)))
    return made


@pytest.fixture
def cluster(
    make_stack: MakeStack, two: tuple[Repository, Repository], postgres_image: str, nginx_image: str
) -> Iterator[Stack]:
    del two  # its pins are on the primary
    with make_stack("cluster", POSTGRES_IMAGE=postgres_image, NGINX_IMAGE=nginx_image) as stack:
        seconds = stack.up("cluster")
        print(f"cluster is healthy after {seconds:.1f} s")
        assert seconds < HEALTHY
        yield stack


def test_cluster__installs_through_nginx_with_and_without_the_primary(
    cluster: Stack, engine: Engine, client_image: str, two: tuple[Repository, Repository], tmp_path: Path
) -> None:
    fork, later = two
    wanted = f"inline=={stamped(fork)}"
    assert wanted in cluster.run_client(client_image, install(URL, "inline==1.0.2", "iniconfig")).check().stdout
    assert roles(cluster, engine) == {"primary": PRIMARY, "replica1": "REPLICA", "replica": "REPLICA"}
    assert "/srv/devpi/+files" in files_of(cluster, engine)
    no_password_is_told(cluster, engine)
    assert connections(cluster, engine) > 256, "each of the primary's threads may have one"
    for replica in ("replica1", "replica"):
        wait_for_files(cluster, engine, replica)
    mirror_of_it(cluster, engine, client_image, later, tmp_path)
    engine.out("stop", "-t", "15", cluster.name("primary"))
    assert wanted in cluster.run_client(client_image, install(URL, "inline==1.0.2", "iniconfig")).check().stdout
    assert wanted in cluster.run_client(client_image, uv_install(URL, "inline==1.0.2", "iniconfig")).check().stdout


def mirror_of_it(stack: Stack, engine: Engine, client_image: str, fork: Repository, folder: Path) -> None:
    """The profile `jenkins` beside the cluster: what is not built is built on the primary, and nothing is changed."""
    secret = folder / "secret"
    secret.write_text(engine.out("exec", stack.name("primary"), "cat", "/secrets/server/secret") + "\n")
    secret.chmod(0o600)
    engine.out("run", "--rm", "-v", f"{secret}:/s", engine.base, "chown", "10001:10001", "/s")
    folder.chmod(0o755)
    stack.environment["FORKBUILDER_PRIMARY_SECRET"] = str(secret)
    stack.up("jenkins", "mirror")
    said = stack.run_client(client_image, install(MIRROR, "later==1.0.2")).check().stdout
    assert f"later=={stamped(fork)}" in said
    assert engine.post(stack.name("mirror"), "main/forks/+forks/later/miss") == 202


def roles(stack: Stack, engine: Engine) -> dict[str, str]:
    found = {}
    for service in ("primary", "replica1", "replica"):
        _, _, body = engine.get(stack.name(service), "+status")
        found[service] = json.loads(body)["result"]["role"]
    return found


def files_of(stack: Stack, engine: Engine) -> str:
    """Where nginx sees a replica's files."""
    return engine.out("exec", stack.name("nginx"), "sh", "-c", "ls -d /srv/devpi/+files")


def connections(stack: Stack, engine: Engine) -> int:
    asked = ("psql", "-h", "/tmp", "-U", "devpi", "-d", "devpi", "-Atc", "show max_connections")
    return int(engine.out("exec", stack.name("database"), *asked))


def no_password_is_told(stack: Stack, engine: Engine) -> None:
    password = engine.out("exec", stack.name("primary"), "cat", "/secrets/database/password")
    said = engine.out("exec", stack.name("primary"), "sh", "-c", "cat /data/server/.forkbuilder/*.log /proc/1/cmdline")
    _, _, status = engine.get(stack.name("primary"), "+status")
    assert password
    assert password not in said + status + stack.logs() + json.dumps(engine.inspect(stack.name("primary")))


def wait_for_files(stack: Stack, engine: Engine, service: str) -> None:
    def there() -> bool:
        _, _, body = engine.get(stack.name(service), "+status")
        return bool(json.loads(body)["result"]["replica-files-in-sync-at"])

    engine.wait_for(there, f"{service} has its files")
