"""The Kubernetes manifests at work: what their containers run, as processes of this machine, probed as they are."""

from __future__ import annotations

import secrets
import sys
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request

import pytest

from tests.clients import Uv
from tests.devpi import free_port, send
from tests.live import Host
from tests.manifests import EXAMPLE, SECRETS, Resource, Workload, copy, of_kind, render, workloads
from tests.processes import Result, Running, remember_descendants
from tests.repositories import Repository
from tests.surroundings import clean_environment

pytestmark = pytest.mark.functional
PATIENCE = 60.0
PORT = "3141"


class Pod:
    """One pod's containers as processes; its volumes are folders of `folder`, its port is one of this machine."""

    def __init__(self, folder: Path, workload: Workload, resources: list[Resource], primary: Pod | None) -> None:
        self.folder = folder
        self.workload = workload
        self.port = str(free_port())
        self.primary = primary
        self.output = folder / "output"
        self.running: Running | None = None
        for mount in ("data", "secrets", "tmp"):
            (folder / mount).mkdir(parents=True)
            (folder / mount).chmod(0o2777)  # as kubelet makes an emptyDir for a group
        _project(folder / "requirements", of_kind(resources, "ConfigMap")[0]["data"])
        given = {item["key"] for item in self._secret_volume().get("items", ())} or set(SECRETS)
        _project(folder / "secrets-given", {name: _secret(resources, name) for name in given})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Run the init containers, in a root without any other folder of the pod."""
        for container in self.workload.pod["initContainers"]:
            program, *words = map(self._here, container["command"])
            Running([program, *words], clean_environment(self.folder), self.folder, None).wait(PATIENCE).check()

    def start(self) -> None:
        """Run the server's container."""
        server = self.workload.server
        own = {name: self._here(value) for name, value in self.workload.environment.items()}
        own |= {"FORKBUILDER_HOST": "127.0.0.1", "FORKBUILDER_PORT": self.port, "TMPDIR": str(self.folder / "tmp")}
        command = [sys.executable, "-m", "devpi_forkbuilder.commands.main", *map(self._here, server["args"])]
        with self.output.open("ab") as output:
            self.running = Running(command, clean_environment(self.folder, **own), self.folder, output)

    def answers(self, probe: str) -> bool:
        """Ask as kubelet does: any status from 200 to 399 is fine."""
        path = self.workload.server[probe]["httpGet"]["path"]
        try:
            return send(Request(f"{self.url}{path}"), 5).status < 400
        except OSError:
            return False

    def wait_for(self, probe: str) -> None:
        assert self.running is not None
        deadline = time.monotonic() + PATIENCE
        while not self.answers(probe):
            assert self.running.popen.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, f"{probe}:\n{self.output.read_text()}"
            time.sleep(0.1)  # a probe is a question that is asked again

    def stop(self) -> Result | None:
        """SIGTERM, and no more than the pod's grace."""
        running, self.running = self.running, None
        if running is None:
            return None
        remember_descendants(running.pid)
        running.popen.terminate()
        return running.wait(self.workload.pod["terminationGracePeriodSeconds"])

    def _secret_volume(self) -> Resource:
        (found,) = [volume["secret"] for volume in self.workload.pod["volumes"] if "secret" in volume]
        return found  # type: ignore[no-any-return]  # Kubernetes' own words

    def _here(self, text: str) -> str:
        """Mounts are folders here, and the service of the primary is its address."""
        if self.primary is not None:
            text = text.replace(f"http://forks-primary:{PORT}", self.primary.url)
        for mount in ("/secrets-given", "/secrets/", "/data/", "/requirements/"):
            text = text.replace(mount, f"{self.folder}{mount}")
        return text


def _project(place: Path, files: dict[str, str]) -> None:
    """A volume of a Secret or ConfigMap: links to files that root owns and the group may read."""
    (place / "..data").mkdir(parents=True)
    for name, text in files.items():
        file = place / "..data" / name
        file.write_text(text)
        file.chmod(0o440)
        (place / name).symlink_to(Path("..data", name))


def _secret(resources: list[Resource], name: str) -> str:
    (found,) = of_kind(resources, "Secret")
    return b64decode(found["data"][name]).decode()


class Cluster:
    """The pods of one rendered overlay; all are stopped when the test ends."""

    def __init__(self, folder: Path, host: Host, fork: Repository, passwords: dict[str, str]) -> None:
        self._folder = folder
        made = copy(folder, passwords, f"{host.pin(fork)}\n")
        patch = made / EXAMPLE / "primary.yaml"
        patch.write_text(patch.read_text().replace("https://git.example.com/team", f"{host.git.url}/"))
        self.resources = render(made / EXAMPLE)
        self.pods: list[Pod] = []

    def pod(self, component: str, primary: Pod | None = None) -> Pod:
        folder = self._folder / f"{component}-{len(self.pods)}"
        pod = Pod(folder, workloads(self.resources)[component], self.resources, primary)
        pod.prepare()
        self.pods.append(pod)
        return pod


