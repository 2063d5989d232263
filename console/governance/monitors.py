"""Standing monitors: each makes a monitoring report once an hour or a day, and keeps its alerts."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from console.answers import plain, rfc3339
from console.auth.permissions import Caller
from console.governance import reports
from console.governance.access import ModelRef, model_of, visible
from console.governance.reading.sources import Sources
from console.governance.requests import MONITORING, MonitoringRequest, MonitorRequest
from console.live.state import now_ms
from console.problems import Problem
from console.store import tables as t

EVERY_MS = {"hourly": 3_600_000, "daily": 86_400_000}


def add(console: Sources, who: Caller, request: MonitorRequest, ref: ModelRef) -> dict[str, Any]:
    """Write a monitor; it runs for the first time at once."""
    row = {
        "id": str(uuid.uuid4()),
        "model_id": request.model_id,
        "type": request.monitoring_type,
        "reference_period": request.reference_period,
        "current_period": request.current_period,
        "threshold": request.alert_threshold,
        "every": request.every,
        "enabled": request.enabled,
        "attributes": request.protected_attributes,
        "last_run": None,
        "by": who.subject,
        "organization_id": who.organization_id,
        "profile_prefix": who.profile_prefix,
        "kind": None if ref.profile_id is None else ref.kind,
        "profile_id": ref.profile_id,
        "created_at": now_ms(),
    }
    with console.database.write() as connection:
        connection.execute(insert(t.monitors).values(row))
    return row


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A monitor as clients are told it."""
    return {
        "monitor_id": row["id"],
        "model_id": row["model_id"],
        "monitoring_type": row["type"],
        "reference_period": row["reference_period"],
        "current_period": row["current_period"],
        "alert_threshold": row["threshold"],
        "protected_attributes": row["attributes"],
        "every": row["every"],
        "enabled": row["enabled"],
        "last_run": rfc3339(row["last_run"]),
        "created_at": rfc3339(row["created_at"]),
    }


def all_of(console: Sources, who: Caller) -> list[dict[str, Any]]:
    """The monitors that the caller may see, the newest first."""
    query = select(t.monitors).where(*visible(who, t.monitors))
    with console.database.read() as connection:
        rows = connection.execute(query.order_by(t.monitors.c.created_at.desc()).limit(200))
        return [plain(row) for row in rows.mappings()]


def find(console: Sources, monitor_id: str) -> dict[str, Any] | None:
    """The row of a monitor; None if there is none."""
    with console.database.read() as connection:
        row = (
            connection.execute(select(t.monitors).where(t.monitors.c.id == monitor_id))
            .mappings()
            .first()
        )
    return None if row is None else plain(row)


def drop(console: Sources, monitor_id: str) -> None:
    """Delete a monitor and its alerts."""
    with console.database.write() as connection:
        connection.execute(delete(t.monitors).where(t.monitors.c.id == monitor_id))
        connection.execute(
            delete(t.monitor_alerts).where(t.monitor_alerts.c.monitor_id == monitor_id)
        )


def alerts_of(
    console: Sources, who: Caller, monitor_id: str | None, is_open: bool | None, limit: int
) -> list[dict[str, Any]]:
    """Alerts of the monitors that the caller may see, the newest first."""
    held, own = t.monitor_alerts, t.monitors
    query = select(held, own.c.model_id).join(own, own.c.id == held.c.monitor_id)
    query = query.where(*visible(who, own))
    if monitor_id is not None:
        query = query.where(held.c.monitor_id == monitor_id)
    if is_open is not None:
        open_ones = held.c.cleared_at.is_(None)
        query = query.where(open_ones if is_open else ~open_ones)
    newest = query.order_by(held.c.raised_at.desc(), held.c.id).limit(limit)
    with console.database.read() as connection:
        rows = [plain(row) for row in connection.execute(newest).mappings()]
    return [
        {
            "id": row["id"],
            "monitor_id": row["monitor_id"],
            "model_id": row["model_id"],
            "monitoring_type": row["type"],
            "name": row["name"],
            "reference": row["reference"],
            "current": row["current"],
            "score": row["score"],
            "threshold": row["threshold"],
            "report_id": row["report_id"],
            "raised_at": rfc3339(row["raised_at"]),
            "cleared_at": rfc3339(row["cleared_at"]),
        }
        for row in rows
    ]


