"""The chaos harness's ledger finds what is planted: losses, doublings, gaps, and wrong versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson
import pytest

from processor.records import ConsumerRecord
from processor.state import ring_codec
from processor.state.ring_codec import Slot
from processor.topics import Topics
from tests.chaos.verify import Ledger

TOPICS = Topics()
SERIES = TOPICS.telemetry("series")
LEARNT = 6  # samples: three records of two points
PROFILE = "metric"


def record(
    topic: str, offset: int, value: Any, key: str = PROFILE, **fields: Any
) -> ConsumerRecord:
    raw = value if isinstance(value, bytes) or value is None else orjson.dumps(value)
    return ConsumerRecord(topic, 0, offset, key.encode(), raw, fields.get("headers", ()), 0)


def telemetry(offset: int) -> ConsumerRecord:
    return record(SERIES, offset, {"timestamps": [1, 2], "values": [0.0, 1.0]})


def verdict(offset: int, status: str, seen: int, version: int | None = None) -> ConsumerRecord:
    value = {
        "verdict_id": f"{SERIES}-0-{offset}",
        "profile_id": PROFILE,
        "kind": "series",
        "status": status,
        "anomaly": False,
        "suppressed": False,
        "samples_seen": seen,
        "samples_needed": LEARNT,
        "generation": 0,
        "model_version": version,
    }
    return record(TOPICS.anomalies, offset, value)


def changed(original: ConsumerRecord, **fields: Any) -> ConsumerRecord:
    return original._replace(value=orjson.dumps(orjson.loads(original.value or b"") | fields))


def accepted(offset: int, at: int) -> ConsumerRecord:
    value = {
        "verdict_id": f"{SERIES}-0-{offset}",
        "kind": "series",
        "profile_id": PROFILE,
        "vectors": [[0.0], [1.0]],
    }
    return record(TOPICS.accepted, at, value)


def pooled(at: int, number: int, before: int) -> ConsumerRecord:
    slot = Slot(0, number, before, at, np.zeros((2, 1)), ("value",) if number == 0 else None)
    key = ring_codec.key("series", PROFILE, number).decode()
    return record(TOPICS.pool, at, ring_codec.encode_slot(slot), key)


def counted(at: int, samples: int) -> ConsumerRecord:
    key = ring_codec.key("series", PROFILE, ring_codec.HEAD).decode()
    return record(TOPICS.pool, at, {"offset": at, "accepted": samples}, key)


def model(version: int, generation: int = 0) -> ConsumerRecord:
    value = {"kind": "series", "profile_id": PROFILE, "version": version, "generation": generation}
    return record(TOPICS.models, version, value, f"series:{PROFILE}")


def event(name: str, version: int) -> ConsumerRecord:
    value = {"event": name, "kind": "series", "profile_id": PROFILE, "version": version}
    value["role"] = "scorer"
    return record(TOPICS.lifecycle, version, value | {"detail": "said"})


def dead_letter(offset: int, topic: str = SERIES) -> ConsumerRecord:
    headers = (
        ("telltale.reason", b"invalid_json"),
        ("telltale.detail", b"value: not JSON"),
        ("telltale.topic", topic.encode()),
        ("telltale.partition", b"0"),
        ("telltale.offset", str(offset).encode()),
    )
    return record(TOPICS.dead_letter, offset, b"{", headers=headers)


CANDIDATE = record(TOPICS.candidates, 0, {"kind": "series", "profile_id": PROFILE})

# Three records to learn from, a bad one, two scored before and after version 2.
RUN = [
    *[telemetry(offset) for offset in range(3)],
    record(SERIES, 3, b"{"),
    *[telemetry(offset) for offset in (4, 5)],
    *[verdict(offset, "learning", 2 * (offset + 1)) for offset in range(3)],
    model(1),
    event("trained", 1),
    dead_letter(3),
    verdict(4, "scored", LEARNT, 1),
    accepted(4, 0),
    pooled(0, 0, 0),
    counted(0, 2),
    CANDIDATE,
    model(2),
    event("adopted", 2),
    verdict(5, "scored", LEARNT, 2),
    accepted(5, 1),
    pooled(1, 1, 2),
    counted(1, 4),
]


def book(records: Iterable[ConsumerRecord]) -> Ledger:
    ledger = Ledger(TOPICS)
    for each in records:
        ledger.take(each)
    return ledger


def without(left_out: ConsumerRecord) -> list[ConsumerRecord]:
    assert left_out in RUN
    return [each for each in RUN if each != left_out]


def swapped(old: ConsumerRecord, new: ConsumerRecord) -> list[ConsumerRecord]:
    assert old in RUN
    return [new if each == old else each for each in RUN]


def test_a_run_in_order_has_nothing_to_wait_for_and_nothing_wrong() -> None:
    ledger = book(RUN)

    assert ledger.waiting == {}
    assert ledger.check() == []
    assert (ledger.records, ledger.dead_letters) == (6, 1)


def test_answers_may_be_read_before_what_they_answer() -> None:
    ledger = book([each for each in RUN if each.topic != SERIES])
    for each in RUN:
        if each.topic == SERIES:
            ledger.take(each)

    assert ledger.check() == []


def test_rounds_are_checked_one_after_the_other() -> None:
    ledger = book(RUN[:9])
    first = ledger.check()
    for each in RUN[9:]:
        ledger.take(each)

    assert {finding.sort for finding in first} == {"lost"}
    assert ledger.check() == []


@pytest.mark.parametrize(
    ("left_out", "waits_for"),
    [
        (verdict(4, "scored", LEARNT, 1), "answers"),
        (dead_letter(3), "answers"),
        (accepted(5, 1), "accepted samples"),
        (counted(1, 4), "counted samples"),
        (event("adopted", 2), "outcomes of candidates"),
    ],
)
def test_what_never_came_is_waited_for_and_then_lost(
    left_out: ConsumerRecord, waits_for: str
) -> None:
    ledger = book(without(left_out))

    assert ledger.waiting[waits_for] == 1
    assert "lost" in {finding.sort for finding in ledger.check()}


@pytest.mark.parametrize(
    "again",
    [
        verdict(1, "learning", 4),
        verdict(4, "scored", LEARNT, 1),
        dead_letter(3),
        dead_letter(4),
        accepted(4, 2),
        pooled(1, 1, 2),
        counted(1, 6),
        model(2),
        event("adopted", 2),
    ],
)
def test_what_came_twice_is_doubled(again: ConsumerRecord) -> None:
    assert "doubled" in {finding.sort for finding in book([*RUN, again]).check()}


@pytest.mark.parametrize(
    ("records", "sort"),
    [
        (swapped(verdict(1, "learning", 4), verdict(1, "learning", 2)), "learning"),
        (swapped(verdict(1, "learning", 4), verdict(1, "learning", 6)), "learning"),
        (swapped(verdict(2, "learning", 6), verdict(2, "learning", 2)), "learning"),
        (swapped(verdict(4, "scored", LEARNT, 1), verdict(4, "learning", 8)), "learning"),
        (swapped(verdict(2, "learning", 6), verdict(2, "scored", 4, 1)), "learning"),
        (swapped(pooled(1, 1, 2), pooled(1, 1, 4)), "learning"),
        (swapped(pooled(1, 1, 2), pooled(1, 2, 2)), "learning"),
        (swapped(counted(1, 4), counted(1, 3)), "lost"),
        (swapped(model(2), model(3)), "version"),
        (swapped(model(2), model(2, generation=4)), "generation"),
        (without(model(2)), "version"),
        (without(event("trained", 1)), "version"),
        ([*RUN, telemetry(6), verdict(6, "scored", LEARNT, 1)], "version"),
        ([*RUN, verdict(6, "scored", LEARNT, 2)], "invented"),
        ([*RUN, accepted(1, 2), pooled(2, 2, 4)], "invented"),
        ([*RUN, pooled(9, 2, 4)], "invented"),
        ([*RUN, dead_letter(0, TOPICS.accepted)], "refused"),
        ([*RUN, event("model_lost", 2)], "event"),
    ],
)
def test_what_contradicts_itself_is_found(records: list[ConsumerRecord], sort: str) -> None:
    assert sort in {finding.sort for finding in book(records).check()}


def test_a_generation_that_changes_is_found() -> None:
    original = verdict(5, "scored", LEARNT, 2)

    found = book(swapped(original, changed(original, generation=4))).check()

    assert [finding.sort for finding in found] == ["generation"]


def test_verdicts_of_a_profile_out_of_order_are_found() -> None:
    first, second = verdict(0, "learning", 2), verdict(1, "learning", 4)
    records = [each for each in RUN if each not in (first, second)]

    found = book([*records[:6], second, first, *records[6:]]).check()

    assert "order" in {finding.sort for finding in found}


SOURCE = "others"


def of_source(offset: int) -> ConsumerRecord:
    return record(SOURCE, offset, {"x": 1})


def mapped(offset: int, origin: int) -> ConsumerRecord:
    return telemetry(offset)._replace(
        headers=(("telltale.source", f"{SOURCE}-0-{origin}".encode()),)
    )


def sorts(*records: ConsumerRecord) -> list[str]:
    ledger = Ledger(TOPICS, SOURCE)
    for each in records:
        ledger.take(each)
    return sorted({finding.sort for finding in ledger.check()})


def test_a_source_record_is_followed_to_its_verdict():
    led_back = changed(verdict(0, "learning", 2), source=f"{SOURCE}-0-5")

    assert sorts(of_source(5), mapped(0, 5), led_back) == []
    assert sorts(of_source(5), mapped(0, 5), verdict(0, "learning", 2)) == ["source"]


def test_a_source_record_that_is_lost_doubled_or_invented_is_found():
    first, again = (
        changed(verdict(n, "learning", 2 + 2 * n), source=f"{SOURCE}-0-5") for n in (0, 1)
    )

    assert sorts(of_source(5)) == ["lost"]
    assert sorts(of_source(5), mapped(0, 5), mapped(1, 5), first, again) == ["doubled"]
    assert sorts(mapped(0, 5), first) == ["invented"]
