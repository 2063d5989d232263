"""Verdicts that are taken together: memory and counts are those of records taken one by one."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from console.live import reading
from console.live.counts import Counts, Totals, count
from console.live.events import Item, VerdictSeen, is_drawn, read
from console.live.labels import Labels
from console.live.normals import Normals, joined, scan
from console.live.profiles import Profiles
from console.live.reading import take
from console.live.recent import Recent
from console.live.state import LiveState, show
from console.live.waiting import Waiting
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord
from tests.unit.console.records import NOON, TOPICS, event, model

ONE_IN = 5
PROFILES = ("a", "b", "Ünïcøde", 'quo"te', "back\\slash", "mill-7")
WORDS: Any = st.sampled_from(["none", "low", "medium", "high", "critical"])
HOSTILE: Any = st.sampled_from(
    [None, True, 0, -1, 1.5, 10**30, "x", "scored", [], {}, "\x00", NOON, 253402300800000]
)


def written(offset: int, said: dict[str, Any]) -> bytes:
    """A verdict as the scorer writes it, with other fields or values where these are given."""
    body = {
        "verdict_id": f"telemetry.features-0-{offset}",
        "profile_id": "a",
        "kind": "features",
        "status": "scored",
        "anomaly": False,
        "score": 0.3141592653589793,
        "decision": 0.1,
        "p_value": 0.25,
        "severity": "none",
        "model_version": 1,
        "generation": 0,
        "samples_seen": 10,
        "samples_needed": 10,
        "reasons": [],
        "rule_severity": None,
        "suppressed": False,
        "regime": "usual",
        "late": False,
        "source": None,
        "observed_at": NOON,
        "scored_at": NOON + offset,
    } | said
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


usual = st.fixed_dictionaries(
    {
        "profile_id": st.sampled_from(PROFILES),
        "kind": st.sampled_from(["features", "drowsiness"]),
        "p_value": st.sampled_from([0.0, 0.05, 0.5, 1.0, 1e-9, None]),
        "suppressed": st.booleans(),
        "rule_severity": st.none() | WORDS,
        "regime": st.sampled_from([None, "usual", "shifted"]),
        "source": st.sampled_from([None, "orders-0-1", 'q"', "ü"]),
        "scored_at": st.integers(NOON - 5_000_000, NOON + 5_000_000),
    }
)
learning = st.fixed_dictionaries(
    {
        "profile_id": st.sampled_from(PROFILES),
        "status": st.just("learning"),
        "score": st.none(),
        "decision": st.none(),
        "p_value": st.none(),
        "model_version": st.none(),
        "generation": st.sampled_from([None, 0, 3, 7]),
        "samples_seen": st.integers(0, 20),
        "samples_needed": st.integers(0, 20),
    }
)
alarm = st.fixed_dictionaries(
    {"anomaly": st.just(True), "severity": WORDS, "profile_id": st.sampled_from(PROFILES)}
)
several = st.just({"samples": [], "samples_omitted": 0})
foreign = st.dictionaries(
    st.sampled_from(
        [
            "verdict_id",
            "profile_id",
            "kind",
            "status",
            "anomaly",
            "p_value",
            "severity",
            "late",
            "generation",
            "samples_seen",
            "rule_severity",
            "scored_at",
            "observed_at",
            "more",
        ]
    ),
    HOSTILE,
    max_size=2,
)
told = st.one_of(usual, usual, usual, learning, alarm, several, foreign)
torn = st.sampled_from([lambda v: v, lambda v: v[:-1], lambda v: v + b" ", lambda v: v + b"}"])


@st.composite
def streams(draw: Any) -> list[list[ConsumerRecord]]:
    """Batches of records of three topics, as they could be polled."""
    found: list[list[ConsumerRecord]] = []
    offsets: Counter[str] = Counter()
    for _ in range(draw(st.integers(1, 4))):
        batch = []
        for _ in range(draw(st.integers(0, 12))):
            sort = draw(st.integers(0, 9))
            profile = draw(st.sampled_from(PROFILES))
            if sort == 0:
                name = draw(st.sampled_from(["forgotten", "drifting", "adopted"]))
                at = draw(st.integers(NOON - 5_000_000, NOON + 5_000_000))
                batch.append(event(offsets["e"], name, profile, role="scorer", at=at))
                offsets["e"] += 1
            elif sort == 1:
                generation = draw(st.sampled_from([0, 3, 7]))
                batch.append(model(offsets["m"], profile, generation=generation))
                offsets["m"] += 1
            else:
                said = draw(told)
                value = draw(torn)(written(offsets["v"], said))
                key = said.get("profile_id", "a")
                key = key.encode() if isinstance(key, str) else b"a"
                key = draw(st.sampled_from([key, key, key, None, b"\xff"]))
                batch.append(
                    ConsumerRecord(TOPICS.anomalies, 0, offsets["v"], key, value, (), NOON)
                )
                offsets["v"] += 1
        found.append(batch)
    return found


def empty() -> LiveState:
    held = Profiles(b"k" * 32, {}), Totals()
    return LiveState(*held, Recent(100), Waiting(), {}, 0, Labels())


def one_by_one(state: LiveState, batches: list[list[ConsumerRecord]]) -> list[Item]:
    found = []
    for batch in batches:
        items = [read(record, TOPICS, ONE_IN) for record in batch]
        show(state, items)
        found += items
    return found


def together(
    state: LiveState, batches: list[list[ConsumerRecord]]
) -> tuple[list[Item], Normals | None]:
    offsets = {(topic, 0): 0 for topic in (TOPICS.anomalies, TOPICS.lifecycle, TOPICS.models)}
    items, normals = [], None
    for batch in batches:
        taken = take(RecordBatch.of(batch), offsets, state, TOPICS, ONE_IN)
        if taken is not None:
            items += taken.items
            if taken.normals is not None:
                normals = taken.normals if normals is None else joined(normals, taken.normals)
    return items, normals


def known(state: LiveState) -> list[dict[str, Any]]:
    rows = [profile.row() for profile in state.profiles.all()]
    return sorted(rows, key=lambda row: (row["kind"], row["profile_id"]))


def organization(profile_id: str) -> str:
    return "mill" if profile_id.startswith("mill-") else ""


def kept(items: list[Item]) -> list[Item]:
    """Those of which a row is made, or which are no verdicts."""
    return [i for i in items if not isinstance(i.seen, VerdictSeen) or becomes_row(i.seen)]


def becomes_row(seen: VerdictSeen) -> bool:
    return seen.drawn or not seen.normal


@pytest.fixture(autouse=True, scope="module")
def however_few() -> Iterator[None]:
    """Have few records scanned as well."""
    few, reading.FEW = reading.FEW, 1
    yield
    reading.FEW = few


@settings(max_examples=60)
@given(streams())
def test_memory_counts_and_rows_are_those_of_records_taken_one_by_one(
    batches: list[list[ConsumerRecord]],
):
    plain, quick = empty(), empty()
    items = one_by_one(plain, batches)
    others, normals = together(quick, batches)

    assert known(quick) == known(plain)
    assert quick.profiles.states == plain.profiles.states
    assert quick.roles == plain.roles
    assert [e.body for e in quick.recent.newest()] == [e.body for e in plain.recent.newest()]
    assert kept(others) == kept(items)
    counts: Counts = count(others, organization)
    if normals is not None:
        counts.verdicts.update(normals.counts(organization).verdicts)
    assert counts == count(items, organization)


@given(st.lists(usual, min_size=1, max_size=20))
def test_what_the_scorer_writes_of_normal_records_is_scanned(said: list[dict[str, Any]]):
    values = [written(number, each) for number, each in enumerate(said)]
    keys = [each["profile_id"].encode() for each in said]

    found = scan(keys, values)

    plain = ["\\" not in each["profile_id"] and '"' not in each["profile_id"] for each in said]
    plain = [
        ok and each["source"] in (None, "orders-0-1") for ok, each in zip(plain, said, strict=True)
    ]
    assert found.good.tolist() == plain


@given(st.binary(max_size=40), st.integers(0, 400), st.integers(0, 255))
@example(b"", 0, 0)
def test_a_scanned_verdict_is_one_that_a_parser_reads(key: bytes, place: int, byte: int):
    value = bytearray(written(3, {"profile_id": key.decode("latin-1")}))
    value[place % len(value)] = byte

    found = scan([key], [bytes(value)])

    if found.good[0]:
        record = ConsumerRecord(TOPICS.anomalies, 0, 3, key, bytes(value), (), NOON)
        seen = read(record, TOPICS, ONE_IN).seen
        assert isinstance(seen, VerdictSeen)
        assert seen.normal
        assert seen.profile_id == key.decode()
        assert seen.scored_at == found.rows[0, 8]


def test_a_verdict_that_somebody_waits_for_is_found_among_them():
    state = empty()
    batches = [[record(n, "a") for n in range(8)], [record(n, "a") for n in range(8, 16)]]
    _, normals = together(state, batches)
    assert normals is not None
    wanted = next(n for n in range(8, 16) if not is_drawn(f"telemetry.features-0-{n}", ONE_IN))

    (found,) = normals.find([(f"telemetry.features-0-{wanted}", "features", "a")])

    assert found.offset == wanted
    assert normals.find([("telemetry.features-0-99", "features", "a")]) == []


def record(offset: int, profile: str) -> ConsumerRecord:
    value = written(offset, {"profile_id": profile})
    return ConsumerRecord(TOPICS.anomalies, 0, offset, profile.encode(), value, (), NOON)
