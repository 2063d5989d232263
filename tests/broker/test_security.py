"""A broker with TLS, SCRAM and ACLs: the documented permissions suffice, and one less is told."""

import gzip
import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from console.governance.reading.principals import of_principals
from processor.cli.main import app
from processor.kafka.acls import Permission, permissions
from processor.metrics.metrics import Metrics
from processor.runtime import process
from processor.settings import load
from processor.stream.worker import Worker
from processor.topics import Topics
from tests.broker.consoles import start as start_console
from tests.broker.harness import PATIENCE, Telltale
from tests.kafka import security
from tests.kafka.broker import JvmBroker
from tests.kafka.security import Security

APPLICATION = "telltale"
TOPICS = Topics()
ALL = permissions(TOPICS, APPLICATION)
ROLES = {"scorer": "score", "retrainer": "retrain"}
REVOKED = [
    Permission("Read", "Topic", TOPICS.telemetry("features")),
    Permission("Write", "Topic", TOPICS.anomalies),
    Permission("Read", "Group", "telltale-scorer"),
    Permission("Write", "TransactionalId", "telltale-scorer-*"),
]
LACKING = [(role, permission) for role in ROLES for permission in ALL[role]]
TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PASSWORD, OTHER = secrets.token_hex(12), secrets.token_hex(12)


def user_of(who: str, without: Permission | None = None) -> str:
    """The user that has all permissions of a role or command, or all but one."""
    if without is None:
        return who.replace(",", "").replace(" ", "-")
    return f"{who}-without-{ALL[who].index(without)}"


@dataclass(frozen=True)
class Secured:
    """A broker on which every role and command has a user with what is documented, and no more."""

    broker: JvmBroker
    security: Security
    admin: AdminClient
    directory: Path

    def properties(self, user: str, **other: str) -> Path:
        """The client.properties of a user."""
        client = self.security.client(user, PASSWORD) | {
            name.replace("_", "."): value for name, value in other.items()
        }
        file = self.directory / f"{user}{len(other) or ''}.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in client.items()))
        return file

    def worker(self, role: str, properties: Path) -> Worker:
        """A role in this process."""
        settings = load(
            bootstrap_servers=self.broker.bootstrap,
            kafka_config=str(properties),
            application=APPLICATION,
            model_dir=str(self.directory / "models"),
            slot="0",
        )
        return process.build(settings, [role], Metrics(CollectorRegistry()))[role]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("secured")
    keys = security.make(directory / "keys")
    broker = JvmBroker(directory / "kafka", security=keys)
    broker.start()
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, **keys.client()})
    allowed = {user_of(who): needed for who, needed in ALL.items()}
    for role, lacking in LACKING:
        rest = tuple(permission for permission in ALL[role] if permission != lacking)
        allowed[user_of(role, lacking)] = rest
    for number in range(len(REVOKED)):
        allowed[f"revoked-{number}"] = ALL["scorer"]
    security.add_users(admin, dict.fromkeys(allowed, PASSWORD))
    security.allow(
        admin,
        [
            security.binding(user, permission.operation, permission.resource, permission.name)
            for user, needed in allowed.items()
            for permission in needed
        ],
    )
    yield Secured(broker, keys, admin, directory)
    broker.stop()
    shutil.rmtree(broker.data)


@pytest.fixture(scope="module")
def telltale(secured: Secured) -> Iterator[Telltale]:
    """The application; the test's own clients are the super user's."""
    logs = secured.directory / "logs"
    logs.mkdir()
    environment = {
        "TELLTALE_BOOTSTRAP_SERVERS": secured.broker.bootstrap,
        "TELLTALE_TOPIC_PREFIX": "",
        "TELLTALE_APPLICATION": APPLICATION,
        "TELLTALE_MODEL_DIR": str(secured.directory / "models"),
        "TELLTALE_HTTP_PORT": "0",
        "TELLTALE_COLD_START_SAMPLES": "40",
        "TELLTALE_RETRAIN_SAMPLES": "60",
        "TELLTALE_LOG_LEVEL": "debug",
    }
    application = Telltale(environment, logs, secured.security.client())
    properties = str(secured.properties("topics-create"))
    done = application.run(
        "topics", "create", "--partitions", "2", TELLTALE_KAFKA_CONFIG=properties
    )
    assert done.returncode == 0, done.stderr
    yield application
    application.close()


