"""What Telltale shows of topics whose producers chose the text, and what the shell sees of it."""

import io
import json
import os
import signal
import subprocess
import time
import urllib.request
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from rich.console import Console

from tests.broker.harness import COMMAND, Telltale
from tests.kafka.broker import HOST, free_ports
from tests.unit.operations.hostile import EVERY, MARKUP, raw

BAD = f"{EVERY}{MARKUP}"
ODD_ID = "süd\u202e\u200b\u2028[red]"
"""A valid id: it holds no control character of category Cc."""


@pytest.fixture
def shell(environment: dict[str, str]) -> Any:
    """Runs a command and gives what it wrote, byte by byte."""

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [COMMAND, *arguments],
            env=os.environ | environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    return run


def verdict(text: str, **more: Any) -> dict[str, Any]:
    reason = {"feature": text, "value": 9.0, "typical": [0.0, 1.0], "contribution": 1.0}
    return {
        "verdict_id": text,
        "profile_id": ODD_ID,
        "kind": "features",
        "status": "scored",
        "anomaly": True,
        "severity": text,
        "score": 0.9,
        "suppressed": False,
        "reasons": [reason],
        "scored_at": 1_800_000_000_000,
    } | more


def announcement() -> dict[str, Any]:
    return {
        "profile_id": ODD_ID,
        "kind": "features",
        "generation": 1,
        "version": 1,
        "detector": BAD,
        "artifact": BAD,
        "sha256": "0" * 64,
        "features": [BAD],
        "trained_on": 9,
        "learned": 9,
        "alert_budget": 0.01,
        "trigger": BAD,
        "trained_at": 1_800_000_000_000,
        "provenance": {"policy": BAD, "detector": BAD, "parameters": {BAD: BAD}},
        "figures": {BAD: BAD},
    }


@pytest.fixture
def hostile(telltale: Telltale, bootstrap: str, prefix: str) -> None:
    """Topics in which everything that a producer may choose is chosen to harm."""
    telltale.create_topics(1)
    producer = Producer({"bootstrap.servers": bootstrap})
    refused: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            refused.append(error.str())

    def put(topic: str, key: str, value: Any, headers: Any = (), **more: Any) -> None:
        # Written without escapes, as orjson does it: in JSON only Cc must be escaped.
        held = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        producer.produce(
            f"{prefix}{topic}", held, key, headers=list(headers), on_delivery=delivered, **more
        )

    wrong = [b"", b"\x1b[2J", b"[]", json.dumps({"kind": EVERY}).encode()]
    for value in [verdict(BAD), *wrong, verdict(BAD, samples_seen=EVERY, status="learning")]:
        put("anomalies", ODD_ID, value)
    put("models", f"features:{ODD_ID}", announcement())
    put("profiles", f"features:{ODD_ID}", {"until": 2**48, "reason": BAD})
    told = [("telltale.reason", BAD), ("telltale.detail", BAD), ("telltale.topic", BAD)]
    huge = [(f"telltale.{name}", "9" * 5000) for name in ("partition", "offset", "replayed")]
    inputs = [("telltale.topic", f"{prefix}telemetry.features")]
    for headers in (told, told + huge, inputs + huge, [*inputs, ("telltale.partition", "77")], []):
        put("dead-letter", BAD, b"\x1b[2J", headers)
    put("dead-letter", BAD, BAD.encode(), [*inputs, ("telltale.partition", "0")], timestamp=1)
    assert producer.flush(30) == 0
    assert refused == []


def clean(done: subprocess.CompletedProcess[bytes]) -> str:
    """The output of a command that succeeded and wrote nothing that a terminal obeys."""
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert raw(done.stderr.decode()) == []
    text = done.stdout.decode()
    assert raw(text) == []
    return text


