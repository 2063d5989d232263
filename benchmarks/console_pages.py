"""How fast the console's pages answer: python -m benchmarks.console_pages [PATH].

Fills a SQLite store with 100,000 profiles and 1,000,000 anomalies of 90 days, unless PATH is one
that is full, and asks for each page some times, from request to last byte, without network.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from sqlalchemy import func, insert, select

from benchmarks.console_lanes import fill_lanes
from console.app import make_app, make_services
from console.live.state import now_ms
from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from processor.settings import Settings

DAY_MS = 86_400_000
DAYS = 90
CHUNK = 20_000
TIMES = 7
MOST_SECONDS = 0.3
KINDS = ("features", "behavior", "drowsiness", "series")
SEVERITIES = ("low",) * 60 + ("medium",) * 25 + ("high",) * 11 + ("critical",) * 4
FEATURES = (("memory", 129.0, 148.0), ("cpu", 0.21, 0.58), ("latency_ms", 11.0, 42.0))
PAGES = (
    "/ui/overview",
    "/ui/overview?step=1h",
    "/ui/explorer",
    "/ui/explorer?last=30d",
    "/ui/profiles/features/host-504",
    "/ui/anomalies",
    "/ui/anomalies?severity=critical",
    "/ui/anomalies?severity=critical&kind=series",
    "/ui/anomalies?label=none",
    "/ui/anomalies?label=anomaly",
    "/ui/anomalies?kind=features&profile_id=host-500",
    "/ui/models",
    "/ui/models?kind=series",
    "/ui/models?profile_id=host-99",
    "/ui/models/features:host-504",
    "/ui/dead-letters",
    "/ui/settings",
)


def kind_of(number: int) -> str:
    """The kind of the profile with that number."""
    return KINDS[number % len(KINDS)]


def _many(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    held: list[dict[str, Any]] = []
    for row in rows:
        held.append(row)
        if len(held) == CHUNK:
            yield held
            held = []
    if held:
        yield held


def _profiles(profiles: int, now: int) -> Iterator[dict[str, Any]]:
    for number in range(profiles):
        learning = number % 20 == 0
        yield {
            "kind": kind_of(number),
            "partition": number % 8,
            "profile_id": f"host-{number}",
            "state": "learning" if learning else "active",
            "generation": number,
            "samples_seen": 120 if learning else 200,
            "samples_needed": 200,
            "version": None if learning else 1 + number % 5,
            "detector": None if learning else "blend",
            "last_verdict_at": now - (number % 1000) * 100_000,
            "last_anomaly_at": now - (number % 5000) * 60_000,
            "suppressed": number % 400 == 1,
            "suppressed_until": None,
            "suppressed_reason": "maintenance" if number % 400 == 1 else None,
            "drifting_since": now - DAY_MS if number % 90 == 2 else None,
            "first_seen_at": now - DAYS * DAY_MS,
            "updated_at": now,
        }


def _versions(profiles: int, now: int) -> Iterator[dict[str, Any]]:
    for number in range(profiles):
        if number % 20 == 0:
            continue
        latest = 1 + number % 5
        for version in range(1, latest + 1):
            yield {
                "kind": kind_of(number),
                "partition": number % 8,
                "profile_id": f"host-{number}",
                "generation": number,
                "version": version,
                "detector": "blend",
                "artifact": f"{number}/{version}.joblib",
                "sha256": f"{number:064x}",
                "features": [name for name, _, _ in FEATURES],
                "trained_on": 200 * version,
                "learned": 200,
                "pool_count": 500 * (version - 1),
                "alert_budget": 0.01,
                "decision_offset": -0.61,
                "trigger": "cold-start" if version == 1 else "samples",
                "provenance": {"parameters": {"trees": 100}, "seed": 7},
                "figures": {"alarms": 0.0098, "budget": 0.01, "expected": 0.0101},
                "source_offset": None,
                "trained_at": now - (latest - version) * 7 * DAY_MS,
                "in_force": version == latest,
                "created_at": now,
                "updated_at": now,
            }


def verdict_row(number: int, profiles: int, at: int, draw: random.Random) -> dict[str, Any]:
    """An anomaly as the projection writes it."""
    owner = int(profiles * draw.random() ** 2)
    severity = draw.choice(SEVERITIES)
    verdict_id = f"telemetry.{kind_of(owner)}-{owner % 8}-{number}"
    reasons = [
        {
            "feature": name,
            "value": high * (1 + draw.random()),
            "typical": [low, high],
            "contribution": 0.5 / (place + 1),
        }
        for place, (name, low, high) in enumerate(FEATURES)
    ]
    body = {
        "verdict_id": verdict_id,
        "profile_id": f"host-{owner}",
        "kind": kind_of(owner),
        "status": "scored",
        "anomaly": True,
        "score": 0.5 + draw.random() / 2,
        "decision": -draw.random(),
        "p_value": draw.random() / 100,
        "severity": severity,
        "model_version": 1,
        "generation": owner,
        "samples_seen": 200,
        "samples_needed": 200,
        "reasons": reasons,
        "samples": [],
        "suppressed": False,
        "regime": "usual",
        "late": False,
        "source": None,
        "observed_at": at - 400,
        "scored_at": at,
    }
    return {
        "verdict_id": verdict_id,
        "kind": kind_of(owner),
        "partition": owner % 8,
        "profile_id": f"host-{owner}",
        "status": "scored",
        "anomaly": True,
        "severity": severity,
        "suppressed": number % 50 == 0,
        "observed_at": at - 400,
        "scored_at": at,
        "weight": 1.0,
        "body": body,
    }


def fill(database: Database, profiles: int, anomalies: int, days: int = DAYS) -> None:
    """Write profiles, versions, anomalies, some events, dead letters, labels."""
    now, draw = now_ms(), random.Random(7)  # noqa: S311  (what is drawn is no secret)
    step = days * DAY_MS / anomalies
    rows: tuple[tuple[Any, Iterator[dict[str, Any]]], ...] = (
        (t.profiles, _profiles(profiles, now)),
        (t.model_versions, _versions(profiles, now)),
        (
            t.verdicts,
            (
                verdict_row(n, profiles, now - int((anomalies - n) * step), draw)
                for n in range(anomalies)
            ),
        ),
        (t.lifecycle_events, _events(profiles, now)),
        (t.dead_letters, _letters(anomalies // 50, now)),
    )
    for table, found in rows:
        for many in _many(found):
            with database.write() as connection:
                connection.execute(insert(table), many)
    fill_lanes(database)
    with database.write() as connection:
        kept = t.verdicts.c
        held = connection.execute(
            select(kept.verdict_id, kept.kind, kept.partition, kept.profile_id)
            .order_by(kept.verdict_id)
            .limit(min(20_000, anomalies // 20))
        ).all()
        connection.execute(
            insert(t.labels),
            [
                {
                    **row._mapping,
                    "label": ("normal", "anomaly", "unsure")[n % 3],
                    "source": "analyst",
                    "weight": 1.0,
                    "note": None,
                    "by": "ada",
                    "at": now - n,
                    "accepted": False,
                    "record_offset": n,
                }
                for n, row in enumerate(held)
            ],
        )


def _events(profiles: int, now: int) -> Iterator[dict[str, Any]]:
    names = ("trained", "adopted", "refused", "drifting", "suppressed", "resumed")
    for number in range(profiles * 3):
        yield {
            "partition": number % 8,
            "offset": number,
            "event": names[number % len(names)],
            "kind": kind_of(number % profiles),
            "profile_id": f"host-{number % profiles}",
            "generation": 0,
            "version": 2,
            "command_id": None,
            "role": "scorer",
            "detail": None,
            "figures": None,
            "at": now - number * 20_000,
        }


def _letters(many: int, now: int) -> Iterator[dict[str, Any]]:
    reasons = ("invalid_json", "invalid_record", "feature_mismatch", "too_large")
    for number in range(many):
        yield {
            "partition": number % 8,
            "offset": number,
            "reason": reasons[number % 7 % 4],
            "detail": "$.values: expected an object of name and number, got a list of text",
            "source": f"telemetry.features-{number % 8}-{number}",
            "at": now - number * 1000,
            "replayed": 0,
        }


def main(arguments: list[str] | None = None) -> int:
    """Print each page's times; 1 if one is slower than it may be."""
    parser = argparse.ArgumentParser(prog="console_pages", description=__doc__)
    parser.add_argument("path", nargs="?", help="a store to fill, or one that is full")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument("--anomalies", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(options.path or f"{directory}/pages.db")
        url = f"sqlite:///{path}"
        settings = ConsoleSettings(
            _env_file=None,
            database_url=url,
            console_hosts="testserver",
            rate_limit="1000000/second",
        )
        database = Database(settings.database)
        database.upgrade()
        with database.read() as connection:
            held = connection.execute(select(func.count()).select_from(t.profiles)).scalar_one()
        if not held:
            began = perf_counter()
            fill(database, options.profiles, options.anomalies)
            size = path.stat().st_size / 2**20
            print(f"filled in {perf_counter() - began:.0f} s: {size:,.0f} MiB")
        kafka = Settings(_env_file=None, bootstrap_servers="127.0.0.1:1", log_level="error")
        console = make_services(settings, kafka, database)
        client = TestClient(make_app(console, CollectorRegistry()))
        slow = 0
        print(f"{'page':52}  median ms  worst ms    bytes")
        for page in PAGES:
            took = []
            for _ in range(TIMES):
                at = perf_counter()
                told = client.get(page, headers={"Accept": "text/html"})
                took.append(perf_counter() - at)
                assert told.status_code == 200, (page, told.status_code, told.text[:300])
            slow += median(took) > MOST_SECONDS
            print(
                f"{page:52}  {median(took) * 1e3:9.1f}  {max(took) * 1e3:8.1f}  "
                f"{len(told.content):7,}"
            )
        print(f"{slow} of {len(PAGES)} pages above {MOST_SECONDS * 1e3:.0f} ms in the median")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