def run(secured: Secured, who: str, *arguments: str) -> str:
    """The output of a command run, in this process, as the user that it is documented for."""
    environment = {
        "TELLTALE_BOOTSTRAP_SERVERS": secured.broker.bootstrap,
        "TELLTALE_KAFKA_CONFIG": str(secured.properties(user_of(who))),
        "TELLTALE_MODEL_DIR": str(secured.directory / "models"),
    }
    done = CliRunner().invoke(app, arguments, env=environment)
    assert done.exit_code == 0, f"{arguments}: {done.output} {done.exception!r}"
    return str(done.stdout)


def file_of(records: list[tuple[str, dict[str, object]]], file: Path) -> str:
    lines = [json.dumps({"key": key, "value": value}) + "\n" for key, value in records]
    file.write_bytes(gzip.compress("".join(lines).encode()))
    return str(file)


def normal(profiles: int, count: int) -> list[tuple[str, dict[str, object]]]:
    rng = np.random.default_rng(4)
    return [
        (f"p{profile}", {"values": rng.normal(50, 5, 5).round(4).tolist()})
        for _ in range(count)
        for profile in range(profiles)
    ]


def send_traced(secured: Secured, topic: str, key: str, values: list[bytes]) -> None:
    """Records that carry a trace context."""
    client = {"bootstrap.servers": secured.broker.bootstrap, "partitioner": "murmur2_random"}
    producer = Producer(client | secured.security.client())
    for value in values:
        producer.produce(topic, value, key, headers=[("traceparent", TRACE)])
    assert producer.flush(120) == 0


def headers_of(message: Message) -> list[tuple[str, bytes]]:
    return list(message.headers() or ())


