"""The anomalies that a page or an export shows: which are wanted, in pages by a cursor."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from fastapi import Query
from sqlalchemy import Select, func, select, tuple_

from console.answers import Word, place, rfc3339
from console.auth.permissions import Caller
from console.live.state import now_ms
from console.pages import words
from console.routes.verdicts import moment
from console.services import Services
from console.store import tables as t

LASTS = {"1h": 3_600_000, "24h": 86_400_000, "7d": 7 * 86_400_000, "30d": 30 * 86_400_000}
SEVERITIES = ("critical", "high", "medium", "low")
LABELS = ("none", "anomaly", "normal", "unsure")
CHUNK = 1000
MOST_EXPORTED = 100_000
COLUMNS = (
    "scored_at",
    "severity",
    "kind",
    "profile_id",
    "score",
    "p_value",
    "reasons",
    "label",
    "note",
    "suppressed",
    "model_version",
    "observed_at",
    "verdict_id",
)
ABSENT = {
    "score": None,
    "p_value": None,
    "decision": None,
    "severity": "none",
    "rule_severity": None,
    "model_version": None,
    "regime": None,
    "late": False,
    "suppressed": False,
    "source": None,
    "samples_omitted": 0,
    "observed_at": None,
}
"""What a verdict of an older version may lack."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Wanted:
    """Which anomalies are wanted; all where nothing is said."""

    severity: Annotated[
        list[Literal["low", "medium", "high", "critical"]] | None, Query(max_length=4)
    ] = None
    kind: Annotated[Word | None, Query()] = None
    profile_id: Annotated[Word | None, Query()] = None
    label: Annotated[Literal["", "none", "anomaly", "normal", "unsure"] | None, Query()] = None
    suppressed: Annotated[Literal["", "true", "false"] | None, Query()] = None
    last: Annotated[Literal["", "1h", "24h", "7d", "30d"] | None, Query()] = None
    since: Annotated[Word | None, Query(description="RFC 3339.")] = None
    until: Annotated[Word | None, Query(description="RFC 3339.")] = None

    @property
    def anything(self) -> bool:
        """Whether something is said."""
        return any(vars(self).values())

    def conditions(self, who: Caller) -> list[Any]:
        """The same as conditions on verdicts joined with labels.

        Raises:
            Problem: 422, a time is none.
        """
        kept, said = t.verdicts.c, t.labels.c
        found = [kept.anomaly, who.own(kept.profile_id)]
        if self.severity:
            found.append(kept.severity.in_(self.severity))
        if self.kind and not self.profile_id:
            # As no column of an index: SQLite would read all of the kind and sort them.
            found.append(func.coalesce(kept.kind, "") == self.kind)
        elif self.kind:
            found.append(kept.kind == self.kind)
        if self.profile_id:
            found.append(kept.profile_id == self.profile_id)
        if self.suppressed:
            found.append(kept.suppressed if self.suppressed == "true" else ~kept.suppressed)
        if self.label == "none":
            found.append(said.verdict_id.is_(None))
        elif self.label:
            found.append(said.label == self.label)
        if self.last:
            found.append(kept.scored_at >= now_ms() - LASTS[self.last])
        if self.since:
            found.append(kept.scored_at >= moment(self.since, "since"))
        if self.until:
            found.append(kept.scored_at < moment(self.until, "until"))
        return found


def complete(body: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A verdict with all fields that pages name, whatever version wrote it."""
    lists = {
        name: [each for each in body.get(name) or () if isinstance(each, dict)]
        for name in ("reasons", "samples")
    }
    return {**ABSENT, **body, **lists, **more}


def _query(wanted: Wanted, who: Caller, after: list[Any] | None, most: int) -> Select[Any]:
    kept, said = t.verdicts.c, t.labels.c
    columns = (kept.verdict_id, kept.scored_at, kept.body, said.label, said.note)
    labelled = wanted.label not in (None, "", "none")
    joined = t.verdicts.join(t.labels, said.verdict_id == kept.verdict_id, isouter=not labelled)
    query = select(*columns).select_from(joined).where(*wanted.conditions(who))
    # Of the few that have a label, all are read and sorted: in the order of time, a store would
    # look for a label of each of a million others first.
    at = kept.scored_at + 0 if labelled else kept.scored_at
    if after is not None:
        query = query.where(tuple_(at, kept.verdict_id) < tuple_(*after))
    return query.order_by(at.desc(), kept.verdict_id.desc()).limit(most)


def find(
    console: Services, who: Caller, wanted: Wanted, after: str | None, most: int
) -> tuple[list[dict[str, Any]], list[Any] | None]:
    """The newest anomalies behind a cursor, and the place behind which others follow.

    Raises:
        Problem: 422, the cursor or a time is none.
    """
    query = _query(wanted, who, place(after, int, str), most + 1)
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    items = [complete(row.body, label=row.label, note=row.note) for row in rows[:most]]
    more = [rows[most - 1].scored_at, rows[most - 1].verdict_id] if len(rows) > most else None
    return items, more


def every(console: Services, who: Caller, wanted: Wanted) -> Iterator[list[dict[str, Any]]]:
    """All of them, up to ``MOST_EXPORTED``, some at a time."""
    after: list[Any] | None = None
    for _ in range(MOST_EXPORTED // CHUNK):
        with console.database.read() as connection:
            rows = connection.execute(_query(wanted, who, after, CHUNK)).all()
        if rows:
            yield [complete(row.body, label=row.label, note=row.note) for row in rows]
        if len(rows) < CHUNK:
            return
        after = [rows[-1].scored_at, rows[-1].verdict_id]


def as_json(chunks: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """A JSON array, written as it is read."""
    yield b"["
    first = True
    for items in chunks:
        for item in items:
            yield (b"\n" if first else b",\n") + orjson.dumps(item)
            first = False
    yield b"\n]\n"


def as_csv(chunks: Iterator[list[dict[str, Any]]]) -> Iterator[bytes]:
    """A table for a spreadsheet: reasons in words, times in UTC, no text that it would run."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for items in chunks:
        for item in items:
            row = item | {
                "reasons": "; ".join(words.sentence(each) for each in item.get("reasons", [])),
                "scored_at": rfc3339(item["scored_at"]),
                "observed_at": rfc3339(item["observed_at"]),
            }
            writer.writerow([_cell(row.get(name)) for name in COLUMNS])
        yield out.getvalue().encode()
        out.seek(0)
        out.truncate()
    yield out.getvalue().encode()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
