"""Rehearsal: what `ingest check` shows, and each of its warnings."""

import pytest

from processor.ingest.rehearsal import rehearse, warnings
from tests.unit.ingest.builders import NOW, context, record, source

HOSTS = {"kind": "features", "profile_id": "{h}", "values": {"*": "v"}}


def report(sent, **fields):
    one = source(**HOSTS | fields)
    return rehearse(
        one, [record(v, offset=at, timestamp=NOW + 1000 * at) for at, v in enumerate(sent)],
        context(one),
    )  # fmt: skip


def warned(sent, **fields):
    return list(warnings(report(sent, **fields)))


def wobbling(count, **more):
    return [{"h": f"h{n % 2}", "v": {"a": (n * 7) % 5, **more}} for n in range(count)]


def test_a_report_says_what_records_came_to():
    values = [*wobbling(4), {"h": "h0", "v": {"b": 2}}, {"v": {"a": 1}}, None, b"{"]

    found = report(values).as_json()

    assert found["name"] == "hosts"
    assert found["records"] == 8
    assert found["mapped"] == 5
    assert found["filtered"] == 1
    assert found["dead"] == {"unmapped": 1, "undecodable": 1}
    assert found["profiles"] == 2
    assert found["features"]["a"] == {"missing": 0.2, "min": 0, "max": 4}
    assert found["records_a_second"] == 1.0
    assert found["first"] == {
        "topic": "telemetry.features",
        "key": "h0",
        "value": {"values": {"a": 0}, "observed_at": NOW},
    }
    assert "profile_id {h}" in found["dead_samples"]["unmapped"]["detail"]


def test_records_that_are_as_they_should_be_have_no_warning():
    assert warned(wobbling(20)) == []


def test_nothing_at_all_is_warned_of():
    assert warned([]) == ["no records were found"]


def test_a_flood_of_new_profiles_is_warned_of():
    flood = [{"h": n, "v": {"a": n % 3}, "t": NOW + n // 2} for n in range(3000)]

    (found,) = warned(flood, observed_at={"path": "t", "unit": "ms"})

    assert "profiles a second appear for the first time, more than 1000" in found


def test_profiles_that_come_again_are_no_flood_however_fast_the_records():
    fast = [{"h": n % 50, "v": {"a": n % 3}, "t": NOW} for n in range(3000)]

    assert warned(fast, observed_at={"path": "t", "unit": "ms"}) == []


def test_a_feature_that_never_changes_is_warned_of():
    assert warned(wobbling(20, total=16)) == [
        "feature total never changes within a profile: it tells nothing"
    ]


def test_a_counter_is_warned_of_until_its_rate_is_taken():
    growing = [{"h": "h", "v": {"a": (n * 7) % 5, "bytes": 100 * n * n}} for n in range(20)]

    assert warned(growing) == ["feature bytes only grows, as a counter does: rate: [bytes]"]
    assert warned(growing, rate=["bytes"]) == []


@pytest.mark.parametrize(
    ("time", "unit"), [(1_700_000_000, "ms"), (1_700_000_000_000_000, "ms"), (1_700_000_000, "us")]
)
def test_times_in_another_unit_are_warned_of(time, unit):
    values = [{**value, "t": time + n} for n, value in enumerate(wobbling(10))]

    (found, *_) = warned(values, observed_at={"path": "t", "unit": unit})

    assert "t" in found
    assert unit in found


def test_ids_with_control_characters_are_warned_of():
    found = warned([*wobbling(10), {"h": "a\tb", "v": {"a": 1}}])

    assert found == ["1 records have an id with control characters, which cannot be a profile's"]
