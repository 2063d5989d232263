"""What a profile's page shows: its verdicts over time, windows, versions, where it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from console.answers import plain
from console.figures import SEVERITIES, Mark, Span
from console.live.profiles import ProfileState
from console.pages.found_anomalies import complete
from console.services import Services
from console.store import tables as t

MOST, ROWS, EVENTS = 2000, 15, 20
UNTIL = re.compile(r"until (\d{1,15}):")
NOISE = ("trained",)


@dataclass(frozen=True)
class Series:
    """Values over time, for a chart.

    Attributes:
        band: low and high ends of what is expected.
        threshold: between the largest normal and the smallest abnormal score, so far as the kept
            verdicts say it; None of a feature.
    """

    name: str
    times: list[int]
    values: list[float | None]
    marks: list[Mark]
    band: tuple[list[float | None], list[float | None]] | None
    threshold: float | None


def verdicts(
    console: Services, kind: str, profile_id: str, span: tuple[int, int]
) -> list[dict[str, Any]]:
    """The newest kept verdicts of a stretch of time, oldest first, with their labels."""
    kept, said = t.verdicts.c, t.labels.c
    query = (
        select(kept.body, kept.suppressed, said.label, said.note)
        .select_from(t.verdicts.join(t.labels, said.verdict_id == kept.verdict_id, isouter=True))
        .where(
            kept.kind == kind,
            kept.profile_id == profile_id,
            kept.scored_at >= span[0],
            kept.scored_at < span[1],
        )
        .order_by(kept.scored_at.desc())
        .limit(MOST)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    return [complete(row.body, label=row.label, note=row.note) for row in reversed(rows)]


def series(found: Sequence[Mapping[str, Any]], feature: str) -> Series:
    """Scores, or the values of a feature as the reasons of anomalies say them.

    Args:
        found: verdicts, oldest first.
        feature: its name; empty for scores.
    """
    times: list[int] = []
    values: list[float | None] = []
    marks: list[Mark] = []
    low: list[float | None] = []
    high: list[float | None] = []
    for each in found:
        reason = _reason_of(each, feature)
        value = each["score"] if not feature else None if reason is None else reason.get("value")
        if not isinstance(value, int | float):
            continue
        at = each["scored_at"]
        times.append(at)
        values.append(float(value))
        typical = (None, None) if reason is None else _typical(reason)
        low.append(typical[0])
        high.append(typical[1])
        if each["anomaly"] and each["severity"] in SEVERITIES:
            note = _note(each)
            hollow = bool(each["suppressed"])
            marks.append(Mark(at, float(value), each["severity"], each["verdict_id"], note, hollow))
    if feature:
        return Series(feature, times, values, marks, (low, high), None)
    threshold = _threshold(found)
    if threshold is None:
        return Series("score", times, values, marks, None, None)
    low, high = [0.0] * len(times), [threshold] * len(times)
    return Series("score", times, values, marks, (low, high), threshold)


def _reason_of(verdict: Mapping[str, Any], feature: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = next(
        (each for each in verdict["reasons"] if each.get("feature") == feature), None
    )
    return found


def _typical(reason: Mapping[str, Any]) -> tuple[float | None, float | None]:
    ends = reason.get("typical")
    if not isinstance(ends, list) or len(ends) != 2:
        return None, None
    low, high = (float(end) if isinstance(end, int | float) else None for end in ends)
    return low, high


def _note(verdict: Mapping[str, Any]) -> str:
    first = verdict["reasons"][0].get("feature") if verdict["reasons"] else None
    label = f", labelled {verdict['label']}" if verdict.get("label") else ""
    return f"{first or 'no single feature'}{label}"


def _threshold(found: Sequence[Mapping[str, Any]]) -> float | None:
    """Of the latest version that judged an anomaly here."""
    version = next((each["model_version"] for each in reversed(found) if each["anomaly"]), None)
    if version is None:
        return None
    own = [each for each in found if each["model_version"] == version and each["score"] is not None]
    abnormal = [float(each["score"]) for each in own if each["anomaly"]]
    if not abnormal:
        return None
    normal = [
        float(each["score"])
        for each in own
        if not each["anomaly"] and each["status"] == "scored" and each["score"] < min(abnormal)
    ]
    # Only where both sides are close to one another does their middle say anything.
    return (min(abnormal) + max(normal)) / 2 if normal else min(abnormal)


def events(console: Services, kind: str, profile_id: str, since: int) -> list[dict[str, Any]]:
    """What happened to a profile from a time on, and the latest before it; the newest first."""
    told = t.lifecycle_events.c
    query = (
        select(t.lifecycle_events)
        .where(told.kind == kind, told.profile_id == profile_id)
        .order_by(told.at.desc(), told.partition.desc(), told.offset.desc())
        .limit(300)
    )
    with console.database.read() as connection:
        rows = [plain(row) for row in connection.execute(query).mappings()]
    return [row for n, row in enumerate(rows) if n < EVENTS or row["at"] >= since]


def versions(console: Services, kind: str, profile_id: str) -> list[dict[str, Any]]:
    """All versions that the store knows, the newest first."""
    held = t.model_versions.c
    query = (
        select(t.model_versions)
        .where(held.kind == kind, held.profile_id == profile_id)
        .order_by(held.generation.desc(), held.version.desc())
        .limit(200)
    )
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(query).mappings()]


def spans(
    state: ProfileState,
    happened: Sequence[Mapping[str, Any]],
    trained: Sequence[Mapping[str, Any]],
    shown: tuple[int, int],
    now: int,
) -> list[Span]:
    """Windows of suppression, shifts, learning and versions, within a stretch of time.

    Args:
        happened: events, the newest first.
        trained: versions, the newest first.
    """
    found: list[Span] = []
    end, later = now, "now"
    shift_end = now
    for event in happened:
        name, at = event["event"], event["at"]
        if name == "resumed":
            end, later = at, "resumed"
        elif name == "suppressed":
            told = UNTIL.match(event["detail"] or "")
            until = end if told is None else min(int(told[1]), end if later == "resumed" else 2**53)
            found.append(Span(at, min(until, shown[1]), "maintenance", "suppression"))
            end, later = at, "suppressed"
        elif name in ("shift_ended", "adopted"):
            shift_end = at
        elif name == "shifted":
            found.append(Span(at, shift_end, "shifted", "shift"))
            shift_end = at
    learnt = min((each["trained_at"] for each in trained), default=now)
    if state.first_seen_at < learnt:
        found.append(Span(state.first_seen_at, learnt, "learning", "learning"))
    following = now
    for each in trained:
        begin = each["trained_at"]
        found.append(Span(begin, following, f"version {each['version']}", "version"))
        following = begin
    return _within(found, shown)


def _within(found: Sequence[Span], shown: tuple[int, int]) -> list[Span]:
    kept = []
    for span in found:
        begin = max(span.begin, shown[0])
        end = shown[1] if span.end is None else min(span.end, shown[1])
        if end > begin:
            kept.append(Span(begin, end, span.name, span.kind))
    return sorted(kept, key=lambda span: span.begin)


def shift_of(
    happened: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The shift that a profile is in: since when, how far its samples have come, what moved."""
    for event in happened:
        if event["event"] in ("shift_ended", "adopted", "rolled_back"):
            return None
        if event["event"] == "shifted":
            figures = event["figures"] or {}
            more = sum(1 for each in found if each["anomaly"] and each["scored_at"] > event["at"])
            needed = _whole(figures.get("needed"))
            return {
                "at": event["at"],
                "detail": event["detail"] or "",
                "samples": min(_whole(figures.get("samples")) + more, needed or 2**31),
                "needed": needed,
                "policy": str(figures.get("on_shift") or ""),
                "held": _held(happened, event["at"]),
            }
    return None


