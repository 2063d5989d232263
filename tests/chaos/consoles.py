"""Two consoles on one store, killed again and again; it must hold what the topics say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

import orjson
from sqlalchemy import select

from console.settings import ConsoleSettings
from console.store import tables as t
from console.store.database import Database
from processor.records import ConsumerRecord
from processor.topics import Topics
from tests.chaos.cast import Cast
from tests.chaos.verify import Finding

SLOTS = (("console", "0"), ("console", "1"))
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.5

Sorts = Counter[tuple[str, str, str]]
"""Verdicts by kind, status and severity."""


class Consoles:
    """The consoles of a run, and what of the topics their store must hold."""

    def __init__(self, directory: Path, environment: Mapping[str, str], topics: Topics) -> None:
        self._topics = topics
        url = f"sqlite:///{directory}/console.db"
        self._database = Database(ConsoleSettings(_env_file=None, database_url=url).database)
        self._database.upgrade()
        own = {
            "TELLTALE_DATABASE_URL": url,
            "TELLTALE_CONSOLE_PORT": "0",
            "TELLTALE_CONSOLE_METRICS_PORT": "0",
        }
        self._cast = Cast(dict(environment) | own, directory / "logs")
        self._verdicts: Sorts = Counter()
        self._anomalies: set[str] = set()
        for slot in SLOTS:
            self._cast.start(slot)

    def take(self, record: ConsumerRecord) -> None:
        """Count a verdict of the topic."""
        if record.topic == self._topics.anomalies:
            said = orjson.loads(record.value or b"")
            self._verdicts[said["kind"], said["status"], said["severity"]] += 1
            if said["anomaly"]:
                self._anomalies.add(said["verdict_id"])

    def kills(self, rng: Random, note: Callable[[str], None]) -> Iterator[float]:
        """Kill -9 of one, then of one of both, without an end; gives the seconds in between."""
        while True:
            yield rng.uniform(3.0, 10.0)
            slot = rng.choice(SLOTS)
            note(f"kill {slot}")
            self._cast.kill(slot)

    def check(self) -> list[Finding]:
        """Wait until the store has all that was counted; what it has otherwise."""
        until = monotonic() + PATIENCE_SECONDS
        while (found := self._findings()) and monotonic() < until:
            sleep(LOOK_SECONDS)
        problems = [Finding("process", "console", text) for text in self._cast.problems]
        self._cast.problems.clear()
        return [*found, *problems]

    def _findings(self) -> list[Finding]:
        hours, kept, days = t.verdict_hours.c, t.verdicts.c, t.profile_days.c
        held: Sorts = Counter()
        by_day: Counter[tuple[str, str]] = Counter()
        with self._database.read() as connection:
            for kind, status, severity, records in connection.execute(
                select(hours.kind, hours.status, hours.severity, hours.records)
            ):
                held[kind, status, severity] += records
            ids = set(connection.execute(select(kept.verdict_id).where(kept.anomaly)).scalars())
            for row in connection.execute(
                select(days.kind, days.learning, days.scored, days.abstained)
            ):
                for status in ("learning", "scored", "abstained"):
                    by_day[row.kind, status] += getattr(row, status)
        of_topic: Counter[tuple[str, str]] = Counter()
        for (kind, status, _), records in self._verdicts.items():
            of_topic[kind, status] += records
        found = [*_differences("verdict_hours", self._verdicts, held)]
        found += _differences("profile_days", of_topic, by_day)
        found += [Finding("lost", name, "no row of verdicts") for name in self._anomalies - ids]
        found += [Finding("doubled", name, "not in the topic") for name in ids - self._anomalies]
        return found

    def close(self) -> None:
        """Kill both."""
        self._cast.close()
        self._database.close()


def _differences(table: str, wanted: Mapping[Any, int], held: Mapping[Any, int]) -> list[Finding]:
    """Where the store's counts are not those of the topic."""
    return [
        Finding(
            "lost" if held[sort] < wanted[sort] else "doubled",
            f"console {table} {'/'.join(sort)}",
            f"{held[sort]} verdicts of {wanted[sort]}",
        )
        for sort in sorted(wanted.keys() | held.keys())
        if held[sort] != wanted[sort]
    ]