@pytest.mark.usefixtures("hostile")
def test_text_of_a_topic_is_shown_and_not_executed(shell: Any, prefix: str) -> None:
    tailed = clean(shell("tail", "--from-beginning", "--count", "6"))
    as_json = shell("tail", "--from-beginning", "--count", "6", "--json")
    shown = clean(shell("profile", "show", ODD_ID))
    shown_json = json.loads(clean(shell("profile", "show", ODD_ID, "--json")))
    listed = clean(shell("dead-letter", "list"))
    listed_json = json.loads(clean(shell("dead-letter", "list", "--json")))
    planned = clean(shell("dead-letter", "replay", "--dry-run"))
    sent = clean(shell("dead-letter", "replay"))

    for text in (tailed, shown, listed):
        assert "\\x1b[2J\\x1b]52;c;" in text
        assert "\\u202e" in text
        assert "[red]name[/red][/] :smile:" in text
    assert tailed.count("\n") == 6
    assert tailed.count("not a verdict") == 5
    verdicts = [json.loads(line) for line in clean(as_json).splitlines()]
    assert verdicts[0] == verdict(BAD)
    assert as_json.stderr.decode().count(": not a verdict\n") == 3
    (standing,) = shown_json
    assert standing["profile_id"] == ODD_ID
    assert standing["model"]["features"] == [BAD]
    assert standing["suppressed_reason"] == BAD
    assert listed_json[BAD]["count"] == 2
    assert listed_json[BAD]["sample"]["from"] == f"{BAD}-?-?"
    assert sum(group["waiting"] for group in listed_json.values()) == 6
    where = f"{prefix}telemetry.features"
    assert f"1 would be sent back to {where} (unknown)" in planned
    assert f"1 sent back to {where} (unknown)\n" in sent
    assert f"2 stay: not from a partition that {where} has" in sent


def test_rich_would_have_obeyed_the_same_text() -> None:
    # What the test above holds against is real: this is what a string comes to without care.
    file = io.StringIO()
    Console(file=file).print(MARKUP.partition("[/]")[0])

    assert "[red]" not in file.getvalue()


