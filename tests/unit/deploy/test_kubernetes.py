"""deploy/kubernetes is valid by the API's schemas and agrees with the program; no cluster needed.

The base is rendered here as kustomize does it; where `kubectl` is installed, it is compared with
what kustomize itself makes of it, and the example is rendered too.
"""

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from http.client import HTTPConnection
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client import CollectorRegistry

from processor.cli.main import app
from processor.ingest.sources import load_sources
from processor.runtime import process
from processor.runtime.http import serve
from processor.settings import PREFIX, Settings
from processor.stream.health import Health

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy/kubernetes"
BASE = KUBERNETES / "base"
EXAMPLE = KUBERNETES / "example"
ROLES = {"telltale-scorer": "score", "telltale-retrainer": "retrain"}
OLDEST = "1.28"
"""The first with the label of a pod's ordinal."""

Object = dict[str, Any]
needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which brings kustomize, is not installed"
)


def documents(path: Path) -> list[Object]:
    return copy.deepcopy(parsed(path))


@cache
def parsed(path: Path) -> list[Object]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def kustomization(folder: Path) -> Object:
    (found,) = documents(folder / "kustomization.yaml")
    return found


def environment(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().split())


def base() -> list[Object]:
    """The base's objects: its resources under its labels, and the generated settings.

    The settings are without the hash that kustomize puts to their name.
    """
    said = kustomization(BASE)
    assert set(said) == {"apiVersion", "kind", "resources", "labels", "configMapGenerator"}
    (generated,) = said["configMapGenerator"]
    made: list[Object] = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": generated["name"]},
            "data": environment(BASE / generated["envs"][0]),
        }
    ]
    for name in said["resources"]:
        made += documents(BASE / name)
    ((labels, templates),) = [(each["pairs"], each["includeTemplates"]) for each in said["labels"]]
    for found in made:
        found["metadata"].setdefault("labels", {}).update(labels)
        if templates and "template" in found.get("spec", {}):
            found["spec"]["template"]["metadata"].setdefault("labels", {}).update(labels)
    return made


@cache
def kustomized(folder: Path) -> list[Object]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, timeout=240, check=True
    )
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(kind: str, objects: list[Object] | None = None) -> dict[str, Object]:
    found = base() if objects is None else objects
    return {each["metadata"]["name"]: each for each in found if each["kind"] == kind}


def pods(objects: list[Object] | None = None) -> dict[str, Object]:
    """Workload → its pod's metadata and spec."""
    return {
        name: found["spec"]["template"]
        for kind in ("StatefulSet", "Job")
        for name, found in of_kind(kind, objects).items()
    }


def main_container(pod: Object) -> Object:
    (found,) = pod["spec"]["containers"]
    return found


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def matches(selector: Object, labels: dict[str, str]) -> bool:
    expressions = selector.get("matchExpressions", [])
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def checked(found: Object) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def validate(found: Object, version: str) -> None:
    """By the API's own schema; PodMonitor, which is not the API's, by hand."""
    if found["kind"] == "PodMonitor":
        monitor(found)
    else:
        kubernetes_validate.validate(found, version, strict=True)


def monitor(found: Object) -> None:
    """The part of prometheus-operator's PodMonitor (monitoring.coreos.com/v1) that is used here.

    No package of its makers brings the schema.
    """
    assert found["apiVersion"] == "monitoring.coreos.com/v1"
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(found["spec"]) == {"selector", "podMetricsEndpoints"}
    assert set(found["spec"]["selector"]) <= {"matchLabels", "matchExpressions"}
    for endpoint in found["spec"]["podMetricsEndpoints"]:
        assert set(endpoint) <= {"port", "path", "interval", "scrapeTimeout"}
        assert all(isinstance(value, str) for value in endpoint.values())
        seconds = [int(endpoint[name].removesuffix("s")) for name in ("scrapeTimeout", "interval")]
        assert 0 < seconds[0] <= seconds[1]


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("found", base(), ids=checked)
def test_every_object_of_the_base_is_valid(found: Object, version: str):
    validate(found, version)


def test_the_schemas_refuse_a_field_that_the_api_does_not_know():
    scorer = of_kind("StatefulSet")["telltale-scorer"]
    scorer["spec"]["template"]["spec"]["terminationGraceSeconds"] = 30
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(scorer, OLDEST)


def test_the_base_holds_all_that_it_takes_to_run_and_to_watch_both_roles():
    kinds = {found["kind"] for found in base()}

    assert kinds == {
        "ConfigMap", "Job", "NetworkPolicy", "PersistentVolumeClaim", "PodDisruptionBudget",
        "PodMonitor", "Service", "ServiceAccount", "StatefulSet",
    }  # fmt: skip
    assert set(of_kind("StatefulSet")) == set(of_kind("PodDisruptionBudget")) == set(ROLES)


