"""Swim lanes: buckets written once, read from memory, seen only by whom they concern."""

from typing import Any

import pytest
from sqlalchemy import insert, select

from console.lanes.memory import LaneMemory
from console.lanes.query import WIDTHS, Found, Wanted, find_lanes, width_of
from console.lanes.search import search
from console.lanes.tables import lane_buckets, lane_pages
from console.live.profiles import Profiles
from console.live.state import LiveState, load, show
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from console.store.projection import StoreBehind, project
from console.store.retention import clean
from processor.records import ConsumerRecord
from tests.unit.console.records import HOUR, NOON, anomaly, batch, event, items, verdict

MINUTE = 60_000


def write(database: Database, state: LiveState, *records: ConsumerRecord) -> None:
    """Show and project records as one batch."""
    show(state, items(*records))
    project(database, batch(*records), state.profiles, 10**9, NOON)


def reasons(*names: str) -> list[dict[str, Any]]:
    return [{"feature": n, "value": 1, "typical": [0, 1], "contribution": 1} for n in names]


def rows_of(database: Database) -> list[dict[str, Any]]:
    table = lane_buckets.c
    with database.read() as connection:
        rows = connection.execute(
            select(lane_buckets).order_by(table.bucket, table.profile_id, table.severity)
        )
        return [dict(row) for row in rows.mappings()]


def lanes(database: Database, state: LiveState, **wanted: Any) -> Found:
    asked = {"since": NOON - HOUR, "until": NOON + HOUR} | wanted
    return find_lanes(state.lanes, database, Wanted(**asked))


def worst(found: Found) -> dict[tuple[str, ...], list[str]]:
    """Key of a lane → its severities, without what is empty."""
    return {
        key: [each for each in lane.severities if each is not None]
        for key, lane in zip(found.keys, found.lanes, strict=True)
    }


def test_a_bucket_holds_how_many_and_the_largest_score(database: Database):
    state = load(database, 10)
    at = NOON // 300_000 * 300_000
    write(
        database,
        state,
        anomaly(0, score=0.7, reasons=reasons("cpu", "disk"), scored_at=at),
        anomaly(1, score=0.9, reasons=reasons("cpu"), scored_at=at + 299_999),
        anomaly(2, score=0.8, reasons=reasons("cpu"), scored_at=at + 300_000),
        verdict(3, scored_at=at),
    )
    write(database, state, anomaly(4, score=0.75, reasons=reasons("cpu"), scored_at=at))
    write(database, state, anomaly(5, score=None, reasons=reasons("cpu"), scored_at=at))

    first, second = rows_of(database)

    key = {"kind": "features", "partition": 0, "profile_id": "p", "feature": "cpu"}
    assert first == {**key, "bucket": at, "severity": "high", "anomalies": 4, "score": 0.9}
    assert second == {
        **key,
        "bucket": at + 300_000,
        "severity": "high",
        "anomalies": 1,
        "score": 0.8,
    }


def test_records_that_come_again_are_not_counted_again(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0), anomaly(1))
    write(database, state, anomaly(0), anomaly(1), anomaly(2))

    assert [row["anomalies"] for row in rows_of(database)] == [3]


def test_a_batch_that_fails_leaves_no_bucket(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0))

    with pytest.raises(StoreBehind):
        write(database, state, anomaly(7))

    assert [row["anomalies"] for row in rows_of(database)] == [1]


def test_anomalies_in_a_maintenance_window_are_left_out(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0, suppressed=True))

    assert rows_of(database) == []


def test_what_is_forgotten_goes_from_the_store_and_from_memory(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0, "gone"), anomaly(1, "stays"))
    assert set(worst(lanes(database, state))) == {("features", "gone"), ("features", "stays")}

    write(database, state, event(0, "forgotten", "gone", role="scorer", at=NOON + 1))

    assert [row["profile_id"] for row in rows_of(database)] == ["stays"]
    assert set(worst(lanes(database, state))) == {("features", "stays")}
    assert "gone" not in str(state.lanes.profiles.names)
    with database.read() as connection:
        told = connection.execute(select(t.erasures.c.rows)).scalar_one()
    assert told["lane_buckets"] == 1


