"""What the overview says: anomalies by interval, states of profiles, rates, health."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, case, func, literal_column, select

from console.auth.permissions import Caller
from console.live.state import LiveState, now_ms
from console.live.statistics import ALARMS
from console.services import Services
from console.store import tables as t

STEPS = {"10s": 10_000, "1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}
"""Lengths of an interval that the chart can have, in milliseconds."""

INTERVALS = 60
SILENT_MS = 86_400_000
"""A profile without a verdict for so long is silent."""

ROLE_MS = 60_000
"""A role that has said nothing for so long is shown as quiet."""

KEPT_SECONDS = 4.0
"""So long the states of all profiles are not counted again."""

RATE_SECONDS = 60.0
STATES = ("learning", "active", "drifting", "silent", "suppressed")
MODEL_EVENTS = ("trained", "adopted", "refused", "rolled_back", "training_failed", "model_lost")
DAY_MS = 86_400_000


@dataclass
class Pulse:
    """What the overview remembers between two looks; one for a process."""

    _totals: dict[tuple[str, str], deque[tuple[float, int]]] = field(default_factory=dict)
    _states: dict[tuple[str, str], tuple[float, Counter[str]]] = field(default_factory=dict)

    def rate(self, console: Services, who: Caller, total: int) -> float | None:
        """Records a second over the latest minute; None at the first look.

        Args:
            total: how many there were until now.
        """
        at = (console.kafka.topic_prefix, who.counted or "")
        now = monotonic()
        held = self._totals.setdefault(at, deque(maxlen=1000))
        while held and now - held[0][0] > RATE_SECONDS:
            held.popleft()
        if not held or now - held[-1][0] >= 0.5:
            held.append((now, total))
        since, before = held[0]
        return None if now - since < 1 else max(0, total - before) / (now - since)

    def states(self, console: Services, who: Caller) -> Counter[str]:
        """How many of the caller's profiles are in each state, some seconds old at most."""
        at = (console.kafka.topic_prefix, who.profile_prefix)
        known = self._states.get(at)
        if known is not None and monotonic() - known[0] < KEPT_SECONDS:
            return known[1]
        found = count_states(console.state, who, now_ms())
        self._states[at] = (monotonic(), found)
        return found


def count_states(state: LiveState, who: Caller, now: int) -> Counter[str]:
    """How many profiles are learning or active; and of all, drifting, silent, suppressed."""
    found: Counter[str] = Counter()
    before = now - SILENT_MS
    for profile in state.profiles.all():
        if not who.sees(profile.profile_id):
            continue
        found[profile.state] += 1
        if profile.drifting_since is not None:
            found["drifting"] += 1
        if (profile.last_verdict_at or 0) < before:
            found["silent"] += 1
        if profile.suppressed and profile.is_suppressed(now):
            found["suppressed"] += 1
    return found


def intervals(console: Services, who: Caller, step: int) -> tuple[list[int], dict[str, list[int]]]:
    """The begins of the latest intervals, and how many anomalies each has by severity."""
    last = now_ms() // step * step
    begins = [last - n * step for n in reversed(range(INTERVALS))]
    kept = t.verdicts.c
    place = (kept.scored_at - begins[0]) // step
    query = (
        select(place, kept.severity, func.count())
        .where(kept.scored_at >= begins[0], kept.anomaly, who.own(kept.profile_id))
        .group_by(place, kept.severity)
    )
    found = {name: [0] * INTERVALS for name in ALARMS}
    with console.database.read() as connection:
        for number, severity, records in connection.execute(query):
            # A clock of another machine may be ahead: what it says counts as now.
            if severity in found:
                found[severity][min(int(number), INTERVALS - 1)] += records
    return begins, found


def chart(begins: list[int], found: dict[str, list[int]]) -> dict[str, Any]:
    """The figure of anomalies by interval, one colour a severity; times are epoch milliseconds."""
    bars = [
        {
            "type": "bar",
            "name": name,
            "x": begins,
            "y": found[name],
            "marker": {"color": f"var(--{name})"},
            "hovertemplate": f"%{{y}} {name}<extra></extra>",
        }
        for name in ALARMS
    ]
    most = max(sum(found[name][n] for name in ALARMS) for n in range(len(begins)))
    layout = {
        "barmode": "stack",
        "bargap": 0.15,
        "hovermode": "x unified",
        "showlegend": True,
        "legend": {"orientation": "h", "y": 1.12, "x": 0, "traceorder": "normal"},
        "xaxis": {"type": "date", "showgrid": False},
        "yaxis": {"rangemode": "tozero", "range": [0, max(4, most * 1.1)], "fixedrange": True},
        "margin": {"l": 40, "r": 8, "t": 28, "b": 28},
    }
    return {"data": bars, "layout": layout}


def worst(console: Services, who: Caller, since: int, most: int = 8) -> list[dict[str, Any]]:
    """The profiles with the gravest and most anomalies since a time."""
    kept = t.verdicts.c
    rank = func.max(case({name: n for n, name in enumerate(ALARMS)}, value=kept.severity))
    records = func.count()
    # As no columns of an index: SQLite would read all profiles' anomalies in the order of groups.
    empty: ColumnElement[str] = literal_column("''")
    kind, profile_id = func.coalesce(kept.kind, empty), func.coalesce(kept.profile_id, empty)
    query = (
        select(kind, profile_id, records, rank, func.max(kept.scored_at))
        .where(kept.scored_at >= since, kept.anomaly, ~kept.suppressed, who.own(kept.profile_id))
        .group_by(kind, profile_id)
        .order_by(rank.desc(), records.desc(), profile_id)
        .limit(most)
    )
    names = ("kind", "profile_id", "anomalies", "rank", "at")
    with console.database.read() as connection:
        rows = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
    return [row | {"severity": ALARMS[row["rank"]]} for row in rows]


def happened(
    console: Services, who: Caller, most: int, names: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """The latest lifecycle events; of some names, those of the latest day alone."""
    told = t.lifecycle_events.c
    query = select(
        told.event, told.kind, told.profile_id, told.version, told.detail, told.at, told.role
    ).where(who.own(told.profile_id))
    if names:
        query = query.where(told.event.in_(names), told.at >= now_ms() - DAY_MS)
    query = query.order_by(told.at.desc(), told.partition.desc(), told.offset.desc()).limit(most)
    with console.database.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def health(console: Services) -> list[dict[str, Any]]:
    """What works and what does not: a line each, with a word and what it is about."""
    says, now = console.follow.says, now_ms()
    lines = [
        _line("Broker", says.kafka, "answers"),
        _line("Store", says.store, "answers"),
        _line("Projection", says.fatal or says.projection, "up to date"),
    ]
    for role in ("scorer", "retrainer"):
        at = console.state.roles.get(role)
        if at is None:
            word, told = "unknown", "not heard since this console began"
        else:
            word, told = ("good", "heard") if now - at < ROLE_MS else ("quiet", "last heard")
        lines.append({"name": role.capitalize(), "word": word, "detail": told, "at": at})
    return lines


def _line(name: str, wrong: str | None, good: str) -> dict[str, Any]:
    return {"name": name, "word": "wrong" if wrong else "good", "detail": wrong or good, "at": None}
