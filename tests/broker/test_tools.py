"""The operators' commands on a real broker, as they are typed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from processor.topics import Topics
from schemas import AcceptedSample, Verdict
from tests.broker.harness import COMMAND, PATIENCE, Telltale, environment_of

LEARN = {"TELLTALE_COLD_START_SAMPLES": "30", "TELLTALE_RETRAIN_SAMPLES": "100000"}


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def succeed(telltale: Telltale, *arguments: str) -> str:
    """The standard output of a command that is to succeed."""
    done = telltale.run(*arguments, **LEARN)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@dataclass(frozen=True)
class Running:
    """Both roles at work, simulated profiles that have learnt, and the truth about them."""

    telltale: Telltale
    environment: dict[str, str]
    truth: list[dict[str, Any]]


@pytest.fixture(scope="module")
def running(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("tools")
    environment = environment_of(bootstrap, directory)
    application = Telltale(environment, directory)
    application.create_topics(3)
    application.start("run", "--slot", "0", **LEARN)
    truth = directory / "truth.jsonl"
    succeed(
        application, "simulate", "--profiles", "4", "--records", "60", "--rate", "100000",
        "--anomaly-rate", "0.2", "--seed", "4", "--truth", str(truth),
    )  # fmt: skip
    application.wait_for(240)
    yield Running(application, environment, lines(truth.read_text()))
    application.close()


def test_simulated_anomalies_are_found_by_the_ids_that_the_truth_has(
    running: Running,
) -> None:
    verdicts = {
        v["verdict_id"]: Verdict.model_validate(v) for v in running.telltale.values("anomalies")
    }

    gross = [verdicts[t["verdict_id"]] for t in running.truth if t["grade"] == "gross"]

    assert set(verdicts) >= {t["verdict_id"] for t in running.truth}
    assert len(gross) >= 10
    assert all(verdict.status == "scored" for verdict in gross)
    assert sum(verdict.anomaly for verdict in gross) >= 0.9 * len(gross)


def test_tail_shows_what_is_asked_for_and_ends_after_as_many(
    running: Running,
) -> None:
    found = lines(
        succeed(
            running.telltale, "tail", "--json", "--from-beginning", "--anomalies",
            "--profile", "machine-000", "--count", "2",
        )
    )  # fmt: skip
    text = succeed(running.telltale, "tail", "--from-beginning", "--anomalies", "--count", "1")

    assert [(v["profile_id"], v["anomaly"]) for v in found] == [("machine-000", True)] * 2
    assert "score" in text
    assert "outside [" in text


def test_tail_ends_with_0_on_ctrl_c_and_when_nobody_reads_on(
    running: Running,
) -> None:
    command = [COMMAND, "tail", "--from-beginning", "--json"]
    with subprocess.Popen(
        command,
        env=os.environ | running.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as interrupted:
        assert interrupted.stdout is not None
        assert interrupted.stdout.readline()
        interrupted.send_signal(signal.SIGINT)
        try:
            _, told = interrupted.communicate(timeout=PATIENCE)
        finally:
            interrupted.kill()
    with subprocess.Popen(
        command,
        env=os.environ | running.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as unread:
        assert unread.stdout is not None
        assert unread.stdout.readline()
        unread.stdout.close()
        running.telltale.produce("telemetry.features", [("extra", {"values": {"x": 1}})] * 20)
        assert unread.stderr is not None
        complaint = unread.stderr.read()
        unread.wait(PATIENCE)

    assert (interrupted.returncode, told) == (0, b"")
    assert (unread.returncode, complaint) == (0, b"")


def test_profile_show_says_where_a_profile_stands(
    running: Running,
) -> None:
    running.telltale.produce("telemetry.features", [("young", {"values": {"x": 1, "y": 2}})] * 7)
    running.telltale.wait_until(
        lambda: [v["profile_id"] for v in running.telltale.values("anomalies")].count("young") == 7,
        "seven verdicts on a young profile",
    )

    (young,) = json.loads(succeed(running.telltale, "profile", "show", "young", "--json"))
    (grown,) = json.loads(succeed(running.telltale, "profile", "show", "machine-000", "--json"))
    text = succeed(running.telltale, "profile", "show", "machine-000", "--kind", "features")
    unknown = running.telltale.run("profile", "show", "nobody")

    assert (young["state"], young["samples_seen"], young["samples_needed"]) == ("learning", 7, 30)
    assert [v["samples_seen"] for v in young["verdicts"]] == [7, 6, 5, 4, 3]
    assert (grown["state"], grown["model"]["version"]) == ("active", 1)
    places = {t["partition"] for t in running.truth if t["profile_id"] == "machine-000"}
    assert {grown["partition"]} == places
    assert "active, version 1" in text
    assert "budget 1.00%" in text
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no profile 'nobody'" in unknown.stderr


def test_commands_are_confirmed_by_their_receipts(
    running: Running,
) -> None:
    suppressed = succeed(
        running.telltale, "profile", "suppress", "driver-000", "--until", "2h",
        "--reason", "belt change",
    )  # fmt: skip
    (shown,) = json.loads(succeed(running.telltale, "profile", "show", "driver-000", "--json"))
    resumed = succeed(running.telltale, "profile", "resume", "driver-000", "--kind", "drowsiness")
    rejected = running.telltale.run("profile", "rollback", "driver-000", "--version", "7")
    forgotten = succeed(running.telltale, "profile", "forget", "driver-000")
    gone = running.telltale.run("profile", "show", "driver-000")

    assert "suppressed" in suppressed
    assert shown["suppressed_reason"] == "belt change"
    assert "resumed" in resumed
    assert rejected.returncode == 1
    assert "version 7 is not kept" in rejected.stderr
    assert "forgotten" in forgotten
    assert gone.returncode == 1


def test_a_command_that_nobody_answers_stays_queued(telltale: Telltale) -> None:
    telltale.create_topics(3)

    done = telltale.run("profile", "forget", "machine-000", "--timeout", "1")

    assert done.returncode == 1
    assert done.stderr == "sent, not yet confirmed; it stays queued\n"
    commands = telltale.read("commands")
    assert sorted(message.partition() or 0 for message in commands) == [0, 1, 2]
    assert len({json.loads(m.value() or b"")["command_id"] for m in commands}) == 1


def test_an_accepted_false_alarm_is_an_analysts_sample_on_its_partition(
    running: Running,
) -> None:
    wrong = next(t for t in running.truth if t["grade"] == "gross" and t["kind"] == "features")

    said = succeed(running.telltale, "profile", "accept", wrong["verdict_id"])

    (message,) = [
        m
        for m in running.telltale.read("accepted-normal")
        if json.loads(m.value() or b"").get("verdict_id") == wrong["verdict_id"]
    ]
    sample = AcceptedSample.model_validate_json(message.value() or b"")
    assert wrong["verdict_id"] in said
    assert (message.partition(), message.key()) == (wrong["partition"], b"machine-000")
    assert (sample.source, sample.model_version) == ("analyst", 1)
    assert len(sample.vectors) == 1
    assert len(sample.features) == 17
    assert [p is not None and p < 0.05 for p in sample.p_values] == [True]


@pytest.mark.parametrize(
    ("verdict_id", "why"),
    [
        ("nonsense", "expected <topic>-<partition>-<offset>"),
        ("{prefix}telemetry.features-0-999999", "it may have aged out"),
        ("{prefix}telemetry.features-9-0", "no such partition"),
    ],
)
def test_what_cannot_be_accepted_says_why(running: Running, verdict_id: str, why: str) -> None:
    prefix = running.environment["TELLTALE_TOPIC_PREFIX"]

    done = running.telltale.run("profile", "accept", verdict_id.format(prefix=prefix))

    assert done.returncode == 1
    assert why in done.stderr


def test_produce_reports_lines_by_number_and_sends_the_others(
    telltale: Telltale, tmp_path: Path
) -> None:
    telltale.create_topics(3)
    file = tmp_path / "telemetry.jsonl"
    file.write_bytes(
        b'{"key":"a","value":{"values":[1, 2.50]}}\nnope\n\n{"profile_id":"b","values":[1]}\n'
    )

    done = telltale.run("produce", str(file), "--kind", "features")

    assert done.returncode == 1
    assert f"{file} line 2: skipped: not a JSON object" in done.stderr
    sent = {m.key(): m.value() for m in telltale.read("telemetry.features")}
    assert sent == {b"a": b'{"values":[1, 2.50]}', b"b": b'{"profile_id":"b","values":[1]}'}


def test_dead_letters_are_listed_and_sent_back_each_once(telltale: Telltale, prefix: str) -> None:
    topics = Topics(prefix)
    telltale.create_topics(3)
    telltale.start("score", "--slot", "0", **LEARN)
    telltale.produce("telemetry.features", [("a", b"{"), ("a", b"["), ("b", {"values": "x"})])
    telltale.wait_until(lambda: len(telltale.read("dead-letter")) == 3, "three dead letters")

    listed = json.loads(succeed(telltale, "dead-letter", "list", "--json"))
    planned = succeed(telltale, "dead-letter", "replay", "--dry-run")
    first = succeed(telltale, "dead-letter", "replay", "--reason", "invalid_json")
    telltale.wait_until(lambda: len(telltale.read("dead-letter")) == 5, "two dead again")
    again = json.loads(succeed(telltale, "dead-letter", "list", "--json"))
    back = [m for m in telltale.read("telemetry.features") if m.headers()]
    rest = succeed(telltale, "dead-letter", "replay", "--reason", "invalid_record")
    nothing = succeed(telltale, "dead-letter", "replay", "--reason", "invalid_record", "--dry-run")

    counts = {reason: group["count"] for reason, group in listed.items()}
    where = topics.telemetry("features")
    assert counts == {"invalid_json": 2, "invalid_record": 1}
    assert f"2 would be sent back to {where} (invalid_json)" in planned
    assert f"2 sent back to {where} (invalid_json)\n1 stay: not asked for\n" in first
    assert (again["invalid_json"]["waiting"], again["invalid_json"]["again"]) == (2, 2)
    assert [(m.key(), m.value()) for m in back] == [(b"a", b"{"), (b"a", b"[")]
    assert [m.headers() for m in back] == [[("telltale.replayed", b"1")]] * 2
    assert f"1 sent back to {where} (invalid_record)" in rest
    assert nothing.startswith(("nothing to send back", "1 would be sent back"))


def test_a_second_replay_sends_nothing_back_that_the_first_one_sent(telltale: Telltale) -> None:
    telltale.create_topics(3)
    scorer = telltale.start("score", "--slot", "0", **LEARN)
    telltale.produce("telemetry.features", [(f"p{n}", b"{") for n in range(20)])
    telltale.wait_until(lambda: len(telltale.read("dead-letter")) == 20, "all are dead letters")
    assert telltale.stop(scorer) == 0

    succeed(telltale, "dead-letter", "replay")
    second = succeed(telltale, "dead-letter", "replay")

    assert second == "nothing to send back\n"
    assert len(telltale.read("telemetry.features")) == 40


def test_a_broker_that_is_away_is_one_readable_line(telltale: Telltale) -> None:
    done = telltale.run("tail", TELLTALE_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert done.returncode == 1
    assert done.stderr.startswith("telltale: Kafka: ")
    assert done.stderr.count("\n") == 1
