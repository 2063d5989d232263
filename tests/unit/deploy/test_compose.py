"""docker-compose.yml and the Dockerfile agree with the repository; no Docker is needed to tell."""

import importlib.util
import random
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from console.store.tables import metadata
from processor.ingest.sources import load_sources
from processor.settings import Settings
from tests.unit.ingest.builders import came, record

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ("scorer-0", "scorer-1", "retrainer")
CONSOLE = "telltale-console"
# Conditions of the Compose Specification, depends_on in its long form.
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}


def dependencies(service: dict[str, Any]) -> dict[str, dict[str, Any]]:
    named = service.get("depends_on", {})
    if isinstance(named, list):
        return {name: {"condition": "service_started"} for name in named}
    return named


def mounts() -> list[tuple[str, str]]:
    return [
        (volume.split(":")[0], volume)
        for service in SERVICES.values()
        for volume in service.get("volumes", [])
    ]


def test_every_service_waits_only_for_services_that_exist():
    waits = [wait for service in SERVICES.values() for wait in dependencies(service).items()]

    assert waits
    for name, wait in waits:
        assert name in SERVICES
        assert wait["condition"] in CONDITIONS


def test_a_service_that_is_waited_for_until_healthy_says_how_to_tell():
    healthy = {
        name
        for service in SERVICES.values()
        for name, wait in dependencies(service).items()
        if wait["condition"] == "service_healthy"
    }

    assert healthy
    assert all("test" in SERVICES[name]["healthcheck"] for name in healthy)


def test_every_mounted_file_is_in_the_repository_and_every_volume_declared():
    for source, volume in mounts():
        if source.startswith("."):
            assert (ROOT / source).exists(), volume
            assert volume.endswith(":ro"), volume
        else:
            assert source in COMPOSE["volumes"], volume


def test_the_roles_wait_for_the_topics_and_have_slots_of_their_own():
    for role in ROLES:
        waits = dependencies(SERVICES[role])
        assert waits["topics"]["condition"] == "service_completed_successfully"
    slots = [
        (*SERVICES[role]["command"], SERVICES[role]["environment"]["TELLTALE_SLOT"])
        for role in ROLES
    ]
    assert slots == [("score", "0"), ("score", "1"), ("retrain", "0")]


def test_all_processes_share_one_directory_of_models_where_the_image_expects_it():
    directory = re.search(r"TELLTALE_MODEL_DIR=(\S+)", (ROOT / "Dockerfile").read_text())

    assert directory is not None
    for role in ROLES:
        assert f"models:{directory[1]}" in SERVICES[role]["volumes"]


def test_one_service_builds_the_image_that_all_of_ours_run():
    ours = {name for name, service in SERVICES.items() if service["image"] == COMPOSE["name"]}
    consoles = {name for name, service in SERVICES.items() if service["image"] == CONSOLE}

    assert ours == {*ROLES, "topics", "simulator", "telegraf", "ingest"}
    assert [name for name in ours if "build" in SERVICES[name]] == ["topics"]
    assert consoles == {"console", "console-setup", "training"}
    assert SERVICES["console-setup"]["build"]["args"] == {"EXTRAS": "console"}
    assert "build" not in SERVICES["console"]


def test_simulated_telemetry_comes_only_with_the_demo_profile():
    optional = {name for name, service in SERVICES.items() if "profiles" in service}
    assert optional == {"simulator", "telegraf", "ingest", "mlflow", "training"}
    assert SERVICES["simulator"]["profiles"] == ["demo"]
    assert SERVICES["simulator"]["command"][0] == "simulate"


def test_ports_are_published_on_the_loopback_interface_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_grafana_shows_and_lets_nobody_in():
    said = SERVICES["grafana"]["environment"]

    assert said["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    # Else there is a user with a password that everybody knows, and two ways to log in as it.
    assert said["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert said["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    assert said["GF_AUTH_BASIC_ENABLED"] == "false"


def test_no_password_stands_in_the_compose_file():
    named = [name for service in SERVICES.values() for name in service.get("environment", {})]

    # The name of a file that holds a secret is none.
    told = [name for name in named if "PASSWORD" in name or "SECRET" in name]
    assert [name for name in told if not name.endswith("_FILE")] == []


def test_prometheus_scrapes_every_role_at_its_port():
    scrape = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = {
        target
        for job in scrape["scrape_configs"]
        for static in job.get("static_configs", [])
        for target in static["targets"]
    }

    assert targets == {"scorer-0:9464", "scorer-1:9464", "retrainer:9465", "console:9466"}
    found = [each for job in scrape["scrape_configs"] for each in job.get("dns_sd_configs", [])]
    assert [(each["names"], each["port"]) for each in found] == [(["ingest"], 9467)]


def test_ingest_reads_what_the_producer_of_its_profile_writes():
    spec = importlib.util.spec_from_file_location("telegraf", ROOT / "deploy/compose/telegraf.py")
    assert spec is not None
    assert spec.loader is not None
    producer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(producer)
    file = load_sources(ROOT / "deploy/compose/sources.yaml", Settings(_env_file=None))

    value = producer.cpu("web-1", 0, random.Random(0))
    found = came([record(value, topic=producer.TOPIC)], *file.sources)

    assert file.topics == [producer.TOPIC]
    assert [key for key, _ in found.telemetry] == ["web-1"]
    assert SERVICES["ingest"]["profiles"] == SERVICES["telegraf"]["profiles"] == ["ingest"]


def test_the_console_starts_on_a_store_of_this_version_that_publishes_no_port():
    waits = dependencies(SERVICES["console"])

    assert waits["console-setup"]["condition"] == "service_completed_successfully"
    assert waits["topics"]["condition"] == "service_completed_successfully"
    assert dependencies(SERVICES["console-setup"])["db"]["condition"] == "service_healthy"
    assert "ports" not in SERVICES["db"]


def test_grafana_may_read_no_table_with_secrets():
    granted = (ROOT / "deploy/postgres/rights.sql").read_text().partition("GRANT SELECT ON")[2]
    tables = set(re.findall(r"\w+", granted.partition(" TO ")[0]))

    assert tables <= set(metadata.tables)
    assert not tables & {"users", "keys", "tickets", "idempotency", "audit_log", "labels"}


def test_images_of_others_are_pinned_to_a_version():
    own = (COMPOSE["name"], CONSOLE)
    others = [s["image"] for s in SERVICES.values() if s["image"] not in own]

    assert others
    for image in others:
        # PostgreSQL's releases have two numbers.
        assert re.search(r":v?\d+\.\d+(\.\d+)?$", image), image


def test_the_broker_of_the_compose_file_is_that_of_the_tests():
    pom = (ROOT / "tests/kafka/pom.xml").read_text()
    version = re.search(r"<kafka.version>(.*)</kafka.version>", pom)

    assert version is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{version[1]}"


@pytest.mark.parametrize("pattern", ["USER 10001:10001", 'ENTRYPOINT ["telltale"]', "HEALTHCHECK"])
def test_the_image_runs_as_a_user_with_a_health_check(pattern: str):
    final = (ROOT / "Dockerfile").read_text().split("\nFROM ")[-1]

    assert pattern in final


def test_the_image_keeps_artefacts_to_its_own_user():
    text = (ROOT / "Dockerfile").read_text()

    assert "install -d -o telltale -g telltale -m 0700 /var/lib/telltale/models" in text


def test_what_the_image_copies_exists_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [
        source
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in shlex.split(line)[1:-1]
    ]

    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in ignored
