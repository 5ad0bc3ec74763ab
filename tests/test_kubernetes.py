"""The Kubernetes manifests without a cluster: they render, hold to the schemas of Kubernetes, and to each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from devpi_server.config import get_pluginmanager, parseoptions

import devpi_forkbuilder.plugin
from devpi_forkbuilder.commands.main import parser
from devpi_forkbuilder.commands.up.environment import unknown_variables, words_for_up
from devpi_forkbuilder.commands.up.server_words import CONNECTIONS, THREADS
from tests.manifests import BASE, EXAMPLE, FOLDER, SECRETS, Resource, Workload, copy, of_kind, render, workloads

VERSIONS = ("1.29", "1.32", "1.35")
"""From the oldest that has all fields that are used to a recent one."""
COMPONENTS = ("primary", "replica")
PLACEHOLDERS = dict.fromkeys(SECRETS, "of-the-example\n")


@pytest.fixture(scope="module", params=[BASE, EXAMPLE], ids=str)
def resources(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    return render(copy(tmp_path_factory.mktemp("manifests"), PLACEHOLDERS) / request.param)


@pytest.fixture(params=COMPONENTS)
def workload(request: pytest.FixtureRequest, resources: list[Resource]) -> Workload:
    return workloads(resources)[request.param]


@pytest.mark.parametrize("version", VERSIONS)
def test_resources__hold_to_the_schemas(resources: list[Resource], version: str) -> None:
    """Strict: a field that Kubernetes does not know is a fault."""
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for resource in resources:
        validator.validate(resource, version, strict=True)


def test_schemas__refuse_an_unknown_field(resources: list[Resource]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    (budget, *_) = of_kind(resources, "PodDisruptionBudget")
    wrong = {**budget, "spec": {**budget["spec"], "maxUnavailabel": 1}}
    with pytest.raises(validator.ValidationError):
        validator.validate(wrong, VERSIONS[-1], strict=True)


def test_resources__are_those_that_are_promised(resources: list[Resource]) -> None:
    kinds = {(one["kind"], re.sub(r"-[a-z0-9]{10}$", "", one["metadata"]["name"])) for one in resources}
    assert kinds - {("Namespace", "forks")} == {
        ("StatefulSet", "forks-primary"),
        ("Deployment", "forks-replica"),
        ("Service", "forks-primary"),
        ("Service", "forks"),
        ("PodDisruptionBudget", "forks-primary"),
        ("PodDisruptionBudget", "forks-replica"),
        ("NetworkPolicy", "forks-primary"),
        ("NetworkPolicy", "forks-replica"),
        ("ConfigMap", "forks-requirements"),
        ("Secret", "forks-secrets"),
    }


def test_containers__are_restricted(workload: Workload) -> None:
    """The pod security standard `restricted`, and a file system that is read only."""
    pod = workload.pod["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] != 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert workload.pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & workload.pod.keys()
    for container in workload.containers():
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context
        assert not {"hostPath"} & {key for volume in workload.pod["volumes"] for key in volume}


def test_volumes__keep_the_modes_of_secret_files(workload: Workload) -> None:
    """Otherwise Kubernetes opens every file of the volume to the group at each mount, the server's secret too."""
    assert workload.pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"


def test_containers__have_requests_and_limits(workload: Workload) -> None:
    for container in workload.containers():
        for bound in ("requests", "limits"):
            assert {"cpu", "memory"} <= container["resources"][bound].keys()


def test_memory__has_room_for_the_builds(resources: list[Resource]) -> None:
    primary = workloads(resources)["primary"]
    builds = int(primary.environment["FORKBUILDER_WORKERS"])
    each = int(primary.environment["FORKBUILDER_LIMIT_MEMORY"].removesuffix("G"))
    limit = int(primary.server["resources"]["limits"]["memory"].removesuffix("Gi"))
    assert builds * each < limit


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes__ask_a_port_that_is_there(workload: Workload, probe: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in workload.server["ports"]}
    asked = workload.server[probe]["httpGet"]
    assert str(ports[asked["port"]]) == workload.environment["FORKBUILDER_PORT"]
    assert workload.server[probe]["timeoutSeconds"] > 1


