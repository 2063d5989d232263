"""Reports: asked for, made, read, deleted. A report is made by whoever claims it first."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import delete, func, insert, or_, select, update

from console.answers import plain
from console.auth.permissions import Caller
from console.governance.access import ModelRef, model_of, visible
from console.governance.reading.sources import Sources
from console.governance.requests import (
    BIAS,
    COMPLIANCE,
    EXPLANATION,
    MONITORING,
    REQUESTS,
)
from console.live.state import now_ms
from console.problems import Problem
from console.store import projection
from console.store import tables as t
from processor.runtime import logs

LEASE_MS = 600_000
"""After so long, a report that is being made is taken to be abandoned."""

QUEUED, RUNNING, COMPLETED, FAILED = "queued", "running", "completed", "failed"
FINAL = (COMPLETED, FAILED, "insufficient_data")


def code_version() -> str:
    """The version of the code that makes a report."""
    from console.routes.service import VERSION

    return VERSION


def ask(
    console: Sources,
    who: Caller,
    report_type: str,
    request: Any,
    ref: ModelRef,
    *,
    at_once: bool = False,
) -> dict[str, Any]:
    """Write a report that is yet to be made; its row.

    Args:
        at_once: whoever asks makes it: nobody else takes it up before the lease ends.
    """
    of_one = report_type in (EXPLANATION, MONITORING)
    row = {
        "id": str(uuid.uuid4()),
        "type": report_type,
        "model_id": request.model_id,
        "dataset_id": getattr(request, "dataset_id", None),
        "status": RUNNING if at_once else QUEUED,
        "request": request.model_dump(mode="json"),
        "result": None,
        "offsets": None,
        "code_version": code_version(),
        "seed": getattr(request, "seed", None),
        "by": who.subject,
        "organization_id": who.organization_id,
        "profile_prefix": who.profile_prefix,
        "kind": ref.kind if of_one and ref.profile_id is not None else None,
        "profile_id": ref.profile_id if of_one else None,
        "error": None,
        "lease_until": now_ms() + LEASE_MS if at_once else None,
        "created_at": now_ms(),
        "completed_at": None,
        "expires_at": None,
    }
    with console.database.write() as connection:
        connection.execute(insert(t.reports).values(row))
    return row


def find(console: Sources, report_id: str) -> dict[str, Any] | None:
    """The row of a report; None if it was deleted."""
    with console.database.read() as connection:
        row = (
            connection.execute(select(t.reports).where(t.reports.c.id == report_id))
            .mappings()
            .first()
        )
    return None if row is None else plain(row)


def of_model(
    console: Sources,
    who: Caller,
    report_type: str,
    model_id: str | None,
    limit: int,
    offset: int,
    status: str | None,
) -> list[dict[str, Any]]:
    """Reports of a type that the caller may see, the newest first."""
    held = t.reports
    query = select(held).where(held.c.type == report_type, *visible(who, held))
    if model_id is not None:
        query = query.where(held.c.model_id == model_id)
    if status is not None:
        query = query.where(held.c.status == status)
    newest = query.order_by(held.c.created_at.desc(), held.c.id).limit(limit).offset(offset)
    with console.database.read() as connection:
        return [plain(row) for row in connection.execute(newest).mappings()]


def drop(console: Sources, report_id: str) -> None:
    """Delete a report; one that is being made is not written any more."""
    with console.database.write() as connection:
        connection.execute(delete(t.reports).where(t.reports.c.id == report_id))


def queued(console: Sources) -> list[str]:
    """Reports that wait to be made, and those whose maker is gone, the oldest first."""
    held = t.reports.c
    query = (
        select(held.id)
        .where(
            or_(
                held.status == QUEUED,
                (held.status == RUNNING) & (held.lease_until < now_ms()),
            )
        )
        .order_by(held.created_at)
        .limit(100)
    )
    with console.database.read() as connection:
        return list(connection.execute(query).scalars())


def counts(console: Sources) -> dict[tuple[str, str], int]:
    """Reports by type and status."""
    held = t.reports.c
    query = select(held.type, held.status, func.count()).group_by(held.type, held.status)
    with console.database.read() as connection:
        return {(kind, status): n for kind, status, n in connection.execute(query)}


def _claim(console: Sources, report_id: str) -> bool:
    held, now = t.reports.c, now_ms()
    with console.database.write() as connection:
        done = connection.execute(
            update(t.reports)
            .where(
                held.id == report_id,
                or_(held.status == QUEUED, (held.status == RUNNING) & (held.lease_until < now)),
            )
            .values(status=RUNNING, lease_until=now + LEASE_MS)
        )
    return done.rowcount == 1


def make_report(console: Sources, report_id: str) -> None:
    """Make a report that waits to be made, unless somebody else does; it never raises for it."""
    if not _claim(console, report_id):
        return
    row = find(console, report_id)
    if row is None:
        return
    error = None
    result: dict[str, Any] | None = None
    try:
        result = made(console, row)
        status = result.pop("status", COMPLETED)
    except Problem as problem:
        status, error = FAILED, problem.detail
        result = {"problem": {"status": problem.status, "type": problem.name}}
    except Exception as unexpected:
        status, error = FAILED, f"something went wrong here: {type(unexpected).__name__}"
        logs.logger("console").error("report failed", report=report_id, exc_info=True)
    values = {"status": status} | _done(console, result, error)
    with console.database.write() as connection:
        connection.execute(
            update(t.reports)
            .where(t.reports.c.id == report_id, t.reports.c.status == RUNNING)
            .values(values)
        )


def make_now(console: Sources, row: dict[str, Any]) -> dict[str, Any]:
    """Make a report that was asked for with ``at_once``; its row.

    Raises:
        Problem: it cannot be made, and why.
    """
    result = made(console, row)
    values = {"status": result.pop("status", COMPLETED)} | _done(console, result, None)
    with console.database.write() as connection:
        connection.execute(update(t.reports).where(t.reports.c.id == row["id"]).values(values))
    return row | values


def _done(console: Sources, result: dict[str, Any] | None, error: str | None) -> dict[str, Any]:
    with console.database.read() as connection:
        held = projection.offsets(connection)
    offsets = {f"{topic}-{number}": at for (topic, number), at in held.items()}
    return {
        "result": _finite(result),
        "error": error,
        "lease_until": None,
        "completed_at": now_ms(),
        "offsets": offsets,
    }


def made(console: Sources, row: dict[str, Any]) -> dict[str, Any]:
    """The result of a report's request.

    Raises:
        Problem: it cannot be made, and why.
    """
    # Here, not above: the console need not wait until scikit-learn is imported.
    from console.governance.making.bias import make_bias
    from console.governance.making.complying import make_compliance
    from console.governance.making.explaining import make_explanation
    from console.governance.making.watching import make_monitoring

    making: dict[str, Any] = {
        BIAS: make_bias,
        EXPLANATION: make_explanation,
        COMPLIANCE: make_compliance,
        MONITORING: make_monitoring,
    }
    request: Any = REQUESTS[row["type"]].model_validate(row["request"])
    # What the one who asked might see then, and no more.
    who = Caller(
        row["by"], "", "viewer", row["organization_id"], profile_prefix=row["profile_prefix"]
    )
    ref = model_of(console, who, request.model_id, registered=row["type"] == BIAS)
    result: dict[str, Any] = making[row["type"]](
        console, ref, request, row["profile_prefix"], now_ms()
    )
    return result


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null in their place."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(held) for held in value]
    return value
