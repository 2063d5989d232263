"""How fast swim lanes are found: python -m benchmarks.console_lanes [sqlite:///FILE].

Writes a day of anomalies of 100,000 profiles by the projection's own code, then asks for lanes as
pages do: once with nothing in memory, then again and again while the latest ones go on changing.
"""

from __future__ import annotations

import random
import sys
import tempfile
from statistics import median
from time import perf_counter

from sqlalchemy import func, insert, select

from console.figures import SEVERITIES
from console.lanes.memory import LaneMemory
from console.lanes.query import Wanted, find_lanes
from console.lanes.search import search
from console.lanes.tables import lane_buckets, lane_pages
from console.lanes.writing import BUCKET_MS, PAGE_MS
from console.live.profiles import Profiles
from console.serve import collect_seldom
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database

PROFILES, ANOMALIES, DAY_MS, TIMES = 100_000, 300_000, 86_400_000, 9
NOW = 1_800_000_000_000
CHUNK = 20_000


def main(url: str) -> None:
    """Print the time of each kind of query."""
    database = Database(ConsoleSettings(_env_file=None, database_url=url).database)
    database.upgrade()
    with database.write() as connection:
        if connection.execute(select(func.count()).select_from(lane_buckets)).scalar() == 0:
            _fill(connection)
    collect_seldom()
    memory = LaneMemory()
    at = perf_counter()
    found = find_lanes(memory, database, Wanted(NOW - DAY_MS, NOW))
    held = len(memory.rows(database, NOW - DAY_MS, NOW))
    print(f"{held:,} buckets of {found.lanes_in_all:,} profiles")
    print(f"first query, nothing in memory: {1000 * (perf_counter() - at):.0f} ms")
    for name, wanted in (
        ("profiles", Wanted(NOW - DAY_MS, NOW, top=50)),
        (
            "profiles by count, one severity",
            Wanted(NOW - DAY_MS, NOW, "profile", "count", 50, ("low",)),
        ),
        ("features", Wanted(NOW - DAY_MS, NOW, "feature")),
        ("kinds", Wanted(NOW - DAY_MS, NOW, "kind")),
        ("profiles of one organisation", Wanted(NOW - DAY_MS, NOW, prefix="pump-00")),
        ("one hour", Wanted(NOW - DAY_MS // 24, NOW)),
    ):
        times = []
        for _ in range(TIMES):
            with database.write() as connection:
                _change(connection, database)
            at = perf_counter()
            find_lanes(memory, database, wanted)
            times.append(perf_counter() - at)
        print(
            f"{name}, the latest quarter of an hour changed: median {1000 * median(times):.0f} ms, "
            f"worst {1000 * max(times):.0f} ms"
        )
    _search()
    database.close()


def _fill(connection: object) -> None:
    draw = random.Random(1)  # noqa: S311
    seen: dict[tuple[object, ...], int] = {}
    for _ in range(ANOMALIES):
        number = draw.randrange(PROFILES)
        bucket = (NOW - draw.randrange(1, DAY_MS)) // BUCKET_MS * BUCKET_MS
        severity = draw.choices(SEVERITIES, [8, 4, 2, 1])[0]
        key = (
            bucket,
            "features",
            number % 8,
            f"pump-{number:06d}",
            draw.choice("abcdefgh"),
            severity,
        )
        seen[key] = seen.get(key, 0) + 1
    names = [column.name for column in lane_buckets.columns]
    rows = [dict(zip(names, (*k, n, draw.random()), strict=True)) for k, n in sorted(seen.items())]
    pages = sorted({row["bucket"] // PAGE_MS * PAGE_MS for row in rows})
    connection.execute(insert(lane_buckets), rows)  # type: ignore[attr-defined]
    connection.execute(  # type: ignore[attr-defined]
        insert(lane_pages), [{"page": page, "changes": 1} for page in pages]
    )


def fill_lanes(database: Database) -> None:
    """Write the buckets that the projection would have written beside the anomalies of a store."""
    kept = t.verdicts.c
    found: dict[tuple[object, ...], int] = {}
    query = select(kept.kind, kept.partition, kept.profile_id, kept.severity, kept.scored_at).where(
        ~kept.suppressed
    )
    with database.read() as connection:
        for number, row in enumerate(connection.execute(query)):
            bucket, feature = row.scored_at // BUCKET_MS * BUCKET_MS, f"f{number % 3}"
            key = (bucket, row.kind, row.partition, row.profile_id, feature, row.severity)
            found[key] = found.get(key, 0) + 1
    _write(database, [(*key, many, 0.9) for key, many in sorted(found.items())])


def _write(database: Database, rows: list[tuple[object, ...]]) -> None:
    names = [column.name for column in lane_buckets.columns]
    pages = sorted({int(str(row[0])) // PAGE_MS * PAGE_MS for row in rows})
    for begin in range(0, len(rows), CHUNK):
        many = [dict(zip(names, row, strict=True)) for row in rows[begin : begin + CHUNK]]
        with database.write() as connection:
            connection.execute(insert(lane_buckets), many)
    with database.write() as connection:
        connection.execute(insert(lane_pages), [{"page": page, "changes": 1} for page in pages])


def _change(connection: object, database: Database) -> None:
    page = (NOW - 1) // PAGE_MS * PAGE_MS
    connection.execute(  # type: ignore[attr-defined]
        database.insert(lane_pages)
        .values(page=page, changes=1)
        .on_conflict_do_update(index_elements=["page"], set_={"changes": lane_pages.c.changes + 1})
    )


def _search() -> None:
    profiles = Profiles(b"key", {})
    blank = dict.fromkeys(column.name for column in t.profiles.columns)
    profiles.load(
        blank
        | {
            "kind": "features",
            "partition": number % 8,
            "profile_id": f"pump-{number:06d}",
            "state": "active",
            "updated_at": NOW,
        }
        for number in range(PROFILES)
    )
    for text in ("pump-09999", "99", "nothing"):
        times = []
        for _ in range(TIMES):
            at = perf_counter()
            search(profiles, "", text)
            times.append(perf_counter() - at)
        print(f"search of {PROFILES:,} profiles for {text!r}: median {1000 * median(times):.0f} ms")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{scratch}/lanes.db")
