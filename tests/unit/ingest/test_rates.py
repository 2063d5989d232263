"""Rates: counters become their increase a second; a reset is no spike."""

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import CapturingLogger

from processor.ingest import rates
from processor.ingest.pipeline import compute
from processor.ingest.rates import Counters, CountersUnreadable
from processor.ingest.role import IngestRole
from processor.ingest.sources import SourcesFile
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord
from processor.settings import Settings
from processor.topics import DAY_MS
from tests.unit.ingest.builders import DATA, NOW, TOPICS, came, context, of, record, source

NET = source(
    kind="features", profile_id="{h}", values={"in": "in", "up": "up"}, rate=["in"],
    observed_at={"path": "t", "unit": "ms"},
)  # fmt: skip


def sample(value, at, offset, **more):
    return record({"h": "h", "in": value, "t": NOW + at, **more}, offset=offset)


def values(found):
    return [value["values"] for _, value in found.telemetry]


def test_the_first_record_of_a_profile_is_filtered_and_the_next_is_the_increase_a_second():
    found = came([sample(100, 0, 0), sample(150, 2000, 1)], NET)

    assert values(found) == [{"in": 25.0}]
    assert found.outcomes == {"filtered": 1, "mapped": 1}


def test_other_features_are_mapped_beside_an_absent_rate():
    assert values(came([sample(100, 0, 0, up=1)], NET)) == [{"up": 1}]


def test_a_reset_gives_an_absent_value_and_goes_on_from_it():
    batch = [sample(n, 1000 * at, at, up=1) for at, n in enumerate((100, 110, 3, 8))]

    assert values(came(batch, NET)) == [
        {"up": 1}, {"up": 1, "in": 10.0}, {"up": 1}, {"up": 1, "in": 5.0}
    ]  # fmt: skip


def test_a_record_that_is_not_newer_is_absent_and_counts_for_nothing():
    times = (0, 1000, 500, 1000, 2000)
    batch = [sample(100 + at, time, at, up=1) for at, time in enumerate(times)]

    assert [v.get("in") for v in values(came(batch, NET))] == [None, 1.0, None, None, 3.0]


def test_the_counters_are_kept_once_a_profile_and_go_on_from_there():
    first = came([sample(100, 0, 4), sample(150, 2000, 5)], NET)
    stored = [out for out in first.step.outputs if out.topic == TOPICS.ingest_counters]

    ((key, counters),) = [rates.decode_counters(out.key or b"", out.value or b"") for out in stored]
    second = came([sample(160, 3000, 6)], NET, known={key: counters})

    assert key == ("hosts", "in", 0, "h")
    assert counters == Counters(5, {"in": (NOW + 2000, 150)})
    assert first.step.delta == {key: counters}
    assert values(second) == [{"in": 10.0}]


def test_counters_lie_on_the_sources_partition_modulo_the_topics_count():
    step = came([sample(1, 0, 0)._replace(partition=6)], NET, partitions=4).step

    assert [out.partition for out in step.outputs] == [2]


def test_a_time_that_is_far_ahead_of_the_records_own_timestamp_is_not_counted_from():
    batch = [sample(n, at, number, up=1) for number, (at, n) in enumerate(
        ((0, 100), (rates.AHEAD_MS + 1, 200), (1000, 300), (2000, 310))
    )]  # fmt: skip

    assert [v.get("in") for v in values(came(batch, NET))] == [None, None, 200.0, 10.0]


def test_a_time_far_ahead_that_was_kept_is_replaced():
    kept = {("hosts", "in", 0, "h"): Counters(3, {"in": (NOW + 10 * rates.AHEAD_MS, 100)})}
    batch = [sample(n, at, 4 + at, up=1) for at, n in ((0, 110), (1000, 120))]

    found = came(batch, NET, known=kept)

    assert [v.get("in") for v in values(found)] == [None, 10.0]


def test_times_of_records_without_a_timestamp_are_taken_as_they_are():
    batch = [sample(n, at, at)._replace(timestamp=-1) for at, n in ((0, 100), (1000, 110))]

    assert values(came(batch, NET)) == [{"in": 10.0}]


def test_a_record_that_is_dead_leaves_no_trace_in_the_counters():
    each = source(kind="features", profile_id="{h}", values={"in": "in"}, rate=["in"], each="m")
    bad = record({"m": [{"h": "h", "in": 5}, {"in": 6}]}, offset=1)

    found = came([bad], each)

    assert found.step.delta == {}
    assert len(found.dead) == 1
    assert of(found.step).telemetry == []


@pytest.mark.parametrize(
    ("key", "value"),
    [(b"", b"{}"), (b'["a","b",0,"c"]', b"{}"), (b'["a"]', b'{"format":1,"offset":0,"last":{}}'),
     (b'["a","b",0,"c"]', b'{"format":2}'),
     (b'["a","b",0,"c"]', b'{"format":1,"offset":0,"last":{"x":1}}')],
)  # fmt: skip
def test_a_damaged_record_of_the_changelog_says_so(key, value):
    with pytest.raises(CountersUnreadable):
        rates.decode_counters(key, value)


def test_counters_that_are_silent_for_too_long_are_cleared_unless_the_batch_brings_them_back():
    first = came([sample(100, 0, 0), record({"h": "i", "in": 1, "t": NOW}, offset=1)], NET)
    known = dict(first.step.delta)
    back, gone = ("hosts", "in", 0, "h"), ("hosts", "in", 0, "i")

    step = compute(known, [sample(150, 2000, 2)], context(NET), [back, gone])

    stored = {out.key: out.value for out in step.outputs if out.topic == TOPICS.ingest_counters}
    assert step.delta[back].offset == 2
    assert step.delta[gone] is None
    assert [value is None for value in stored.values()] == [False, True]


def a_role():
    settings = Settings(_env_file=None, profile_ttl_days=1)
    file = SourcesFile(DATA, (NET,), None)
    role = IngestRole(settings, file, None, Metrics(CollectorRegistry()), CapturingLogger())
    role.divide({"in": {0}}, {TOPICS.ingest_counters: 4})
    return role


def test_a_backlog_older_than_the_ttl_keeps_its_counters_also_after_a_restart():
    later = NOW + 10 * DAY_MS
    first, second = a_role(), a_role()
    step = first.compute([sample(100, 0, 0)], later)
    first.apply(step)
    ((_, value, key, *_),) = step.outputs
    second.load(ConsumerRecord(TOPICS.ingest_counters, 0, 0, key, value, (), later))
    second.restored([0])

    for role in (first, second):
        assert role.idle(later + 3_600_000) is None
        assert role.idle(later + 25 * 3_600_000).delta == {("hosts", "in", 0, "h"): None}


def test_the_role_clears_what_is_older_than_the_ttl_and_takes_it_back_if_the_step_is_dropped():
    role = a_role()
    role.apply(role.compute([sample(100, 0, 0)], NOW))

    assert role.idle(NOW + 3_600_000) is None
    step = role.idle(NOW + 25 * 3_600_000)
    undo = role.apply_speculatively(step)
    assert role._counters == {}
    undo()

    assert [out.value for out in step.outputs] == [None]
    assert list(role._counters) == [("hosts", "in", 0, "h")]