def open_alerts(console: Sources) -> dict[str, int]:
    """Alerts that are not cleared, by type of monitoring."""
    held = t.monitor_alerts.c
    query = select(held.type, func.count()).where(held.cleared_at.is_(None)).group_by(held.type)
    with console.database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def run_due(console: Sources) -> None:
    """Ask for a report of each monitor whose time has come; one process of several does it."""
    held, now = t.monitors.c, now_ms()
    with console.database.read() as connection:
        rows = [
            plain(row)
            for row in connection.execute(select(t.monitors).where(held.enabled)).mappings()
        ]
    for row in rows:
        last = row["last_run"]
        if last is not None and now - last < EVERY_MS[row["every"]]:
            continue
        same = held.last_run.is_(None) if last is None else held.last_run == last
        with console.database.write() as connection:
            claimed = connection.execute(
                update(t.monitors).where(held.id == row["id"], same).values(last_run=now)
            )
        if claimed.rowcount == 1:
            _ask(console, row)


def _ask(console: Sources, row: dict[str, Any]) -> None:
    who = Caller(
        f"monitor:{row['id']}",
        "",
        "viewer",
        row["organization_id"],
        profile_prefix=row["profile_prefix"],
    )
    request = MonitoringRequest(
        model_id=row["model_id"],
        monitoring_type=row["type"],
        reference_period=row["reference_period"],
        current_period=row["current_period"],
        alert_threshold=row["threshold"],
        protected_attributes=row["attributes"],
        seed=0,
    )
    try:
        ref = model_of(console, who, request.model_id)
    except Problem:
        # Its model is gone; it may be learnt again.
        return
    reports.ask(console, who, MONITORING, request, ref)


def settle(console: Sources, report_id: str) -> None:
    """Raise and clear the alerts of the monitor that a report was made for."""
    row = reports.find(console, report_id)
    if row is None or not row["by"].startswith("monitor:") or row["status"] != "completed":
        return
    monitor = find(console, row["by"].removeprefix("monitor:"))
    if monitor is None:
        return
    result, now = row["result"] or {}, now_ms()
    raised = {_name(alert): alert for alert in result.get("alerts", [])}
    if result.get("drift_detected") and not raised:
        raised["overall"] = {"score": result["drift_score"]}
    if not result.get("drift_detected"):
        raised = {}
    held = t.monitor_alerts.c
    with console.database.write() as connection:
        known = set(
            connection.execute(
                select(held.name).where(held.monitor_id == monitor["id"], held.cleared_at.is_(None))
            ).scalars()
        )
        gone = known - set(raised)
        if gone:
            connection.execute(
                update(t.monitor_alerts)
                .where(
                    held.monitor_id == monitor["id"],
                    held.name.in_(gone),
                    held.cleared_at.is_(None),
                )
                .values(cleared_at=now)
            )
        rows = [
            {
                "id": str(uuid.uuid4()),
                "monitor_id": monitor["id"],
                "name": name,
                "type": monitor["type"],
                "reference": alert.get("reference"),
                "current": alert.get("current"),
                "score": alert["score"],
                "threshold": monitor["threshold"],
                "report_id": report_id,
                "organization_id": monitor["organization_id"],
                "kind": row["kind"] if row["profile_id"] else monitor["kind"],
                "profile_id": row["profile_id"],
                "raised_at": now,
                "cleared_at": None,
            }
            for name, alert in raised.items()
            if name not in known
        ]
        if rows:
            connection.execute(insert(t.monitor_alerts), rows)


def _name(alert: dict[str, Any]) -> str:
    """The feature or the rate; of a fleet, features of profiles are one alert: none names them."""
    return str(alert.get("feature") or alert.get("rate") or "overall")