def _held(happened: Sequence[Mapping[str, Any]], since: int) -> bool:
    return any(each["event"] == "held" and each["at"] >= since for each in happened)


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def features(found: Sequence[Mapping[str, Any]], known: Sequence[str]) -> list[dict[str, Any]]:
    """Each feature with its latest value, what is usual, and its part in the anomalies.

    Args:
        found: verdicts, oldest first.
        known: the features of the version in force.
    """
    rows: dict[str, dict[str, Any]] = {}
    anomalies = [each for each in found if each["anomaly"]]
    for each in anomalies:
        for place, reason in enumerate(each["reasons"]):
            name = str(reason.get("feature") or "")
            row = rows.setdefault(name, {"feature": name, "first": 0, "total": 0.0, "seen": 0})
            share = reason.get("contribution")
            row["total"] += float(share) if isinstance(share, int | float) else 0.0
            row["seen"] += 1
            row["first"] += place == 0
            row |= {"reason": reason, "at": each["scored_at"], "verdict_id": each["verdict_id"]}
    many = len(anomalies) or 1
    named = sorted(rows.values(), key=lambda row: (-row["total"], row["feature"]))
    for row in named:
        row["share"] = row["total"] / many
    quiet = [
        {"feature": n, "first": 0, "share": 0.0, "reason": None} for n in known if n not in rows
    ]
    return [*named, *quiet]
