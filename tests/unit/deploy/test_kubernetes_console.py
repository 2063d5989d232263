"""deploy/kubernetes/console is valid by the API's schemas and agrees with the program."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from console.settings import ConsoleSettings
from processor.settings import PREFIX, Settings

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/kubernetes/console"
OLDEST = "1.28"


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


KUSTOMIZATION = documents(FOLDER / "kustomization.yaml")[0]
OBJECTS = [each for name in KUSTOMIZATION["resources"] for each in documents(FOLDER / name)]
SECRETS = documents(ROOT / "deploy/kubernetes/console-secret.example.yaml")
SETTINGS = dict(line.split("=", 1) for line in (FOLDER / "settings.env").read_text().splitlines())


def checked(found: dict[str, Any]) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def pod() -> dict[str, Any]:
    (found,) = [each for each in OBJECTS if each["kind"] == "Deployment"]
    return found["spec"]["template"]["spec"]


def console() -> dict[str, Any]:
    (found,) = pod()["containers"]
    return found


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("found", [*OBJECTS, *SECRETS], ids=checked)
def test_every_object_is_valid(found: dict[str, Any], version: str):
    kubernetes_validate.validate(found, version, strict=True)


def test_settings_are_those_that_the_program_knows():
    known = {
        PREFIX + name.upper() for of in (Settings, ConsoleSettings) for name in of.model_fields
    }
    given = {entry["name"] for entry in console()["env"]}

    assert set(SETTINGS) | given <= known


def test_probes_ask_for_health_by_a_name_that_the_console_knows():
    ports = {port["name"]: port["containerPort"] for port in console()["ports"]}
    fields = ConsoleSettings.model_fields
    assert ports == {
        "api": fields["console_port"].default,
        "metrics": fields["console_metrics_port"].default,
    }
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = console()[name]["httpGet"]
        assert asked["port"] == "api"
        assert asked["path"] == f"/health/{'ready' if name == 'readinessProbe' else 'live'}"
        (header,) = asked["httpHeaders"]
        assert header["value"] in SETTINGS["TELLTALE_CONSOLE_HOSTS"].split(",")


def test_the_policy_lets_in_the_api_and_the_metrics_and_out_kafka_and_the_store():
    (policy,) = [each for each in OBJECTS if each["kind"] == "NetworkPolicy"]
    spec = policy["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in spec["ingress"]] == ["api", "metrics"]
    out = [port["port"] for rule in spec["egress"] for port in rule["ports"]]
    assert out == [53, 53, 9092, 5432]


def test_secrets_are_mounted_where_the_settings_look_and_in_no_variable_but_the_stores():
    held = {each["metadata"]["name"]: each["stringData"] for each in SECRETS}
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    files = {
        f"{mount['mountPath']}/{key}"
        for mount in console()["volumeMounts"]
        if "secret" in volumes[mount["name"]]
        for key in held[volumes[mount["name"]]["secret"]["secretName"]]
    }

    assert SETTINGS["TELLTALE_KAFKA_CONFIG"] in files
    assert SETTINGS["TELLTALE_JWT_SECRET_FILE"] in files
    (variable,) = console()["env"]
    asked = variable["valueFrom"]["secretKeyRef"]
    assert asked["key"] in held[asked["name"]]


def test_pods_keep_to_the_restricted_pod_security_standard():
    for found in OBJECTS:
        if found["kind"] not in ("Deployment", "Job"):
            continue
        of = found["spec"]["template"]["spec"]
        whole = of["securityContext"]
        assert whole["runAsNonRoot"] is True
        image = (ROOT / "Dockerfile").read_text()
        assert f"USER {whole['runAsUser']}:{whole['runAsGroup']}" in image
        assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
        assert of["automountServiceAccountToken"] is False
        for container in of["containers"]:
            bounds = container["securityContext"]
            assert bounds["allowPrivilegeEscalation"] is False
            assert bounds["readOnlyRootFilesystem"] is True
            assert bounds["capabilities"] == {"drop": ["ALL"]}


def test_the_selectors_choose_the_pods():
    (pairs,) = [each["pairs"] for each in KUSTOMIZATION["labels"]]
    (deployment,) = [each for each in OBJECTS if each["kind"] == "Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"] | pairs

    for found in OBJECTS:
        spec = found.get("spec", {})
        for selector in (spec.get("podSelector"), spec.get("selector")):
            wanted = (selector or {}).get("matchLabels", selector or {})
            assert wanted.items() <= labels.items(), checked(found)


def test_the_image_is_that_of_the_compose_file():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    text = (FOLDER / "console.yaml").read_text() + (FOLDER / "upgrade.yaml").read_text()

    assert set(re.findall(r"image: (\S+)", text)) == {services["console"]["image"]}
