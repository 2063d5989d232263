"""The projection: rows and offsets in one transaction, on both kinds of store."""

import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.testing import CapturingLogger

from console.live.events import is_drawn
from console.live.follow import Follow
from console.live.profiles import Profiles
from console.live.state import LiveState, counts_of, load, show
from console.store import projection
from console.store import tables as t
from console.store.database import Database
from console.store.projection import Batch, StoreBehind, organization_of, project
from console.store.rows import Rows
from processor.settings import Settings
from tests.unit.console.records import (
    HOUR,
    NOON,
    anomaly,
    attributes,
    batch,
    dead_letter,
    event,
    items,
    label,
    model,
    verdict,
)

ONE_IN = 1_000_000_000


def take(database: Database, state: LiveState, found: Batch, one_in: int = ONE_IN) -> None:
    show(state, list(found.items))
    project(database, found, state.profiles, one_in, NOON)


def rows(database: Database, table: str) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(text(table))).scalar_one()


def test_anomalies_become_rows_and_all_verdicts_are_counted(database: Database):
    state = load(database, 10)

    take(database, state, batch(*(verdict(n) for n in range(9)), anomaly(9)))

    with database.read() as connection:
        kept = connection.execute(select(t.verdicts.c.verdict_id, t.verdicts.c.weight)).all()
        counts = counts_of(connection).verdicts
        assert projection.offsets(connection) == {("anomalies", 0): 10}
    assert [tuple(row) for row in kept] == [("telemetry.features-0-9", 1.0)]
    assert {key[3:5]: n for key, n in counts.items()} == {
        ("scored", "none"): 9,
        ("scored", "high"): 1,
    }
    assert {key.hour for key in counts} == {NOON}


def test_nul_in_what_records_say_is_replaced(database: Database):
    state = load(database, 10)
    verdict_id = "telemetry.\x00features-0-0"
    said = {"detail": "a\x00b", "command_id": "c\x00", "figures": {"a\x00": "\x00"}}
    told = (
        anomaly(0, verdict_id=verdict_id, note="\x00"),
        event(0, "suppressed", **said),
        label(0, verdict_id, "anomaly", note="x\x00y"),
        attributes(0, {"site\x00": "\x00"}),
    )

    take(database, state, batch(*told))

    with database.read() as connection:
        detail = connection.execute(select(t.lifecycle_events.c.detail)).scalar_one()
        held = t.labels.c
        row = connection.execute(
            select(held.verdict_id, held.note).where(held.verdict_id == verdict_id)
        ).one()
    assert detail == "a\ufffdb"
    assert tuple(row) == ("telemetry.\ufffdfeatures-0-0", "x\ufffdy")
    assert rows(database, "verdicts") == 1


def test_an_exception_tells_no_value_of_a_row(database: Database):
    row = {"profile_hash": "secret", "at": None}
    with pytest.raises(IntegrityError) as told, database.write() as connection:
        connection.execute(insert(t.forgotten), row)

    assert "[SQL parameters hidden" in str(told.value)


def following(database: Database, ended: threading.Event) -> Follow:
    kafka = Settings(_env_file=None, bootstrap_servers="127.0.0.1:1")
    return Follow(
        kafka, database, load(database, 10), receipts=None, writes=False, one_in=1,
        retention_days=1.0, log=CapturingLogger(), failed=ended.set,
    )  # fmt: skip


def test_what_ends_the_projection_is_told_by_its_type_alone(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    def fail(_: Any) -> None:
        raise ValueError("the id of a profile")

    ended = threading.Event()
    monkeypatch.setattr(Follow, "_read", fail)
    follow = following(sqlite, ended)
    follow.start()

    assert ended.wait(20)
    assert follow.stop(20)
    assert follow.says.fatal == "ValueError"


def test_a_store_that_is_away_is_told_by_the_type_of_its_error_alone(sqlite: Database):
    follow = following(sqlite, threading.Event())

    def fail() -> None:
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("at store.example.org"))

    assert not follow._try(fail)
    assert follow.says.store == "OperationalError"


def test_a_batch_that_comes_again_changes_nothing(database: Database):
    state = load(database, 10)
    told = batch(anomaly(0), dead_letter(0, 5), event(0, "trained"), model(0), verdict(1))
    take(database, state, told)
    with database.read() as connection:
        before = counts_of(connection)

    take(database, load(database, 10), told)

    with database.read() as connection:
        assert counts_of(connection) == before
    tables = ("verdicts", "dead_letters", "lifecycle_events", "model_versions", "profiles")
    assert [rows(database, name) for name in tables] == [1, 1, 1, 1, 1]


def test_a_batch_of_which_another_replica_has_written_half_is_counted_once(database: Database):
    state = load(database, 10)
    take(database, state, batch(*(verdict(n) for n in range(6))))

    counts, shared = project(
        database, batch(*(verdict(n) for n in range(3, 10))), state.profiles, ONE_IN, NOON
    )

    assert shared
    assert counts.verdicts.total() == 4
    with database.read() as connection:
        assert counts_of(connection).verdicts.total() == 10