def ended(worker: Worker, seconds: float = PATIENCE) -> str:
    """Why a worker ended with 1."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(worker.run()), daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        worker.stop()
        thread.join(PATIENCE)
        pytest.fail(f"still running after {seconds} s: {worker.health.waiting}")
    assert codes == [1]
    assert worker.health.live() == f"fatal: {worker.health.fatal}"
    return str(worker.health.fatal)


def test_the_documented_permissions_suffice_for_every_role_and_command(
    telltale: Telltale, secured: Secured
) -> None:
    roles = [
        telltale.start(command, "--slot", "0", TELLTALE_KAFKA_CONFIG=str(secured.properties(role)))
        for role, command in ROLES.items()
    ]
    records = normal(profiles=3, count=160)
    file = file_of([*records, ("p0", {"values": [1e6] * 5})], secured.directory / "in.gz")

    run(secured, "produce, simulate", "produce", file, "--kind", "features")
    traced = [b'{"values": [50, 50, 50, 50, 50]}', b'{"values": "none"}']
    send_traced(secured, TOPICS.telemetry("features"), "p1", traced)
    verdicts = telltale.wait_for(len(records) + 2)
    telltale.wait_until(
        lambda: any(event["event"] == "adopted" for event in telltale.values("lifecycle")),
        "a retrained model is adopted",
    )
    carried = {
        topic: [m.value() for m in telltale.read(topic) if ("traceparent", TRACE) in headers_of(m)]
        for topic in (TOPICS.anomalies, TOPICS.accepted, TOPICS.dead_letter)
    }
    checked = run(secured, "topics check", "topics", "check")
    tailed = run(secured, "tail", "tail", "--from-beginning", "--json", "--count", "9")
    shown = run(secured, "profile show", "profile", "show", "p0")
    alarm = max(verdicts, key=lambda verdict: verdict["score"] or 0)["verdict_id"]
    accepted = run(secured, "profile accept", "profile", "accept", alarm)
    who = "profile forget, retrain, rollback, suppress, resume"
    answers = [
        run(secured, who, "profile", *command)
        for command in (["suppress", "p1", "--until", "1h"], ["forget", "p2"])
    ]
    every = run(secured, "profile retrain --all", "profile", "retrain", "--all")
    listed = run(secured, "dead-letter list", "dead-letter", "list")
    replayed = run(secured, "dead-letter replay", "dead-letter", "replay")

    assert {verdict["status"] for verdict in verdicts} == {"learning", "scored"}
    assert {topic: len(values) for topic, values in carried.items()} == dict.fromkeys(carried, 1)
    assert carried[TOPICS.dead_letter] == traced[1:]
    assert checked == "all topics are as they should be\n"
    assert len(tailed.splitlines()) == 9
    assert "active, version" in shown
    assert f"accepted {alarm}" in accepted
    assert "suppressed" in answers[0]
    assert "forgotten" in answers[1]
    assert every == "2 requested, 0 rejected, 0 unanswered\n"
    assert "invalid_record" in listed
    assert "1 sent back" in replayed
    assert [telltale.stop(role) for role in roles] == [0, 0]
    assert PASSWORD not in telltale.log()


def test_the_documented_permissions_suffice_for_the_console(
    telltale: Telltale, secured: Secured
) -> None:
    scorer = telltale.start(
        "score", "--slot", "0", TELLTALE_KAFKA_CONFIG=str(secured.properties("scorer"))
    )
    url = f"sqlite:///{secured.directory}/console.db"
    properties = str(secured.properties("console"))
    console = start_console(telltale, url, TELLTALE_KAFKA_CONFIG=properties)

    told = console.post("/api/v1/profiles/features/c/records", {"values": {"a": 1.0}})
    resumed = console.post("/api/v1/profiles/features/c/commands", {"command": "retrain"})

    assert (told.status_code, told.json()["samples_seen"]) == (200, 1)
    assert [receipt["event"] for receipt in resumed.json()["receipts"]] == ["command_rejected"]
    assert [telltale.stop(console.process), telltale.stop(scorer)] == [0, 0]
    assert PASSWORD not in telltale.log()


def test_the_console_sees_that_each_role_has_a_principal_of_its_own(secured: Secured) -> None:
    """Who may Describe the cluster is told, who may not is not; one with two roles fails."""

    def told(properties: Path) -> tuple[str, str]:
        return of_principals(
            load(
                bootstrap_servers=secured.broker.bootstrap,
                kafka_config=str(properties),
                application=APPLICATION,
            )
        )

    admin = secured.directory / "admin.properties"
    client = secured.security.client()
    admin.write_text("".join(f"{name}={value}\n" for name, value in client.items()))

    apart = told(admin)
    refused = told(secured.properties("console"))
    both = [
        security.binding("both", each.operation, each.resource, each.name)
        for each in {*ALL["scorer"], *ALL["retrainer"]}
    ]
    security.allow(secured.admin, both)
    mixed = told(admin)
    for each in both:
        security.revoke(secured.admin, each)

    assert apart[0] == "pass", apart
    assert refused[0] == "unknown"
    assert "may not Describe the cluster" in refused[1]
    assert mixed == ("fail", "User:both may act as retrainer, scorer")


def test_the_documented_permissions_suffice_for_ingest_beside_reading_its_source(
    telltale: Telltale, secured: Secured
) -> None:
    secured.admin.create_topics([NewTopic("legacy", 2, 1)])["legacy"].result()
    security.allow(secured.admin, [security.binding("ingest", "Read", "Topic", "legacy")])
    file = secured.directory / "sources.yaml"
    file.write_text(
        'sources: [{name: a, topic: legacy, kind: features, profile_id: "{h}", values: {"*": v}, '
        "rate: [n]}]"
    )
    properties = str(secured.properties("ingest"))
    ingest = telltale.start(
        "ingest", "run", str(file), "--slot", "0", TELLTALE_KAFKA_CONFIG=properties
    )
    before = len(telltale.read(TOPICS.telemetry("features")))

    send_traced(secured, "legacy", "k", [b'{"h": "x", "v": {"a": 1, "n": 1}}', b"{"])

    telltale.wait_for(before + 1, TOPICS.telemetry("features"))
    (written,) = [
        message for message in telltale.read(TOPICS.telemetry("features")) if message.key() == b"x"
    ]
    assert ("traceparent", TRACE) in headers_of(written)
    assert telltale.stop(ingest) == 0


@pytest.mark.parametrize(
    ("role", "lacking"), LACKING, ids=[f"{role}: {lacking}" for role, lacking in LACKING]
)
def test_a_role_that_lacks_one_permission_ends_and_names_it(
    telltale: Telltale, secured: Secured, role: str, lacking: Permission
) -> None:
    assert telltale
    worker = secured.worker(role, secured.properties(user_of(role, lacking)))

    reason = ended(worker)

    assert reason.startswith(f"not allowed by Kafka's ACLs: {lacking} (")


@pytest.mark.parametrize("role", ROLES)
def test_a_process_that_lacks_a_permission_exits_with_1_and_one_readable_line(
    telltale: Telltale, secured: Secured, role: str
) -> None:
    lacking = Permission("Write", "Topic", TOPICS.lifecycle)
    properties = str(secured.properties(user_of(role, lacking)))

    done = telltale.run(ROLES[role], TELLTALE_KAFKA_CONFIG=properties)

    last = json.loads(done.stderr.splitlines()[-1])
    assert done.returncode == 1
    assert last["event"] == "ended"
    assert "Write on topic lifecycle" in last["reason"]
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("number", range(len(REVOKED)), ids=[str(one) for one in REVOKED])
def test_a_scorer_ends_when_a_permission_is_taken_from_it_and_names_it(
    telltale: Telltale, secured: Secured, number: int
) -> None:
    user, lost = f"revoked-{number}", REVOKED[number]
    worker = secured.worker("scorer", secured.properties(user))

    def take_away() -> None:
        deadline = time.monotonic() + PATIENCE
        while worker.health.waiting is not None and time.monotonic() < deadline:
            stopping.wait(0.05)
        one = security.binding(user, lost.operation, lost.resource, lost.name)
        security.revoke(secured.admin, one)
        while not stopping.wait(0.2):
            telltale.produce("telemetry.features", normal(profiles=2, count=1))

    stopping = threading.Event()
    thread = threading.Thread(target=take_away, daemon=True)
    thread.start()
    try:
        reason = ended(worker)
    finally:
        stopping.set()
        thread.join(PATIENCE)

    assert reason.startswith(f"not allowed by Kafka's ACLs: {lost} (")


def test_a_scorer_that_may_not_see_moved_offsets_says_so_and_works(
    telltale: Telltale, secured: Secured
) -> None:
    group, topic = "telltale-scorer", TOPICS.telemetry("features")
    wanted = {TopicPartition(topic, number): OffsetSpec.latest() for number in range(2)}
    places = [
        TopicPartition(topic, place.partition, end.result(30).offset)
        for place, end in secured.admin.list_offsets(wanted).items()
    ]
    asked = [ConsumerGroupTopicPartitions(group, places)]
    telltale.wait_until(lambda: moved(secured.admin, asked), "the group is empty")
    before = len(telltale.values(TOPICS.anomalies))
    telltale.produce(topic, normal(profiles=8, count=2))

    properties = str(secured.properties("scorer"))
    process = telltale.start("score", "--slot", "0", TELLTALE_KAFKA_CONFIG=properties)
    telltale.wait_for(before + 16)

    unchecked = [line for line in telltale.log_lines() if line["event"] == "offsets_unchecked"]
    assert {line["reason"].split()[0] for line in unchecked} == {"anomalies", "dead-letter"}
    assert all("may not be read" in line["reason"] for line in unchecked)
    assert telltale.stop(process) == 0


def moved(admin: AdminClient, asked: list[ConsumerGroupTopicPartitions]) -> bool:
    """Commit offsets for a group from outside; False while it has members."""
    try:
        for future in admin.alter_consumer_group_offsets(asked).values():
            future.result(30)
    except KafkaException:
        return False
    return True


def test_a_command_whose_user_may_not_see_a_topic_says_so_and_not_that_it_is_missing(
    telltale: Telltale, secured: Secured
) -> None:
    properties = str(secured.properties("tail"))

    done = telltale.run("profile", "show", "p0", TELLTALE_KAFKA_CONFIG=properties)

    assert done.returncode == 1
    assert done.stderr.startswith("telltale: not allowed by Kafka's ACLs: ")
    assert "topic models" in done.stderr


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sasl_password": OTHER}, "SASL authentication error"),
        ({"ssl_ca_location": "/etc/hostname"}, "ssl.ca.location"),
        ({"ssl_ca_location": ""}, "certificate"),
    ],
    ids=["a wrong password", "a file that is no certificate", "an authority that is not known"],
)
def test_a_command_that_is_not_let_in_says_why_and_tells_no_password(
    telltale: Telltale, secured: Secured, wrong: dict[str, str], told: str
) -> None:
    properties = secured.properties("tail", **wrong)

    done = telltale.run("tail", TELLTALE_KAFKA_CONFIG=str(properties))

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert told in done.stderr
    assert "TELLTALE_KAFKA_CONFIG" in done.stderr
    assert PASSWORD not in done.stderr
    assert OTHER not in done.stderr


def test_no_secret_is_in_logs_metrics_or_health_when_the_model_directory_does_not_answer(
    telltale: Telltale, secured: Secured
) -> None:
    secrets_planted = ("AKIAPLANTED", OTHER, PASSWORD)
    process = telltale.start(
        "score",
        "--slot",
        "0",
        TELLTALE_KAFKA_CONFIG=str(secured.properties("scorer")),
        TELLTALE_MODEL_DIR=f"s3://AKIAPLANTED:{OTHER}@bucket/models",
        TELLTALE_MODEL_CACHE=str(secured.directory / "cache"),
        AWS_ACCESS_KEY_ID="AKIAPLANTED",
        AWS_SECRET_ACCESS_KEY=OTHER,
    )
    telltale.produce("telemetry.features", normal(profiles=2, count=60))

    def waiting() -> str:
        found = [line for line in telltale.log_lines() if line["event"] == "waiting"]
        return str(found[-1]["reason"]) if found else ""

    telltale.wait_until(lambda: "the model directory does not answer" in waiting(), "it waits")
    port = [line["port"] for line in telltale.log_lines() if line["event"] == "listening"][-1]
    metrics, ready = (get(port, path) for path in ("/metrics", "/health/ready"))
    code = telltale.stop(process)

    assert code == 0
    assert "***@bucket" in waiting()
    assert "***@bucket" in ready
    assert "telltale_build_info" in metrics
    said = telltale.log() + metrics + ready + str(telltale.values("lifecycle"))
    assert [secret for secret in secrets_planted if secret in said] == []


def get(port: int, path: str) -> str:
    """The body of an answer, whatever its status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse().read().decode()


def test_a_role_with_a_wrong_password_waits_and_says_why_it_is_not_ready(
    telltale: Telltale, secured: Secured
) -> None:
    assert telltale
    worker = secured.worker("scorer", secured.properties("scorer", sasl_password=OTHER))
    thread = threading.Thread(target=worker.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + PATIENCE
    while "SASL" not in (worker.health.ready() or "") and time.monotonic() < deadline:
        thread.join(0.1)
    said = worker.health.ready() or ""
    worker.stop()
    thread.join(PATIENCE)

    assert not thread.is_alive()
    assert said.startswith("no way in: ")
    assert "SASL authentication error" in said
    assert OTHER not in said
