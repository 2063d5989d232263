"""20,000 payloads of a fixed seed: each is answered once, by a verdict or by a dead letter."""

import os
from collections.abc import Iterator

import orjson
import pytest

from processor.settings import PREFIX
from tests.fuzz import check, payloads, reference, run
from tests.fuzz.corpus import sources
from tests.fuzz.payloads import UNTOUCHED, payload
from tests.fuzz.run import BATCH, Failure, Fuzzer
from tests.unit.builders import record, vector

SEED = 20_261_121
BATCHES = 80


@pytest.fixture(autouse=True)
def no_settings_of_the_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="module")
def fuzzer() -> Fuzzer:
    return Fuzzer(SEED, None)


def test_20000_payloads_are_each_answered_once(fuzzer: Fuzzer):
    for number in range(BATCHES):
        fuzzer.batch(number)

    report = fuzzer.report
    assert report.payloads == BATCHES * BATCH == 20_000
    assert sum(report.outcomes.values()) == report.payloads
    assert report.compared == report.payloads / run.COMPARED_EVERY
    # What is made covers what can happen: every outcome of every kind, and every usual reason.
    assert {key for key, count in report.outcomes.items() if count} == {
        (kind, outcome)
        for kind in ("behavior", "drowsiness", "features", "series")
        for outcome in ("learning", "scored", "anomaly", "abstained", "dead letter")
    }
    assert set(report.reasons) >= check.REASONS - {"unanswerable"}
    assert report.trainings > 10


def test_a_payload_depends_on_seed_and_number_alone():
    made = sources(None)
    first = [payload(1, number, made) for number in range(200)]
    again = [payload(1, number, made) for number in reversed(range(200))]
    other = [payload(2, number, made) for number in range(200)]

    assert first == again[::-1]
    assert first != other
    assert 0 < sum(item.what == UNTOUCHED for item in first) < 50


def test_an_answer_that_is_missing_or_twice_is_a_failure():
    items = [payload(1, number, sources(None)) for number in range(2)]
    outputs = [
        out
        for out in run.Stage(sources(None)).feed([item.record for item in items])
        if out.topic in (payloads.TOPICS.anomalies, payloads.TOPICS.dead_letter)
    ]

    with pytest.raises(check.Broken, match="2 records have 1 answers"):
        check.answers(items, outputs[:1])
    with pytest.raises(check.Broken, match="2 records have 3 answers"):
        check.answers(items, [*outputs, outputs[0]])
    with pytest.raises(check.Broken):
        check.answers(items, outputs[::-1])


def test_a_failure_names_the_payload_that_fails_alone(
    fuzzer: Fuzzer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    marked = payload(SEED, 3, sources(None)).record

    def feed(batch: list[object]) -> list[object]:
        if marked in batch:
            raise ValueError("as a bug would")
        return []

    monkeypatch.setattr(fuzzer.stage, "feed", feed)
    monkeypatch.setattr(check, "answers", lambda _items, _outputs: [])
    with pytest.raises(Failure) as found:
        fuzzer.batch(0)
    run.complain(found.value, SEED, None)

    told = capsys.readouterr().err
    assert found.value.payload is not None
    assert found.value.payload.number == 3
    assert f"python -m tests.fuzz.run --seed {SEED} --batch 0" in told
    assert repr(marked.value)[:100] in told


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (vector(1.0), None),
        (b' {"values": [1, null]}\n', None),
        (b'{"values": [1e400]}', "invalid_json"),
        (b'{"values": [' + b"9" * 400 + b"]}", "invalid_json"),
        (b'{"values": [NaN]}', "invalid_json"),
        (b'{"values": ["\\ud800"]}', "invalid_json"),
        (b'\xef\xbb\xbf{"values": [1]}', "invalid_json"),
        (b'{"x": ' + b"[" * 64 + b"]" * 64 + b', "values": [1]}', "invalid_json"),
        (b'{"x": ' + b"[" * 63 + b"]" * 63 + b', "values": [1]}', None),
        (b'{"values": [true]}', "invalid_record"),
        (orjson.dumps({"values": [1] * 1001}), "too_large"),
        (vector(1.0) | {"profile_id": "q"}, "key_mismatch"),
        (vector(1.0) | {"kind": "series"}, "kind_mismatch"),
    ],
)
def test_the_second_judgement_is_strict_by_itself(value: object, expected: str | None):
    assert reference.judged(record(value), "features", (1_000_000, 1000, 10_000)) == expected
