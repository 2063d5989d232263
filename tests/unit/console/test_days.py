"""Days: counts of verdicts and sketches of features, exactly once, on both kinds of store."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from console.days.features import FeatureSums, Sketch, bin_of, deciles
from console.days.flush import Moved, flush, held_offsets
from console.days.sums import ProfileSums, judged_of
from console.live.events import VerdictSeen, read
from console.live.profiles import profile_hash
from console.store import tables as t
from console.store.database import Database
from console.store.retention import clean
from console.store.rows import Rows
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord
from tests.unit.console.records import NOON, TOPICS, anomaly, event, items, verdict
from tests.unit.console.test_normals_together import told, torn, written

DAY = 86_400_000
TODAY = NOON // DAY * DAY
KEY = b"k" * 32


def never(*_: Any) -> bool:
    return False


def judged(*records: ConsumerRecord) -> ProfileSums:
    sums = ProfileSums()
    sums.add(RecordBatch.of(records), TOPICS, never)
    return sums


def accepted(offset: int, profile: str, *vectors: list[float | None], **more: Any):
    body = {
        "profile_id": profile,
        "kind": "features",
        "generation": 0,
        "features": ["cpu", "disk"],
        "vectors": vectors,
        "observed_at": NOON,
        "verdict_id": f"telemetry.features-0-{offset}",
    } | more
    value = json.dumps(body).encode()
    return ConsumerRecord(TOPICS.accepted, 0, offset, profile.encode(), value, (), NOON)


def sampled(*records: ConsumerRecord) -> FeatureSums:
    sums = FeatureSums()
    sums.add(RecordBatch.of(records), never)
    return sums


def put(database: Database, begin: int, end: int, sums: Any, **more: Any) -> None:
    topic = TOPICS.anomalies if isinstance(sums, ProfileSums) else TOPICS.accepted
    given_ = {"known": {}, "since": 0, "edges": {}} | more
    flush(
        database, (topic, 0), begin, end, sums,
        lifecycle=TOPICS.lifecycle, key=KEY, now=NOON, **given_,
    )  # fmt: skip


def held(database: Database, table: Any) -> list[dict[str, Any]]:
    with database.read() as connection:
        rows = connection.execute(select(table).order_by(*table.primary_key.columns)).mappings()
        return [dict(row) for row in rows]


def test_verdicts_of_a_day_add_up_over_flushes(database: Database):
    put(database, 0, 3, judged(verdict(0, p_value=0.04), verdict(1, p_value=1.0), anomaly(2)))
    more = (
        verdict(3, status="learning", rule_severity="high"),
        verdict(4, suppressed=True, p_value=0.5),
        verdict(5, status="abstained"),
        anomaly(6, severity="low", suppressed=True),
        verdict(7, observed_at=NOON - DAY),
    )
    put(database, 3, 8, judged(*more))

    before, today = held(database, t.profile_days)

    assert (before["day"], today["day"]) == (TODAY - DAY, TODAY)
    assert before["scored"] == 1
    counts = {name: today[name] for name in ("learning", "scored", "abstained", "suppressed")}
    assert counts == {"learning": 1, "scored": 5, "abstained": 1, "suppressed": 2}
    assert [today[name] for name in ("low", "medium", "high", "critical")] == [0, 0, 1, 0]
    assert today["rule_alarms"] == 1
    assert today["p_values"] == [1, *[0] * 18, 1]
    assert held_offsets(database, [TOPICS.anomalies]) == {(TOPICS.anomalies, 0): 8}


def test_of_two_that_counted_the_same_records_one_is_refused(database: Database):
    put(database, 0, 1, judged(verdict(0)))

    with pytest.raises(Moved):
        put(database, 0, 1, judged(verdict(0)))

    (row,) = held(database, t.profile_days)
    assert row["scored"] == 1


def test_sums_of_a_profile_that_was_forgotten_meanwhile_are_refused(database: Database):
    name = profile_hash(KEY, "features", 0, "p")
    with database.write() as connection:
        connection.execute(insert(t.forgotten).values(profile_hash=name, at=NOON))

    with pytest.raises(Moved):
        put(database, 0, 1, judged(verdict(0)))
    assert held(database, t.profile_days) == []

    put(database, 0, 1, judged(verdict(0)), known={name: NOON})
    assert len(held(database, t.profile_days)) == 1


def test_forgetting_deletes_the_days_of_a_profile(database: Database):
    put(database, 0, 2, judged(verdict(0, "p"), verdict(1, "q")))
    rows = [accepted(n, profile, [1.0, 2.0]) for n, profile in enumerate("pq")]
    edges = {("features", name, "cpu"): ([0.0] * 11, "samples") for name in "pq"}
    put(database, 0, 2, sampled(*rows), edges=edges)
    from console.live.state import load

    state = load(database, 10)
    with database.write() as connection:
        writer = Rows(database, connection, state.profiles, NOON)
        writer.events(items(event(0, "forgotten", "p", role="scorer", at=NOON)))

    for table in (t.profile_days, t.feature_days, t.feature_edges):
        assert {row["profile_id"] for row in held(database, table)} == {"q"}, table.name


def test_days_beyond_the_retention_are_deleted(database: Database):
    put(database, 0, 2, judged(verdict(0), verdict(1, observed_at=NOON - 9 * DAY)))

    clean(database, NOON, 7 * DAY)

    assert [row["day"] for row in held(database, t.profile_days)] == [TODAY]


def test_samples_of_a_day_add_up_to_what_all_of_them_give(database: Database):
    values = np.random.default_rng(7).normal(5, 2, 90)
    edges = deciles(values[:50])
    assert edges is not None
    of = ("features", "p", "cpu")
    parts = [values[:20], values[20:21], values[21:]]
    offset = 0
    for part in parts:
        rows = [accepted(offset + n, "p", [v, None]) for n, v in enumerate(part.tolist())]
        put(database, offset, offset + len(part), sampled(*rows), edges={of: (edges, "artefact")})
        offset += len(part)

    cpu, disk = held(database, t.feature_days)

    assert (cpu["n"], cpu["missing"], disk["n"], disk["missing"]) == (90, 0, 0, 90)
    assert cpu["mean"] == pytest.approx(values.mean())
    assert cpu["m2"] == pytest.approx(((values - values.mean()) ** 2).sum())
    assert (cpu["least"], cpu["most"]) == (values.min(), values.max())
    expected = np.bincount(bin_of(values, np.tile(edges, (90, 1))), minlength=12)
    assert cpu["bins"] == expected.tolist()
    assert (disk["mean"], disk["bins"]) == (None, [0] * 12)


def test_bins_hold_their_upper_edge_and_the_first_one_the_least():
    edges = np.arange(11.0)
    values = np.array([-0.1, 0.0, 0.5, 1.0, 1.1, 10.0, 10.1])

    assert bin_of(values, np.tile(edges, (7, 1))).tolist() == [0, 1, 1, 1, 2, 10, 11]


def test_marks_and_what_is_no_sample_are_passed_by():
    bad = [
        {"vectors": [[1.0]]},
        {"vectors": [["x", 1.0]]},
        {"vectors": [[True, 1.0]]},
        {"vectors": 3},
        {"features": [1, 2]},
        {"features": ["cpu", "cpu"]},
        {"observed_at": 10**30},
        {"kind": None},
    ]
    records = [accepted(n, "p", [1.0, 2.0], **each) for n, each in enumerate(bad)]
    mark = json.dumps({"mark": "forget", "profile_id": "p", "kind": "features"}).encode()
    records += [r._replace(value=v) for r in records[:1] for v in (mark, b"{", None, b"[]", b"1")]

    assert not sampled(*records)


def test_numbers_of_any_size_have_a_sketch():
    sums = sampled(accepted(0, "p", [1e308, -1e308]), accepted(1, "p", [1e308, 10**19]))

    for sketch in sums.sketches({}).values():
        assert all(np.isfinite([sketch.mean, sketch.m2, sketch.least, sketch.most]))


numbers = st.lists(st.floats(-1e6, 1e6), max_size=8)


@given(numbers, numbers)
def test_two_sketches_merged_are_that_of_all_values(some: list[float], others: list[float]):
    def sketch(values: list[float]) -> Sketch:
        records = [accepted(n, "p", [v, None]) for n, v in enumerate(values)]
        empty = Sketch(0, 0, None, None, None, None, [0] * 12)
        return sampled(*records).sketches({}).get(("features", "p", TODAY, "cpu"), empty)

    merged, whole = sketch(some).merged(sketch(others)), sketch([*some, *others])

    assert (merged.n, merged.least, merged.most) == (whole.n, whole.least, whole.most)
    assert (merged.mean or 0) == pytest.approx(whole.mean or 0, abs=1e-6)
    assert (merged.m2 or 0) == pytest.approx(whole.m2 or 0, rel=1e-6, abs=1e-2)


@settings(max_examples=60)
@given(st.lists(st.tuples(told, torn), max_size=30))
def test_verdicts_counted_together_are_those_counted_one_by_one(said: list[Any]):
    records = []
    for n, (body, tear) in enumerate(said):
        profile = body.get("profile_id", "a")
        key = profile.encode() if isinstance(profile, str) else b"a"
        value = tear(written(n, body))
        records.append(ConsumerRecord(TOPICS.anomalies, 0, n, key, value, (), NOON))
    plain = ProfileSums()
    for record in records:
        seen = read(record, TOPICS, 1).seen
        if isinstance(seen, VerdictSeen):
            plain._add_plain(seen, never)
            assert judged_of(seen)[1] % DAY == 0

    quick = ProfileSums()
    if records:
        quick.add(RecordBatch.of(records), TOPICS, never)

    assert quick.totals() == plain.totals()
