"""Rows that come of the topics alone: read again they are the same, and days are counted once."""

import random
import signal
from collections import Counter
from typing import Any

from sqlalchemy import create_engine, text

from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from tests.broker.consoles import start
from tests.broker.harness import Telltale
from tests.broker.test_console import score

REBUILT = (
    t.verdicts,
    t.profiles,
    t.model_versions,
    t.lifecycle_events,
    t.dead_letters,
    t.verdict_hours,
    t.event_hours,
    t.lane_buckets,
    t.profile_days,
    t.feature_days,
    t.projections,
)
NOT_COMPARED = {"created_at", "updated_at", "last_verdict_at", "bins"}
"""When a row was written; the time of a profile's last verdict, which is written once a minute;
bins, which begin once there are edges: the artefact they are from is there earlier the second
time."""

SAMPLE = {"TELLTALE_CONSOLE_SAMPLE": "20"}


def database_of(store_url: str) -> Database:
    return Database(ConsoleSettings(_env_file=None, database_url=store_url).database)


def rows_of(database: Database) -> dict[str, list[str]]:
    found = {}
    with database.read() as connection:
        for table in REBUILT:
            own = [c.name for c in table.columns if c.name not in NOT_COMPARED]
            rows = connection.execute(table.select()).mappings()
            found[table.name] = sorted(repr([told(row[name]) for name in own]) for row in rows)
    return found


def told(value: Any) -> Any:
    """Sums of floats depend on their order in the last bits."""
    return f"{value:.9g}" if isinstance(value, float) else value


def records_of(profiles: int, each: int, seed: int) -> list[tuple[str, Any]]:
    rng = random.Random(seed)
    return [
        (f"p{n % profiles}", {"values": {"a": rng.gauss(0, 1) if rng.random() > 0.1 else 1e6}})
        for n in range(profiles * each)
    ]


def days_counted(database: Database) -> tuple[Counter[str], Counter[str]]:
    """Verdicts of each profile by `profile_days`, and samples of each by `feature_days`."""
    judged, accepted = Counter[str](), Counter[str]()
    with database.read() as connection:
        for row in connection.execute(t.profile_days.select()):
            judged[row.profile_id] += row.learning + row.scored + row.abstained
        for row in connection.execute(t.feature_days.select()):
            accepted[row.profile_id] += row.n + row.missing
    return judged, accepted


def accepted_in(telltale: Telltale) -> Counter[str]:
    """Samples of each profile on `accepted-normal`."""
    found = Counter[str]()
    for body in telltale.values("accepted-normal"):
        found[body["profile_id"]] += len(body["vectors"])
    return found


def test_a_store_that_is_read_again_from_the_topics_has_the_same_rows(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(3)
    score(telltale)
    console = start(telltale, store_url, **SAMPLE)
    records = [*records_of(6, 60, 1), ("p0", {"values": {"a": "wrong"}})]
    assert telltale.produce("telemetry.features", records) == len(records)
    verdicts = telltale.wait_for(len(records) - 1)
    expected = Counter(verdict["profile_id"] for verdict in verdicts)
    database = database_of(store_url)

    def complete() -> bool:
        statistics = console.json("/statistics")
        if (statistics["total_events"], statistics["dead_letters"]) != (len(verdicts), 1):
            return False
        samples = sum(days_counted(database)[1].values())
        events = len(rows_of(database)["lifecycle_events"])
        models = len(rows_of(database)["model_versions"])
        return (days_counted(database)[0], samples, events, models) == (
            expected,
            sum(accepted_in(telltale).values()),
            len(telltale.values("lifecycle")),
            len(expected),
        )

    telltale.wait_until(complete, "all verdicts and days are in the store")
    assert telltale.stop(console.process) == 0
    before = rows_of(database)
    engine = create_engine(database.engine.url)
    with engine.begin() as connection:
        for table in (*REBUILT, t.lane_pages, t.feature_edges):
            connection.execute(text(f'DELETE FROM "{table.name}"'))  # noqa: S608  (own names)
    engine.dispose()
    emptied = rows_of(database)

    console = start(telltale, store_url, **SAMPLE)

    telltale.wait_until(complete, "everything is read again")
    assert telltale.stop(console.process) == 0
    after = rows_of(database)
    assert not any(emptied.values())
    assert all(before.values())
    for name, rows in before.items():
        assert after[name] == rows, name
    database.close()


def test_days_are_counted_once_though_a_console_of_two_is_killed(
    telltale: Telltale, store_url: str
):
    telltale.create_topics(3)
    score(telltale)
    consoles = [start(telltale, store_url, **SAMPLE) for _ in range(2)]
    database = database_of(store_url)
    sent = 0
    for round_ in range(3):
        records = records_of(10, 100, round_)
        sent += telltale.produce("telemetry.features", records)

        def begun() -> bool:
            return sum(days_counted(database)[0].values()) > 0

        telltale.wait_until(begun, "days are counted")
        victim = consoles[round_ % 2]
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        consoles[round_ % 2] = start(telltale, store_url, **SAMPLE)
    verdicts = telltale.wait_for(sent)
    judged = Counter(verdict["profile_id"] for verdict in verdicts)
    accepted = accepted_in(telltale)

    def all_counted() -> bool:
        counts = [counts.total() for counts in days_counted(database)]
        return counts[0] >= judged.total() and counts[1] >= accepted.total()

    telltale.wait_until(all_counted, "all verdicts and samples are counted by day")

    assert [telltale.stop(console.process) for console in consoles] == [0, 0]
    assert days_counted(database) == (judged, accepted)
    assert accepted.total() > 0
    database.close()