@needs_kubectl
def test_kustomize_makes_the_same_of_the_base():
    made = kustomized(BASE)
    text = re.sub(r"(telltale-settings)-[a-z0-9]{10}\b", r"\1", json.dumps(made))

    assert {checked(f): f for f in json.loads(text)} == {checked(f): f for f in base()}


@needs_kubectl
@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_the_example_is_valid_and_keeps_to_its_own_namespace(version: str):
    made = kustomized(EXAMPLE)
    for found in made:
        validate(found, version)
        assert found["kind"] == "Namespace" or found["metadata"]["namespace"] == "telltale"


@needs_kubectl
def test_the_example_needs_no_volume_and_reaches_its_store():
    made = kustomized(EXAMPLE)
    (settings,) = of_kind("ConfigMap", made).values()
    (policy,) = of_kind("NetworkPolicy", made).values()

    assert settings["data"]["TELLTALE_MODEL_DIR"].startswith("s3://")
    assert "PersistentVolumeClaim" not in {found["kind"] for found in made}
    for pod in pods(made).values():
        assert "telltale-models" not in json.dumps(pod)
        assert "/var/lib/telltale/models" not in json.dumps(pod)
        cache = Path(settings["data"]["TELLTALE_MODEL_CACHE"])
        mounts = {
            mount["mountPath"]: mount["name"] for mount in main_container(pod)["volumeMounts"]
        }
        assert mounts[str(cache.parent)] == "scratch"
    ports = [p["port"] for rule in policy["spec"]["egress"] for p in rule["ports"]]
    assert 443 in ports
    images = {c["image"] for pod in pods(made).values() for c in containers(pod)}
    (digest,) = {image.removeprefix("registry.example/telltale@") for image in images}
    assert digest == kustomization(EXAMPLE)["images"][0]["digest"]


def test_the_example_names_its_image_by_a_digest_that_has_to_be_replaced():
    (image,) = kustomization(EXAMPLE)["images"]

    assert "newTag" not in image
    # Well formed, so that it is rendered; of no image, so that nothing runs that nobody chose.
    assert image["digest"] == "sha256:" + "0" * 64


def test_everything_that_the_example_names_is_there():
    said = kustomization(EXAMPLE)
    for name in said["resources"] + [patch["path"] for patch in said["patches"]]:
        assert (EXAMPLE / name).exists()
    known = {checked(found) for found in base()}
    named = {
        checked(found)
        for patch in said["patches"]
        if "target" not in patch
        for found in documents(EXAMPLE / patch["path"])
    }
    assert named <= known
    assert {f"StatefulSet {each['name']}" for each in said["replicas"]} <= known


def test_settings_are_the_programs_and_have_values_that_it_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    variables = {PREFIX + name.upper() for name in Settings.model_fields}
    for name in variables:
        monkeypatch.delenv(name, raising=False)
    literals = kustomization(EXAMPLE)["configMapGenerator"][0]["literals"]
    mine = environment(BASE / "settings.env")
    theirs = mine | dict(each.split("=", 1) for each in literals)
    slots = {
        each["name"]
        for pod in pods().values()
        for each in main_container(pod).get("env", [])
        if each["name"].startswith(PREFIX)
    }

    assert set(theirs) | slots <= variables
    for number, given in enumerate((mine, theirs)):
        file = tmp_path / f"{number}.env"
        file.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
        assert ip_address(Settings(_env_file=file).http_host).is_unspecified


def test_the_slot_is_the_ordinal_of_the_pod():
    for role in ROLES:
        variables = {each["name"]: each for each in main_container(pods()[role])["env"]}
        source = variables["TELLTALE_SLOT"]["valueFrom"]["fieldRef"]["fieldPath"]
        assert source == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_ports_are_those_that_the_roles_listen_on_by_default():
    defaults = {f"telltale-{role}": port for role, port in process.PORTS.items()}
    for role in ROLES:
        (port,) = main_container(pods()[role])["ports"]
        (service,) = of_kind("Service")[role]["spec"]["ports"]
        assert (port["name"], port["containerPort"]) == ("http", defaults[role])
        assert (service["targetPort"], service["port"]) == ("http", defaults[role])
    assert "TELLTALE_HTTP_PORT" not in environment(BASE / "settings.env")


@pytest.fixture
def served() -> Iterator[HTTPConnection]:
    """A way to a healthy role's server, as processes have it."""
    server = serve("127.0.0.1", 0, CollectorRegistry(), {"scorer": Health(waiting=None)})
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    yield connection
    connection.close()
    server.shutdown()