def test_a_verdict_of_a_profile_that_was_forgotten_since_makes_no_bucket(database: Database):
    state = load(database, 10)
    write(database, state, event(0, "forgotten", role="scorer", at=NOON + 1))
    write(database, state, anomaly(0, scored_at=NOON))

    assert rows_of(database) == []


def test_another_process_on_the_store_sees_what_changed(database: Database):
    state, other = load(database, 10), LaneMemory()
    wanted = Wanted(NOON - HOUR, NOON + HOUR)
    write(database, state, anomaly(0))
    assert find_lanes(other, database, wanted).totals == [1]
    write(database, state, anomaly(1), anomaly(2, scored_at=NOON + HOUR // 2))
    assert find_lanes(other, database, wanted).totals == [3]

    write(database, state, event(0, "forgotten", role="scorer", at=NOON + HOUR))

    assert find_lanes(other, database, wanted).totals == []


def test_a_page_that_did_not_change_is_read_once(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0), anomaly(1, scored_at=NOON - HOUR))
    for _ in range(3):
        lanes(database, state, since=NOON - 2 * HOUR)

    assert state.lanes.read == 2


def test_memory_lets_go_of_pages_that_were_asked_for_longest_ago(database: Database):
    state = load(database, 10)
    for number in range(6):
        write(database, state, anomaly(number, f"p{number}", scored_at=NOON + number * HOUR))
    memory = LaneMemory(most_rows=2)
    for number in range(6):
        begin = NOON + number * HOUR
        found = find_lanes(memory, database, Wanted(begin, begin + HOUR))
        assert worst(found) == {("features", f"p{number}"): ["high"]}

    assert len(memory.rows(database, NOON, NOON + 6 * HOUR)) == 6
    assert sum(len(page) for _, page in memory._pages.values()) == 6


def test_old_hours_go_with_the_verdicts(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0), anomaly(1, scored_at=NOON + 2 * HOUR))

    clean(database, NOON + 2 * HOUR, HOUR)

    assert [row["bucket"] for row in rows_of(database)] == [NOON + 2 * HOUR]
    with database.read() as connection:
        hours = list(connection.execute(select(lane_pages.c.page)).scalars())
    assert hours == [NOON + 2 * HOUR]


def test_one_critical_anomaly_stands_before_many_lesser_ones(database: Database):
    state = load(database, 10)
    write(
        database,
        state,
        *(anomaly(n, "many", severity="low") for n in range(9)),
        anomaly(9, "grave", severity="critical"),
    )

    assert list(worst(lanes(database, state))) == [("features", "grave"), ("features", "many")]
    assert list(worst(lanes(database, state, sort="count"))) == [
        ("features", "many"),
        ("features", "grave"),
    ]


def test_a_hidden_severity_shows_nothing_and_does_not_count(database: Database):
    state = load(database, 10)
    write(
        database,
        state,
        anomaly(0, "a", severity="critical"),
        anomaly(1, "a", severity="low"),
        anomaly(2, "b", severity="critical"),
    )

    found = lanes(database, state, severities=("low", "medium"))

    assert worst(found) == {("features", "a"): ["low"]}
    assert (found.totals, found.lanes_in_all) == ([1], 1)
    assert sum(found.overall.counts) == 1


def test_lanes_of_kinds_features_and_attributes(database: Database):
    state = load(database, 10)
    write(
        database,
        state,
        anomaly(0, "a", severity="low", reasons=reasons("cpu")),
        anomaly(1, "b", severity="high", reasons=reasons("disk")),
        anomaly(2, "c", severity="high", reasons=reasons("disk"), kind="series"),
    )
    site = {("features", "a"): "Graz", ("features", "b"): "Graz"}

    assert worst(lanes(database, state, view="kind")) == {
        ("features",): ["high"],
        ("series",): ["high"],
    }
    assert worst(lanes(database, state, view="feature")) == {("disk",): ["high"], ("cpu",): ["low"]}
    assert worst(lanes(database, state, view="attribute", attribute=site)) == {
        ("Graz",): ["high"],
        ("unknown",): ["high"],
    }
    assert worst(lanes(database, state, kind="series")) == {("series", "c"): ["high"]}