@pytest.fixture
def fork(host: Host) -> Repository:
    return host.fork("inline")


@pytest.fixture
def passwords() -> dict[str, str]:
    return {
        "root-password": f"{secrets.token_urlsafe(32)}\n",
        "server-secret": f"{secrets.token_urlsafe(32)}\n",
        "git-credentials": "https://reader:of-the-reader@git.example.com\n",
    }


@pytest.fixture
def cluster(tmp_path: Path, host: Host, fork: Repository, passwords: dict[str, str]) -> Iterator[Cluster]:
    made = Cluster(tmp_path, host, fork, passwords)
    yield made
    for pod in reversed(made.pods):
        if pod.running is not None:
            pod.stop()


def test_pods__a_replica_serves_while_its_primary_is_away(cluster: Cluster, uv: Uv, passwords: dict[str, str]) -> None:
    primary = cluster.pod("primary")
    primary.start()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        primary.wait_for(probe)
    replica = cluster.pod("replica", primary)
    replica.start()
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        replica.wait_for(probe)
    url = f"{replica.url}/main/forks/+simple/"
    uv.install(url, "inline==1.0.2").check()
    stopped = primary.stop()
    assert stopped is not None
    assert stopped.returncode == 0, primary.output.read_text()
    uv.install(url, "inline==1.0.2").check()
    assert replica.answers("livenessProbe")
    assert replica.answers("readinessProbe")
    said = primary.output.read_text() + replica.output.read_text()
    assert not [name for name, secret in passwords.items() if secret.strip() in said]


def test_pods__a_new_replica_is_not_ready_before_it_has_the_index(cluster: Cluster) -> None:
    """Its primary is away, and its volume is empty: alive, and asked by nobody."""
    primary = cluster.pod("primary")
    replica = cluster.pod("replica", primary)
    replica.start()
    replica.wait_for("startupProbe")
    assert replica.answers("livenessProbe")
    assert not replica.answers("readinessProbe")
    primary.start()
    replica.wait_for("readinessProbe")


@pytest.mark.slow
def test_pods__a_primary_starts_again_on_its_volume(cluster: Cluster, uv: Uv, host: Host, fork: Repository) -> None:
    """As when the pod moves: another one with the same volume, whose secrets are put in place again."""
    primary = cluster.pod("primary")
    primary.start()
    primary.wait_for("readinessProbe")
    uv.install(f"{primary.url}/main/forks/+simple/", "inline==1.0.2").check()
    primary.stop()
    host.git.hide(fork.name)
    primary.prepare()
    primary.start()
    primary.wait_for("readinessProbe")
    uv.install(f"{primary.url}/main/forks/+simple/", "inline==1.0.2").check()


@pytest.mark.parametrize("passwords", [dict.fromkeys(SECRETS, "")], ids=["empty"])
def test_pods__do_not_start_with_the_placeholders(cluster: Cluster) -> None:
    primary = cluster.pod("primary")
    primary.start()
    assert primary.running is not None
    assert primary.running.wait(PATIENCE).returncode != 0
    primary.running = None
    assert "root-password" in primary.output.read_text()
    assert not (primary.folder / "data" / "server" / ".sqlite").exists()


@pytest.mark.parametrize("component", ["primary", "replica"])
def test_secrets__are_the_servers_alone(cluster: Cluster, component: str, passwords: dict[str, str]) -> None:
    pod = cluster.pod(component, cluster.pod("primary") if component == "replica" else None)
    own = pod.folder / "secrets" / "own"
    assert own.stat().st_mode & 0o777 == 0o700
    wanted = passwords if component == "primary" else {"server-secret": passwords["server-secret"]}
    assert {path.name: path.read_text() for path in own.iterdir()} == wanted
    assert {path.stat().st_mode & 0o777 for path in own.iterdir()} == {0o600}


def test_devpi__refuses_a_secret_as_kubernetes_gives_it(cluster: Cluster) -> None:
    """Else the init containers would be for nothing."""
    primary = cluster.pod("primary")
    given, taken = primary.folder / "secrets-given" / "server-secret", primary.folder / "secrets" / "own"
    (taken / "server-secret").unlink()
    (taken / "server-secret").symlink_to(given)
    primary.start()
    assert primary.running is not None
    assert primary.running.wait(PATIENCE).returncode != 0
    primary.running = None
    assert "secret file is group accessible" in primary.output.read_text()