def test_records_that_are_missing_in_the_store_stop_the_projection(database: Database):
    state = load(database, 10)
    take(database, state, batch(verdict(0)))

    with pytest.raises(StoreBehind, match="offset 1, read was on from 5"):
        project(database, batch(verdict(5)), state.profiles, ONE_IN, NOON)

    with database.read() as connection:
        assert counts_of(connection).verdicts.total() == 1


def test_a_transaction_that_fails_leaves_neither_rows_nor_offsets(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError("in the midst")

    monkeypatch.setattr(Rows, "counts", fail)

    with pytest.raises(RuntimeError, match="in the midst"):
        take(database, load(database, 10), batch(anomaly(0)))

    with database.read() as connection:
        assert projection.offsets(connection) == {}
    assert rows(database, "verdicts") == 0


def test_replicas_that_write_at_the_same_time_lose_and_double_nothing(database: Database):
    total, size = 200, 10
    failed: list[BaseException] = []

    def replica() -> None:
        state = load(database, 10)
        try:
            for begin in range(0, total, size):
                take(database, state, batch(*(anomaly(n) for n in range(begin, begin + size))))
        except BaseException as error:
            failed.append(error)

    replicas = [threading.Thread(target=replica) for _ in range(3)]
    for each in replicas:
        each.start()
    for each in replicas:
        each.join(120)

    assert failed == []
    with database.read() as connection:
        assert counts_of(connection).verdicts.total() == total
        assert projection.offsets(connection) == {("anomalies", 0): total}
    assert rows(database, "verdicts") == total


def test_a_verdict_that_somebody_awaits_becomes_a_row_and_is_awaited_no_more(database: Database):
    with database.write() as connection:
        wanted = {"verdict_id": "telemetry.features-0-1", "kind": "features", "profile_id": "p"}
        connection.execute(t.awaited.insert().values(**wanted, expires_at=NOON))

    take(database, load(database, 10), batch(verdict(0), verdict(1)))

    with database.read() as connection:
        kept = connection.execute(select(t.verdicts.c.verdict_id, t.verdicts.c.weight)).all()
    assert [tuple(row) for row in kept] == [("telemetry.features-0-1", 0.0)]
    assert rows(database, "awaited") == 0


def test_a_verdict_awaited_after_another_replica_has_projected_it_becomes_a_row(
    database: Database,
):
    told = batch(verdict(0))
    take(database, load(database, 10), told)
    with database.write() as connection:
        wanted = {"verdict_id": "telemetry.features-0-0", "kind": "features", "profile_id": "p"}
        connection.execute(t.awaited.insert().values(**wanted, expires_at=NOON))

    take(database, load(database, 10), told)

    assert rows(database, "verdicts") == 1


def test_a_restart_knows_profiles_counts_and_offsets(database: Database):
    learning = verdict(0, "new", status="learning", samples_seen=1, model_version=None)
    take(database, load(database, 10), batch(learning, verdict(1, "old"), model(0, "old")))

    again = load(database, 10)

    (new,), (old,) = again.profiles.of("features", "new"), again.profiles.of("features", "old")
    assert (new.state, new.samples_seen, new.samples_needed) == ("learning", 1, 10)
    assert (old.state, old.version, old.detector) == ("active", 1, "gaussian")
    assert again.profiles.states == Counter(learning=1, active=1)
    assert again.offsets == {("anomalies", 0): 2, ("models", 0): 1}
    assert again.totals.all().verdicts.total() == 2


def test_forgetting_deletes_every_row_with_the_id_and_keeps_the_receipt(database: Database):
    state = load(database, 10)
    take(database, state, batch(anomaly(0), anomaly(1, "other"), model(0), event(0, "trained")))

    gone = event(1, "forgotten", role="scorer", command_id="c", at=NOON + 1)
    take(database, state, batch(gone))

    with database.read() as connection:
        for table in t.metadata.sorted_tables:
            held = [dict(row) for row in connection.execute(select(table)).mappings()]
            assert not [row for row in held if row.get("profile_id") == "p"], table.name
        kept = connection.execute(
            select(t.lifecycle_events.c.event, t.lifecycle_events.c.command_id)
        ).all()
    assert [tuple(row) for row in kept] == [("trained", None), ("forgotten", "c")]
    assert rows(database, "verdicts") == 1
    assert state.profiles.of("features", "p") == ()


def test_nothing_of_a_forgotten_profile_is_left_in_the_files_of_sqlite(
    sqlite: Database, tmp_path: Path
):
    state = load(sqlite, 10)
    take(sqlite, state, batch(*(anomaly(n, "somebody-special") for n in range(50))))
    files = [tmp_path / "only.db", tmp_path / "only.db-wal"]
    assert any(b"somebody-special" in file.read_bytes() for file in files)

    take(sqlite, state, batch(event(0, "forgotten", "somebody-special", role="scorer")))
    sqlite.truncate_log()

    assert not any(b"somebody-special" in file.read_bytes() for file in files)


def test_records_of_before_forgetting_that_are_read_after_it_bring_nothing_back(
    database: Database,
):
    state = load(database, 10)
    take(database, state, batch(anomaly(0), event(0, "forgotten", role="scorer", at=NOON + 1)))

    take(database, load(database, 10), batch(anomaly(1), model(0)))
    learns = verdict(2, status="learning", generation=7, samples_seen=1, scored_at=NOON + 2)
    again = load(database, 10)
    take(database, again, batch(learns))

    assert rows(database, "verdicts") == 0
    assert rows(database, "model_versions") == 0
    assert [p.generation for p in again.profiles.of("features", "p")] == [7]


def test_the_newest_version_is_in_force_and_the_earlier_ones_are_kept(database: Database):
    state = load(database, 10)

    take(database, state, batch(model(0), model(1, version=2)))
    take(database, state, batch(model(2, version=3)))

    held = t.model_versions.c
    with database.read() as connection:
        kept = connection.execute(select(held.version, held.in_force).order_by(held.version)).all()
    assert [tuple(row) for row in kept] == [(1, False), (2, False), (3, True)]


def test_series_have_one_row_of_versions_that_go_on_across_generations(database: Database):
    state = load(database, 10)
    told = {"kind": "series", "profile_id": "s"}

    take(database, state, batch(model(0, **told), model(1, version=2, **told)))
    take(database, state, batch(model(2, generation=50, **told)))

    with database.read() as connection:
        query = text("SELECT series_id, version FROM anomaly_detection_models ORDER BY version")
        assert [tuple(row) for row in connection.execute(query)] == [("s", 1), ("s", 2), ("s", 3)]


def test_what_is_counted_is_counted_for_the_organisation_with_the_longest_prefix(
    database: Database,
):
    with database.write() as connection:
        for name, prefix in (("wide", "a"), ("narrow", "ab-")):
            row = {"id": name, "name": name, "profile_prefix": prefix, "created_at": NOON}
            connection.execute(t.organizations.insert().values(row))

    take(database, load(database, 10), batch(verdict(0, "ab-1"), verdict(1, "ax"), verdict(2, "z")))

    with database.read() as connection:
        counts = counts_of(connection).verdicts
    assert {key.organization_id: n for key, n in counts.items()} == {"narrow": 1, "wide": 1, "": 1}


def test_one_normal_verdict_in_so_many_is_drawn_whoever_reads_it(database: Database):
    take(
        database, load(database, 10), batch(*(verdict(n) for n in range(400)), one_in=10), one_in=10
    )

    with database.read() as connection:
        kept = connection.execute(select(t.verdicts.c.verdict_id, t.verdicts.c.weight)).all()
    names = {f"telemetry.features-0-{n}" for n in range(400)}
    assert {row.verdict_id for row in kept} == {name for name in names if is_drawn(name, 10)}
    assert {row.weight for row in kept} == {10.0}
    assert 15 <= len(kept) <= 80


@given(st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=6))
def test_profiles_come_out_the_same_in_any_order_of_topics_and_however_often_records_come(
    order: list[int], again: list[int]
):
    told = items(
        verdict(0, status="learning", samples_seen=1, samples_needed=3, scored_at=NOON),
        verdict(1, status="learning", samples_seen=2, samples_needed=3, scored_at=NOON + 1),
        verdict(2, status="learning", samples_seen=3, samples_needed=3, scored_at=NOON + 2),
        model(0, learned=3, trained_at=NOON + 2),
        anomaly(3, scored_at=NOON + HOUR),
        verdict(4, scored_at=NOON + 2 * HOUR),
    )

    def folded(places: list[int]) -> dict[str, object]:
        profiles = Profiles(b"key", {})
        for place in places:
            profiles.fold(told[place].place[1], told[place].seen)
        ((state),) = profiles.of("features", "p")
        # It is the first record that tells: the earliest is not always read first.
        return {k: v for k, v in state.row().items() if k != "first_seen_at"}

    assert folded([*order, *again]) == folded(list(range(6)))


def test_the_time_of_a_normal_verdict_is_written_once_a_minute_and_is_exact_in_memory(
    database: Database,
):
    state = load(database, 10)
    for offset, seconds in enumerate((0, 30, 59, 61, 90)):
        take(database, state, batch(verdict(offset, scored_at=NOON + seconds * 1000)))

    with database.read() as connection:
        kept = connection.execute(select(t.profiles.c.last_verdict_at)).scalar_one()
    assert kept == NOON + 61_000
    assert [p.last_verdict_at for p in state.profiles.of("features", "p")] == [NOON + 90_000]


def test_words_that_no_scorer_writes_are_not_counted():
    assert [item.seen for item in items(verdict(0, severity="x"), verdict(1, status="y"))] == [
        None,
        None,
    ]
    assert [item.seen for item in items(verdict(2, scored_at=-1), verdict(3, kind=4))] == [
        None,
        None,
    ]


def test_an_organisation_with_topics_of_its_own_takes_no_counts_of_others(database: Database):
    row = {"id": "o", "name": "Mill", "topic_prefix": "mill.", "profile_prefix": None}
    with database.write() as connection:
        connection.execute(insert(t.organizations).values(row | {"created_at": NOON}))
        find = organization_of(connection)

    assert find("mill.1") == ""
