"""Evidence for controls, from the store: control → status and a sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import distinct, func, select

from console.governance.reading.fleets import DAY_MS, Scope, alarms_of, read_days
from console.governance.reading.sources import Sources
from console.store import tables as t
from models.governance.bias.fleet import LEAST_RECORDS
from models.governance.compliance import FAIL, PARTIAL, PASS, UNKNOWN, Status

Evidence = dict[str, tuple[Status, str]]
MONTH, QUARTER = 30 * DAY_MS, 90 * DAY_MS


def graded(value: float, passes: bool, partly: bool) -> Status:
    """Pass, partial or fail; unknown for no number."""
    if np.isnan(value):
        return UNKNOWN
    return PASS if passes else PARTIAL if partly else FAIL


def of_store(console: Sources, scope: Scope, now: int) -> Evidence:
    """What the tables say of B1–B4, T1, T2, T4, T6, R1–R3, R5, R6 and P1."""
    return {
        **_bias(console, scope, now),
        **_labels(console, scope, now),
        **_verdicts(console, scope),
        **_versions(console, scope),
        **_commands(console, scope, now),
        **_explanations(console, scope, now),
        **_alarms(console, scope),
        **_events(console, scope, now),
        **_quality(console, scope, now),
    }


def _reports(console: Sources, scope: Scope, report_type: str, since: int) -> list[Any]:
    held = t.reports.c
    query = (
        select(held.model_id, held.result, held.completed_at)
        .where(
            held.type == report_type,
            held.status.in_(("completed", "insufficient_data")),
            held.completed_at >= since,
            held.profile_prefix == scope.prefix,
        )
        .order_by(held.completed_at.desc())
        .limit(200)
    )
    with console.database.read() as connection:
        rows = connection.execute(query).all()
    own = (f"fleet:{scope.kind}", f"{scope.kind}:")
    return [r for r in rows if r.model_id == own[0] or r.model_id.startswith(own[1])]


def _bias(console: Sources, scope: Scope, now: int) -> Evidence:
    rows = _reports(console, scope, "bias", 0)
    held, active = t.profile_attributes.c, t.profiles.c
    known = select(func.count(distinct(held.profile_id))).where(
        *scope.of(held),
        held.profile_id.in_(
            select(active.profile_id).where(*scope.of(active), active.state == "active")
        ),
    )
    all_of = select(func.count(distinct(active.profile_id))).where(
        *scope.of(active), active.state == "active"
    )
    with console.database.read() as connection:
        described = connection.execute(known).scalar_one()
        profiles = connection.execute(all_of).scalar_one()
    share = described / profiles if profiles else float("nan")
    found: Evidence = {
        "B3": (
            graded(share, share >= 0.8, share >= 0.4),
            f"attributes are known of {described} of {profiles} active profiles",
        )
    }
    if not rows:
        return found | {
            "B1": (FAIL, "there is no bias analysis of the kind"),
            "B2": (UNKNOWN, "there is no bias analysis of the kind"),
        }
    age = (now - rows[0].completed_at) / DAY_MS
    status: Status = PASS if age <= 30 else PARTIAL if age <= 90 else FAIL
    metrics = (rows[0].result or {}).get("metrics", {})
    told = {
        name: metrics.get(name, {}).get("status", "not_applicable")
        for name in ("alert_rate_ratio", "false_alarm_parity", "equalized_odds")
    }
    applied = [value for value in told.values() if value != "not_applicable"]
    said = ", ".join(f"{name}: {value}" for name, value in told.items())
    judged: Status = UNKNOWN
    if "fail" in applied:
        judged = FAIL
    elif applied:
        # What does not apply for want of labels is not shown to be fair.
        judged = PASS if len(applied) == 3 and set(applied) == {"pass"} else PARTIAL
    return found | {
        "B1": (status, f"the latest bias analysis is {age:.0f} days old"),
        "B2": (judged, said),
    }


def _labels(console: Sources, scope: Scope, now: int) -> Evidence:
    held = t.labels.c
    query = select(func.count()).where(
        *scope.of(held), held.source == "audit", held.at >= now - QUARTER
    )
    with console.database.read() as connection:
        count = connection.execute(query).scalar_one()
    return {
        "B4": (
            graded(count, count >= 100, count >= 30),
            f"{count} labels of the audit queue in 90 days",
        )
    }


def _verdicts(console: Sources, scope: Scope) -> Evidence:
    held = t.verdicts.c
    query = (
        select(held.body)
        .where(*scope.of(held), held.anomaly, held.scored_at >= scope.begin)
        .order_by(held.scored_at.desc())
        .limit(5000)
    )
    with console.database.read() as connection:
        bodies = list(connection.execute(query).scalars())
    explained = sum(1 for body in bodies if body.get("reasons"))
    share = explained / len(bodies) if bodies else float("nan")
    told = f"{explained} of the latest {len(bodies)} anomalies have reasons"
    return {"T1": (graded(share, share >= 0.99, share >= 0.9), told)}


NEEDED = ("seed", "parameters", "libraries")


def _versions(console: Sources, scope: Scope) -> Evidence:
    held = t.model_versions.c
    query = select(held.provenance, held.figures, held.trigger, held.trained_on, held.in_force)
    with console.database.read() as connection:
        rows = connection.execute(query.where(*scope.of(held)).limit(100_000)).all()
    current = [row for row in rows if row.in_force]
    whole = [
        row
        for row in current
        if row.trigger and row.trained_on and _provenance_is_whole(row.provenance or {})
    ]
    share = len(whole) / len(current) if current else float("nan")
    judged = [row for row in rows if row.trigger not in ("cold-start", "rollback", "shift")]
    passed = [row for row in judged if row.figures]
    gate = len(passed) / len(judged) if judged else (1.0 if rows else float("nan"))
    return {
        "T2": (
            graded(share, share == 1.0, share >= 0.9),
            f"{len(whole)} of {len(current)} versions in force have whole provenance",
        ),
        "R1": (
            graded(gate, gate == 1.0, gate >= 0.99),
            f"{len(passed)} of {len(judged)} adopted candidates have the gate's figures",
        ),
    }


def _provenance_is_whole(provenance: dict[str, Any]) -> bool:
    words = " ".join(provenance)
    return "seed" in words and "parameters" in words and ("librar" in words or "versions" in words)


def _commands(console: Sources, scope: Scope, now: int) -> Evidence:
    held, told = t.commands.c, t.lifecycle_events.c
    sent = select(held.command_id).where(*scope.of(held), held.issued_at >= now - QUARTER)
    receipts = select(told.command_id).where(told.command_id.in_(sent)).distinct()
    with console.database.read() as connection:
        count = len(connection.execute(sent).all())
        answered = len(connection.execute(receipts).all())
    if not count:
        return {"T4": (UNKNOWN, "no commands were sent by this console in 90 days")}
    share = answered / count
    # The store keeps no reasons of commands: receipts alone are half of the control.
    status: Status = PARTIAL if share == 1.0 else FAIL
    return {"T4": (status, f"{answered} of {count} commands have a receipt; reasons are not kept")}


def _explanations(console: Sources, scope: Scope, now: int) -> Evidence:
    r2, agreements = [], []
    for row in _reports(console, scope, "explanation", now - QUARTER):
        result = row.result or {}
        lime = result.get("lime_explanation") or {}
        if "r2" in lime:
            r2.append(lime["r2"])
        agreement = (result.get("metadata") or {}).get("agreement")
        if agreement is not None:
            agreements.append(agreement)
    if not r2 or not agreements:
        return {"T6": (UNKNOWN, "no explanations of both types, LIME and SHAP, in 90 days")}
    medians = float(np.median(r2)), float(np.median(agreements))
    good = (medians[0] >= 0.5, medians[1] >= 0.6)
    told = (
        f"median R² {medians[0]:.2f} of {len(r2)}, agreement {medians[1]:.2f} of {len(agreements)}"
    )
    return {"T6": (graded(medians[0], all(good), any(good)), told)}


def _alarms(console: Sources, scope: Scope) -> Evidence:
    days = read_days(console.database, scope)
    records = days.counts["scored"] - days.counts["suppressed"]
    enough = records >= LEAST_RECORDS
    if not enough.any():
        return {"R2": (UNKNOWN, "no profile has 100 scored records in the period")}
    rates = alarms_of(days.counts, "anomaly")[enough] / records[enough]
    budget = console.kafka.alert_budget
    share = float(((rates >= budget / 2) & (rates <= 2 * budget)).mean())
    told = f"{share:.0%} of {int(enough.sum())} profiles are within ½ to 2 times {budget:g}"
    return {"R2": (graded(share, share >= 0.9, share >= 0.7), told)}


def _events(console: Sources, scope: Scope, now: int) -> Evidence:
    held, profiles = t.lifecycle_events.c, t.profiles.c
    lost = select(func.count()).where(
        held.kind == scope.kind, held.event == "model_lost", held.at >= now - MONTH
    )
    active = select(func.count()).where(*scope.of(profiles), profiles.state == "active")
    drifting = active.where(profiles.drifting_since.is_not(None))
    long_ago = drifting.where(profiles.drifting_since < now - 7 * DAY_MS)
    with console.database.read() as connection:
        count = connection.execute(lost).scalar_one()
        numbers = [connection.execute(query).scalar_one() for query in (active, drifting, long_ago)]
        receipts = connection.execute(
            select(
                held.partition,
                held.profile_id,
                held.command_id,
                func.count(distinct(held.role)),
                func.max(held.at) - func.min(held.at),
            )
            .where(held.kind == scope.kind, held.event == "forgotten", held.at >= now - QUARTER)
            .group_by(held.partition, held.profile_id, held.command_id)
        ).all()
    share = numbers[1] / numbers[0] if numbers[0] else float("nan")
    confirmed = sum(1 for row in receipts if row[3] >= 3 and row[4] <= DAY_MS)
    forgetting: tuple[Status, str] = (UNKNOWN, "nothing was forgotten in 90 days")
    if receipts:
        part = confirmed / len(receipts)
        forgetting = (
            graded(part, part == 1.0, part >= 0.9),
            f"{confirmed} of {len(receipts)} were confirmed by all roles within 24 h",
        )
    return {
        "R3": (PASS if count == 0 else FAIL, f"{count} models were lost in 30 days"),
        "R5": (
            graded(share, share < 0.2 and numbers[2] == 0, share < 0.2 or numbers[2] == 0),
            f"{numbers[1]} of {numbers[0]} profiles drift, {numbers[2]} for more than 7 days",
        ),
        "P1": forgetting,
    }


def _quality(console: Sources, scope: Scope, now: int) -> Evidence:
    hours, features = t.verdict_hours.c, t.feature_days.c
    letters = t.dead_letters.c
    verdicts = select(func.sum(hours.records)).where(
        hours.kind == scope.kind, hours.hour >= now - MONTH
    )
    dead = select(func.count()).where(
        letters.at >= now - MONTH, letters.source.like(f"%telemetry.{scope.kind}-%")
    )
    values = select(func.sum(features.missing), func.sum(features.n)).where(*scope.days(features))
    with console.database.read() as connection:
        answered = float(connection.execute(verdicts).scalar() or 0)
        refused = connection.execute(dead).scalar_one()
        absent, there = connection.execute(values).one()
    if not answered:
        return {"R6": (UNKNOWN, "no records in 30 days")}
    share = refused / (answered + refused)
    whole = float(absent or 0) + float(there or 0)
    missing = float(absent or 0) / whole if whole else float("nan")
    told = f"{share:.2%} dead letters; {missing:.2%} missing values"
    if np.isnan(missing):
        status: Status = PARTIAL if share < 0.01 else FAIL
        return {"R6": (status, f"{share:.2%} dead letters; missing values are not known")}
    good = (share < 0.01, missing < 0.05)
    return {"R6": (graded(share, all(good), any(good)), told)}