def test_probes__ask_for_health(resources: list[Resource]) -> None:
    for one in workloads(resources).values():
        asked = {probe: one.server[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
        assert asked == {"livenessProbe": "/+forkbuilder/live", "readinessProbe": "/+forkbuilder/ready"}


def test_selectors__lead_to_one_workload_each(resources: list[Resource]) -> None:
    both = workloads(resources)
    for workload in both.values():
        assert workload.is_selected_by(workload.spec["selector"]["matchLabels"])
    for kind, key in (("Service", "selector"), ("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        found = [_selected(one["spec"][key], both) for one in of_kind(resources, kind)]
        assert sorted(map(sorted, found)) == [["primary"], ["replica"]], kind


def _selected(selector: Mapping[str, Mapping[str, str]], both: Mapping[str, Workload]) -> list[str]:
    labels = selector.get("matchLabels", selector)
    return [name for name, one in both.items() if one.is_selected_by(labels)]  # type: ignore[arg-type]  # a Service's is flat


def test_services__and_policies_name_ports_that_are_there(resources: list[Resource]) -> None:
    names = {port["name"] for one in workloads(resources).values() for port in one.server["ports"]}
    for service in of_kind(resources, "Service"):
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
    for policy in of_kind(resources, "NetworkPolicy"):
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        ports = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert ports <= names


def test_replica__knows_its_primary_by_its_service(resources: list[Resource]) -> None:
    known, _ = parser().parse_known_args(workloads(resources)["replica"].server["args"])
    services = {one["metadata"]["name"]: one["spec"]["ports"][0]["port"] for one in of_kind(resources, "Service")}
    assert known.replica_of == f"http://forks-primary:{services['forks-primary']}"
    assert workloads(resources)["primary"].spec["serviceName"] in services


def test_arguments__are_those_of_up_and_of_devpi_server(workload: Workload) -> None:
    environment = workload.environment
    assert not unknown_variables(environment)
    command, *words = workload.server["args"]
    known, more = parser().parse_known_args([command, *words_for_up(environment), *words])
    assert command == "up"
    assert (known.host, known.port) == ("0.0.0.0", int(environment["FORKBUILDER_PORT"]))
    plugins = get_pluginmanager(load_entrypoints=False)
    plugins.register(devpi_forkbuilder.plugin)
    config = parseoptions(plugins, ["devpi-server", *more])
    assert (config.args.threads, config.args.connection_limit) == (THREADS, CONNECTIONS) == (256, 512)


def test_files__of_the_environment_are_in_volumes(workload: Workload) -> None:
    volumes = {volume["name"] for volume in workload.pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in workload.spec.get("volumeClaimTemplates", ())}
    mounted = {mount["mountPath"]: mount for one in workload.containers() for mount in one["volumeMounts"]}
    assert {mount["name"] for mount in mounted.values()} == volumes
    for value in workload.environment.values():
        if value.startswith("/"):
            assert any(value.startswith(f"{place}/") for place in mounted), value
    written = {mount["mountPath"] for mount in workload.server["volumeMounts"] if not mount.get("readOnly")}
    assert written == {"/data", "/tmp"}


def test_secrets__of_the_base_hold_no_value() -> None:
    for secret in of_kind(render(FOLDER / BASE), "Secret"):
        assert secret["data"] == dict.fromkeys(SECRETS, "")
    for name in SECRETS:
        assert (FOLDER / BASE / "secrets" / name).read_bytes() == b""


def test_secrets__of_the_example_are_not_in_the_repository() -> None:
    ignored = (FOLDER / EXAMPLE / "secrets" / ".gitignore").read_text().split()
    assert "*" in ignored


def test_secrets__are_files_in_containers(workload: Workload) -> None:
    for container in workload.containers():
        assert "envFrom" not in container
        for variable in container.get("env", ()):
            assert "valueFrom" not in variable
            if re.search("PASSWORD|SECRET|CREDENTIALS", variable["name"]):
                assert variable["name"].endswith("_FILE")


def test_image__has_the_user_and_the_port(workload: Workload) -> None:
    dockerfile = (Path(FOLDER).parent / "Dockerfile").read_text()
    pod = workload.pod["securityContext"]
    assert f"\nUSER {pod['runAsUser']}:{pod['runAsGroup']}\n" in dockerfile
    assert f"\nEXPOSE {workload.environment['FORKBUILDER_PORT']}\n" in dockerfile
    for name in ("FORKBUILDER_HOST", "FORKBUILDER_SERVERDIR"):
        assert f"{name}={workload.environment[name]}" in dockerfile


def test_image__is_one_for_all(resources: list[Resource]) -> None:
    images = {container["image"] for one in workloads(resources).values() for container in one.containers()}
    assert len(images) == 1
    assert not images.pop().endswith(":latest")


def test_budgets__let_a_node_be_drained(resources: list[Resource]) -> None:
    for budget in of_kind(resources, "PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] == 1
    assert workloads(resources)["replica"].spec["replicas"] >= 2