@pytest.mark.usefixtures("hostile")
def test_tail_ends_as_soon_as_its_reader_has_enough(environment: dict[str, str]) -> None:
    # No further verdict comes: it is the closed pipe that ends it.
    with subprocess.Popen(
        [COMMAND, "tail", "--from-beginning"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        try:
            assert tail.stdout.readline()
            tail.stdout.close()
            assert tail.wait(20) == 0
        finally:
            tail.kill()
        assert tail.stderr.read() == b""


def test_ctrl_c_before_tail_has_begun_is_no_failure(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [COMMAND, "tail"],
        env=os.environ | environment | {"TELLTALE_BOOTSTRAP_SERVERS": "127.0.0.1:1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as tail:
        try:
            # It waits for a broker that is away, for 10 s.
            while b"librdkafka" not in maps(tail.pid):
                assert tail.poll() is None
            tail.send_signal(signal.SIGINT)
            _, errors = tail.communicate(timeout=30)
        finally:
            tail.kill()
    assert tail.returncode == 0
    assert b"Traceback" not in errors


def maps(pid: int) -> bytes:
    """Files that a process has mapped."""
    with open(f"/proc/{pid}/maps", "rb") as file:
        return file.read()


def test_commands_that_nobody_reads_end_with_their_own_code(environment: dict[str, str]) -> None:
    variables = os.environ | environment
    script = '"$0" topics create --partitions 2 | true; echo "${PIPESTATUS[0]}"; '
    script += '"$0" topics check | true; echo "${PIPESTATUS[0]}"; '
    script += '"$0" dead-letter list --json | head -c 1 >/dev/null; echo "${PIPESTATUS[0]}"; '
    script += '"$0" topics create --partitions 3 2>&1 | true; echo "${PIPESTATUS[0]}"'

    done = subprocess.run(
        ["bash", "-c", script, COMMAND],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout.split() == ["0", "0", "0", "1"]
    assert done.stderr == ""


def test_topics_of_another_partition_count_are_named_and_nothing_is_created(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    (future,) = admin.create_topics([NewTopic(f"{prefix}anomalies", 3, 1)]).values()
    future.result()

    refused = telltale.run("topics", "create", "--partitions", "2")
    left = [name for name in admin.list_topics(timeout=30).topics if name.startswith(prefix)]
    made = telltale.run("topics", "create", "--partitions", "3")
    again = telltale.run("topics", "create", "--partitions", "3")
    (future,) = admin.delete_topics([f"{prefix}models"]).values()
    future.result()
    telltale.wait_until(
        lambda: f"{prefix}models" not in admin.list_topics(timeout=30).topics, "deleted"
    )
    (future,) = admin.create_topics([NewTopic(f"{prefix}models", 1, 1)]).values()
    future.result()
    apart = telltale.run("topics", "create", "--partitions", "3")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{prefix}anomalies: exists with 3 partitions, expected 2; " in refused.stderr
    assert "--partitions 3 (TELLTALE_PARTITIONS=3)" in refused.stderr
    assert left == [f"{prefix}anomalies"]
    assert made.returncode == 0
    assert made.stdout.count("created ") == len(set(made.stdout.splitlines()))
    assert (again.returncode, again.stdout) == (0, "all topics exist\n")
    assert (apart.returncode, apart.stdout) == (1, "")
    assert apart.stderr.splitlines()[0].startswith(
        f"{prefix}models: exists with 1 partition, expected 3; all topics must have the same number"
    )
    assert len(apart.stderr.splitlines()) == 2


def test_a_record_of_1970_is_late_and_leaves_the_latencies_alone(
    telltale: Telltale, bootstrap: str, prefix: str
) -> None:
    (port,) = free_ports(1)
    telltale.create_topics(1)
    producer = Producer({"bootstrap.servers": bootstrap})
    now = time.time_ns() // 1_000_000
    for stamp in (1000, now - 61_000, now, now + 600_000):
        producer.produce(f"{prefix}telemetry.features", b'{"values": [1]}', b"p", timestamp=stamp)
    assert producer.flush(30) == 0

    scorer = telltale.start(
        "score", "--slot", "0", TELLTALE_HTTP_PORT=str(port), TELLTALE_LATE_MINUTES="1"
    )
    telltale.wait_for(4)
    telltale.wait_until(
        lambda: sample(port, "telltale_late_records_total") == 2, "two late records", 20
    )

    assert sample(port, "telltale_end_to_end_seconds_count") == 2
    assert sample(port, "telltale_end_to_end_seconds_sum") < 60
    assert telltale.stop(scorer) == 0


def sample(port: int, name: str) -> float:
    """A sample of the scorer's metrics."""
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    (line,) = [one for one in text.splitlines() if one.startswith(f'{name}{{role="scorer"')]
    return float(line.rpartition(" ")[2])


def test_a_feature_with_a_control_character_in_its_name_is_a_dead_letter(
    telltale: Telltale,
) -> None:
    telltale.create_topics(1)
    few = {"TELLTALE_COLD_START_SAMPLES": "5"}
    scorer = telltale.start("score", "--slot", "0", **few)
    good, bad = {"values": {"a": 1, "b": 2}}, {"values": {"a": 1, "b\u001b[2J": 2}}
    # While it learns, and when it is read by its layout.
    telltale.produce("telemetry.features", [("p", good)] * 3 + [("p", bad)] + [("p", good)] * 20)
    telltale.wait_for(23)
    telltale.produce("telemetry.features", [("p", good), ("p", bad), ("p", good)])
    telltale.wait_for(25)
    telltale.wait_until(lambda: len(telltale.read("dead-letter")) == 2, "two dead letters")

    for message in telltale.read("dead-letter"):
        headers = dict(message.headers() or [])
        assert headers["telltale.reason"] == b"invalid_record"
        assert b"$.values should have names" in headers["telltale.detail"]
        assert raw(headers["telltale.detail"].decode()) == []
    assert telltale.stop(scorer) == 0