def test_probes_and_prometheus_ask_for_what_the_program_answers(served: HTTPConnection):
    paths = [endpoint["path"] for endpoint in endpoints()]
    for role in ROLES:
        container = main_container(pods()[role])
        probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
        assert {probe["httpGet"]["port"] for probe in probes} == {"http"}
        found = [probe["httpGet"]["path"] for probe in probes]
        assert found == ["/health/live", "/health/live", "/health/ready"]
        paths += found

    for path in paths:
        served.request("GET", path)
        answer = served.getresponse()
        answer.read()
        assert answer.status == 200


def endpoints() -> list[Object]:
    return of_kind("PodMonitor")["telltale"]["spec"]["podMetricsEndpoints"]


def test_a_pod_is_not_killed_before_a_role_that_hangs_gives_up():
    for role in ROLES:
        spec = pods()[role]["spec"]
        assert spec["terminationGracePeriodSeconds"] >= process.SHUTDOWN_SECONDS + 10
        # The kubelet gives up only after the role itself calls its loop dead.
        probe = main_container(pods()[role])["startupProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 300


def test_commands_are_the_programs():
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    for role, command in ROLES.items():
        assert main_container(pods()[role])["args"] == [command]
        assert command in names
    assert main_container(pods()["telltale-topics"])["args"] == ["topics", "create"]
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    assert "create" in {command.name for command in groups["topics"].registered_commands}


def test_the_image_is_that_of_the_compose_file():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {container["image"] for pod in pods().values() for container in containers(pod)}

    assert (
        images == {services["scorer-0"]["image"]} == {kustomization(EXAMPLE)["images"][0]["name"]}
    )


def test_paths_of_the_image_are_where_the_pod_mounts_them():
    image = (ROOT / "Dockerfile").read_text()
    kernels = re.search(r"NUMBA_CACHE_DIR=(\S+)", image)
    models = re.search(r"TELLTALE_MODEL_DIR=(\S+)", image)
    assert kernels is not None
    assert models is not None
    assert environment(BASE / "settings.env")["TELLTALE_MODEL_DIR"] == models[1]
    for pod in pods().values():
        copied = pod["spec"]["initContainers"][0]["command"]
        assert copied == ["cp", "-R", f"{kernels[1]}/.", "/kernels/"]
        mounts = {mount["mountPath"]: mount for mount in main_container(pod)["volumeMounts"]}
        assert mounts[kernels[1]]["name"] == "kernels"
    for role in ROLES:
        mounts = {
            mount["mountPath"]: mount for mount in main_container(pods()[role])["volumeMounts"]
        }
        assert mounts[models[1]]["name"] == "models"


def test_every_mount_has_its_volume_and_the_clients_file_is_where_the_settings_look():
    config = Path(environment(BASE / "settings.env")["TELLTALE_KAFKA_CONFIG"])
    examples = secrets()
    used = []
    for pod in pods().values():
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
        mounts = {
            mount["mountPath"]: mount["name"] for mount in main_container(pod)["volumeMounts"]
        }
        secret = volumes[mounts[str(config.parent)]]["secret"]
        assert config.name in examples[secret["secretName"]]["stringData"]
        used.append(secret["secretName"])
    assert sorted(used) == sorted(examples)


def secrets() -> dict[str, Object]:
    found = documents(KUBERNETES / "client-secret.example.yaml")
    for each in found:
        validate(each, OLDEST)
    return of_kind("Secret", found)


def test_each_workload_has_a_user_of_its_own_at_kafka_and_the_secret_of_no_other():
    users = {}
    for name, found in secrets().items():
        lines = found["stringData"]["client.properties"].splitlines()
        users[name] = dict(line.split("=", 1) for line in lines)["sasl.username"]
    mounted = {
        name: [v["secret"]["secretName"] for v in pod["spec"]["volumes"] if "secret" in v]
        for name, pod in pods().items()
    }

    # Their ACLs are the lines of docs/security.md of these names.
    assert users == {f"{name}-kafka": name for name in mounted}
    assert mounted == {name: [f"{name}-kafka"] for name in pods()}


def test_pods_are_told_nothing_of_the_services_around_them():
    assert {name: pod["spec"]["enableServiceLinks"] for name, pod in pods().items()} == (
        dict.fromkeys(pods(), False)
    )


def test_the_example_of_a_secret_is_not_part_of_what_is_applied():
    assert "Secret" not in {found["kind"] for found in base()}


def test_pods_keep_to_the_restricted_pod_security_standard():
    for pod in pods().values():
        whole = pod["spec"]["securityContext"]
        assert whole["runAsNonRoot"] is True
        assert (
            f"USER {whole['runAsUser']}:{whole['runAsGroup']}" in (ROOT / "Dockerfile").read_text()
        )
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
        kinds = {kind for volume in pod["spec"]["volumes"] for kind in volume} - {"name"}
        assert kinds <= {"emptyDir", "secret", "persistentVolumeClaim"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"requests", "limits"} == set(container["resources"])


def test_memory_holds_the_budget_of_models_and_the_rest_of_a_process():
    units = {"Mi": 2**20, "Gi": 2**30}
    budget = Settings(_env_file=BASE / "settings.env").model_memory
    for role in ROLES:
        limit = main_container(pods()[role])["resources"]["limits"]["memory"]
        assert int(limit[:-2]) * units[limit[-2:]] >= budget + 600 * 2**20


def test_selectors_find_the_pods_of_their_role_and_no_others():
    labels = {name: pod["metadata"]["labels"] for name, pod in pods().items()}
    for role in ROLES:
        by_role = [
            of_kind("StatefulSet")[role]["spec"]["selector"],
            of_kind("PodDisruptionBudget")[role]["spec"]["selector"],
            {"matchLabels": of_kind("Service")[role]["spec"]["selector"]},
            pods()[role]["spec"]["topologySpreadConstraints"][0]["labelSelector"],
        ]
        for selector in by_role:
            assert [name for name in labels if matches(selector, labels[name])] == [role]
        assert of_kind("StatefulSet")[role]["spec"]["serviceName"] in of_kind("Service")
    scraped = of_kind("PodMonitor")["telltale"]["spec"]["selector"]
    assert {name for name in labels if matches(scraped, labels[name])} == set(ROLES)
    policy = of_kind("NetworkPolicy")["telltale"]["spec"]["podSelector"]
    assert all(matches(policy, found) for found in labels.values())


def test_the_job_that_prometheus_gives_is_one_that_the_rules_know():
    rules = (ROOT / "deploy/prometheus/rules/alerts.yml").read_text()
    (pattern,) = set(re.findall(r'job=~"([^"]+)"', rules))

    assert re.fullmatch(
        pattern, f"monitored/{of_kind('PodMonitor')['telltale']['metadata']['name']}"
    )


def test_every_settings_reference_is_to_the_generated_map():
    (name,) = of_kind("ConfigMap")
    for pod in pods().values():
        assert main_container(pod)["envFrom"] == [{"configMapRef": {"name": name}}]


def test_scorers_are_not_more_than_the_partitions():
    partitions = int(environment(BASE / "settings.env")["TELLTALE_PARTITIONS"])
    most = max(each["count"] for each in kustomization(EXAMPLE)["replicas"])
    for role in ROLES:
        found = of_kind("StatefulSet")[role]["spec"]
        assert found["replicas"] <= most <= partitions
        assert found["podManagementPolicy"] == "Parallel"
        assert found["updateStrategy"] == {"type": "RollingUpdate"}


INGEST = KUBERNETES / "ingest"


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("found", documents(INGEST / "ingest.yaml"), ids=checked)
def test_every_object_of_ingest_is_valid(found: Object, version: str):
    validate(found, version)


def test_ingest_is_a_component_that_runs_the_files_that_it_brings():
    said = kustomization(INGEST)
    objects = documents(INGEST / "ingest.yaml")
    pod = of_kind("StatefulSet", objects)["telltale-ingest"]["spec"]["template"]
    container = main_container(pod)
    (mount,) = (m for m in container["volumeMounts"] if m["name"] == "sources")
    (generated,) = said["configMapGenerator"]

    assert said["kind"] == "Component"
    assert said["resources"] == ["ingest.yaml"]
    assert container["args"] == ["ingest", "run", f"{mount['mountPath']}/sources.yaml"]
    assert [port["containerPort"] for port in container["ports"]] == [process.PORTS["ingest"]]
    assert generated == {"name": "telltale-sources", "files": ["sources.yaml"]}
    assert load_sources(INGEST / "sources.yaml", Settings(_env_file=None)).sources


def test_ingest_keeps_to_the_restricted_standard_and_has_a_user_of_its_own():
    objects = documents(INGEST / "ingest.yaml")
    scorer = of_kind("StatefulSet")["telltale-scorer"]["spec"]["template"]["spec"]
    spec = of_kind("StatefulSet", objects)["telltale-ingest"]["spec"]["template"]["spec"]
    secrets = [v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v]

    assert spec["securityContext"] == scorer["securityContext"]
    assert [c["securityContext"] for c in spec["containers"]] == [
        c["securityContext"] for c in scorer["containers"]
    ]
    assert secrets == ["telltale-ingest-kafka"]
    assert set(of_kind("PodDisruptionBudget", objects)) == {"telltale-ingest"}