def test_an_organisation_sees_its_own_profiles_only(database: Database):
    state = load(database, 10)
    write(database, state, anomaly(0, "mill-1"), anomaly(1, "plant-1", severity="critical"))

    found = lanes(database, state, prefix="mill-")

    assert worst(found) == {("features", "mill-1"): ["high"]}
    assert sum(found.overall.counts) == 1
    assert sum(found.counts["critical"]) == 0


def test_the_top_lanes_are_shown_and_the_rest_is_counted(database: Database):
    state = load(database, 10)
    write(database, state, *(anomaly(n, f"p{n:02d}") for n in range(25)))

    found = lanes(database, state, top=10)

    assert (len(found.lanes), found.lanes_in_all, sum(found.overall.counts)) == (10, 25, 25)


@pytest.mark.parametrize("hours", [1, 6, 24, 24 * 7, 24 * 90, 24 * 366])
def test_intervals_are_whole_buckets_and_few(hours: int):
    width = width_of(NOON, NOON + hours * HOUR)

    assert width in WIDTHS
    assert hours * HOUR / width <= 96


def test_a_stretch_of_time_without_anomalies_has_an_empty_lane(database: Database):
    found = lanes(database, load(database, 10))

    assert (found.lanes, found.totals, sum(found.overall.counts)) == ([], [], 0)
    assert len(found.starts) >= 24


def test_an_upgrade_fills_the_lanes_from_the_verdicts(store_url: str):
    found = Database(ConsoleSettings(_env_file=None, database_url=store_url).database)
    found.upgrade("0002")
    hostile = {"score": 0.9, "reasons": [{"feature": "a\x00\ud83d\ude00'\"; --"}]}
    rows = [
        _verdict_row("1", {"score": 0.5, "reasons": [{"feature": "cpu"}]}),
        _verdict_row("2", {"score": 0.7, "reasons": [{"feature": "cpu"}]}),
        _verdict_row("3", hostile),
        _verdict_row("4", {}),
        _verdict_row("5", {}, suppressed=True),
        _verdict_row("6", {}, anomaly=False, severity="none"),
    ]
    with found.write() as connection:
        connection.execute(insert(t.verdicts), rows)

    found.upgrade()

    told = {row["feature"]: (row["anomalies"], row["score"]) for row in rows_of(found)}
    found.close()
    assert told.pop("cpu") == (2, 0.7)
    assert told.pop("") == (1, None)
    assert list(told.values()) == [(1, 0.9)]


def _verdict_row(verdict_id: str, body: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    row = {
        "verdict_id": verdict_id,
        "kind": "features",
        "partition": 0,
        "profile_id": "p",
        "status": "scored",
        "anomaly": True,
        "severity": "high",
        "suppressed": False,
        "observed_at": NOON,
        "scored_at": NOON,
        "weight": 1.0,
        "body": body,
    }
    return row | wanted


def profiles(*names: str) -> Profiles:
    made = Profiles(b"key", {})
    for offset, name in enumerate(names):
        for item in items(verdict(offset, name)):
            made.fold(0, item.seen)
    return made


def test_a_search_finds_the_same_id_then_those_that_begin_so_then_those_that_hold_it():
    known = profiles("a-pump-1", "PUMP-12", "pump-1", "fan-1", "pump-10")

    found = [state.profile_id for state in search(known, "", "Pump-1")]

    assert found == ["pump-1", "PUMP-12", "pump-10", "a-pump-1"]


def test_a_search_finds_only_what_the_caller_sees():
    known = profiles("mill-pump", "plant-pump")

    assert [state.profile_id for state in search(known, "mill-", "pump")] == ["mill-pump"]
