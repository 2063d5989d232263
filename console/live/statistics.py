"""Statistics: counts in the form that the API has them."""

from __future__ import annotations

from collections import Counter
from typing import Any

from console.answers import rfc3339
from console.auth.permissions import Caller
from console.live.counts import HOUR_MS, Counts
from console.live.state import LiveState, now_ms

DEAD = "dead_letter:"
ALARMS = ("low", "medium", "high", "critical")
OUTCOMES = ("trained", "adopted", "refused")


def statistics(state: LiveState, who: Caller, alert_budget: float) -> dict[str, Any]:
    """All since the projection began, of the profiles that a caller sees."""
    counts = state.totals.all()
    kinds: Counter[str] = Counter()
    statuses: Counter[str] = Counter()
    severities: Counter[str] = Counter()
    rules: Counter[str] = Counter()
    suppressed = 0
    for key, records in counts.verdicts.items():
        if not _own(who, key.organization_id):
            continue
        kinds[key.kind] += records
        statuses[key.status] += records
        severities[key.severity] += records
        suppressed += records if key.suppressed else 0
        if key.kind == "drowsiness" and key.rule_severity:
            rules[key.rule_severity] += records
    anomalies = sum(severities[name] for name in ALARMS)
    scored = statuses["scored"]
    return {
        "since": rfc3339(state.since),
        "as_of": rfc3339(now_ms()),
        "total_events": kinds.total(),
        "by_kind": dict(sorted(kinds.items())),
        "by_status": dict(sorted(statuses.items())),
        "by_severity": {name: severities[name] for name in ("none", *ALARMS)},
        "anomalies": anomalies,
        "anomaly_rate": anomalies / scored if scored else None,
        "alert_budget": alert_budget,
        "suppressed": suppressed,
        "dead_letters": sum(_dead_letters(counts, who).values()),
        "profiles": _profiles(state, who),
        "labels": _labels(state, who),
        "drowsiness": {
            "drowsy_events": sum(rules[name] for name in ALARMS),
            "by_rule_severity": {name: rules[name] for name in ("none", *ALARMS)},
        },
    }


def hourly(state: LiveState, who: Caller, hours: int) -> list[dict[str, Any]]:
    """A row for each of the latest hours and each kind that has anything, the newest first."""
    counts = state.totals.hours()
    now = now_ms() // HOUR_MS * HOUR_MS
    since = now - (hours - 1) * HOUR_MS
    rows: dict[tuple[int, str], dict[str, Any]] = {}

    def row(hour: int, kind: str) -> dict[str, Any]:
        empty = {
            "hour": rfc3339(hour),
            "kind": kind,
            "records": 0,
            "anomalies": 0,
            "by_severity": dict.fromkeys(ALARMS, 0),
            "dead_letters": 0,
            "trainings": 0,
        }
        return rows.setdefault((hour, kind), empty)

    for key, records in counts.verdicts.items():
        if key.hour >= since and _own(who, key.organization_id):
            found = row(key.hour, key.kind)
            found["records"] += records
            if key.severity != "none":
                found["anomalies"] += records
                found["by_severity"][key.severity] += records
    for event, records in counts.events.items():
        if event.hour >= since and _own(who, event.organization_id):
            if event.event.startswith(DEAD):
                row(event.hour, event.kind)["dead_letters"] += records
            elif event.event in ("trained", "adopted"):
                row(event.hour, event.kind)["trainings"] += records
    return [rows[at] for at in sorted(rows, key=lambda at: (-at[0], at[1]))]


def outcomes(state: LiveState, who: Caller) -> dict[str, int]:
    """Models trained, adopted and refused in the latest 24 hours."""
    since = now_ms() // HOUR_MS * HOUR_MS - 23 * HOUR_MS
    found = dict.fromkeys(OUTCOMES, 0)
    for event, records in state.totals.hours().events.items():
        if event.hour >= since and event.event in found and _own(who, event.organization_id):
            found[event.event] += records
    return found


def _own(who: Caller, organization_id: str) -> bool:
    return who.counted in (None, organization_id)


def _dead_letters(counts: Counts, who: Caller) -> Counter[str]:
    found: Counter[str] = Counter()
    for key, records in counts.events.items():
        if key.event.startswith(DEAD) and _own(who, key.organization_id):
            found[key.event.removeprefix(DEAD)] += records
    return found


def _labels(state: LiveState, who: Caller) -> dict[str, int]:
    found = state.labels.count(who.sees)
    return {name: found[name] for name in ("anomaly", "normal", "unsure")}


def _profiles(state: LiveState, who: Caller) -> dict[str, int]:
    if not who.profile_prefix:
        return {name: state.profiles.states[name] for name in ("learning", "active")}
    found = Counter(p.state for p in state.profiles.all() if who.sees(p.profile_id))
    return {name: found[name] for name in ("learning", "active")}
