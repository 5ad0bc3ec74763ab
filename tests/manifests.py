"""The Kubernetes manifests of compose/kubernetes as data, rendered by kubectl's own kustomize, which asks no server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "compose" / "kubernetes"
BASE, EXAMPLE = Path("base"), Path("overlays", "example")
SECRETS = ("root-password", "server-secret", "git-credentials")
Resource = dict[str, Any]


def render(folder: Path) -> list[Resource]:
    """What would be applied. Skips the test where there is no kubectl or no parser for YAML."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl, which renders the manifests, is not on PATH")
    yaml = pytest.importorskip("ruamel.yaml", reason="ruamel.yaml is not installed (extra: test)")
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.YAML(typ="safe", pure=True).load_all(done.stdout))


def copy(folder: Path, secrets: Mapping[str, str], requirements: str = "") -> Path:
    """A copy of the manifests whose example has these secrets and pins, as a user makes it."""
    made = Path(shutil.copytree(FOLDER, folder / "kubernetes"))
    for name, secret in secrets.items():
        (made / EXAMPLE / "secrets" / name).write_text(secret)
    if requirements:
        (made / EXAMPLE / "github.txt").write_text(requirements)
    return made


@dataclass(frozen=True, slots=True)
class Workload:
    """A StatefulSet or Deployment."""

    resource: Resource

    @property
    def name(self) -> str:
        return str(self.resource["metadata"]["name"])

    @property
    def spec(self) -> Resource:
        return self.resource["spec"]  # type: ignore[no-any-return]  # Kubernetes' own words

    @property
    def labels(self) -> Mapping[str, str]:
        return self.spec["template"]["metadata"]["labels"]  # type: ignore[no-any-return]  # as above

    @property
    def pod(self) -> Resource:
        return self.spec["template"]["spec"]  # type: ignore[no-any-return]  # as above

    @property
    def server(self) -> Resource:
        (found,) = self.pod["containers"]
        return found  # type: ignore[no-any-return]  # as above

    @property
    def environment(self) -> dict[str, str]:
        """The server's variables; none takes its value from elsewhere."""
        return {one["name"]: one["value"] for one in self.server["env"]}

    def containers(self) -> Iterator[Resource]:
        yield from self.pod.get("initContainers", ())
        yield from self.pod["containers"]

    def is_selected_by(self, selector: Mapping[str, str]) -> bool:
        return selector.items() <= self.labels.items()


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [one for one in resources if one["kind"] == kind]


def workloads(resources: list[Resource]) -> dict[str, Workload]:
    """By component: `primary`, `replica`."""
    found = [Workload(one) for kind in ("StatefulSet", "Deployment") for one in of_kind(resources, kind)]
    return {one.labels["app.kubernetes.io/component"]: one for one in found}
