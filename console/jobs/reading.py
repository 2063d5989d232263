"""Jobs as a caller sees them: rows and frames."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select

from console.answers import plain, rfc3339
from console.auth.permissions import Caller
from console.jobs.queue import FIGURES, RUNNING, Owner
from console.jobs.tables import job_events, jobs
from console.problems import not_found
from console.store.database import Database

HIDDEN = frozenset(
    ("worker", "lease_until", "result_path", "topic_prefix", "profile_prefix", "frames")
)
TIMES = ("created_at", "started_at", "finished_at")


def owner_of(who: Caller) -> Owner:
    """A caller as the owner of what it asks for."""
    return Owner(who.subject, who.organization_id, who.topic_prefix, who.profile_prefix)


def visible(who: Caller) -> Any:
    """Which jobs a caller sees: its organisation's; without one, all of its topics."""
    same = jobs.c.topic_prefix == who.topic_prefix
    if who.organization_id is None:
        return same
    return and_(same, jobs.c.organization_id == who.organization_id)


def job_row(accounts: Database, who: Caller, job_id: str) -> dict[str, Any]:
    """A job.

    Raises:
        Problem: 404, there is none that the caller sees.
    """
    with accounts.read() as connection:
        row = (
            connection.execute(select(jobs).where(jobs.c.id == job_id, visible(who)))
            .mappings()
            .first()
        )
    if row is None:
        raise not_found("there is no such job")
    return plain(row)


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A job as the API has it."""
    told = {name: value for name, value in row.items() if name not in HIDDEN}
    told["cancelling"] = told.pop("cancel_at") is not None and row["state"] == RUNNING
    return {"session_id": row["id"]} | told | {name: rfc3339(row[name]) for name in TIMES}


def frames_after(
    accounts: Database, job_id: str, seq: int, most: int = 1000
) -> list[dict[str, Any]]:
    """The frames of a job behind one of them, in order; each knows its `seq`."""
    with accounts.read() as connection:
        rows = connection.execute(
            select(job_events)
            .where(job_events.c.job_id == job_id, job_events.c.seq > seq)
            .order_by(job_events.c.seq)
            .limit(most)
        ).mappings()
        return [_frame(plain(row)) for row in rows]


def history(accounts: Database, job_id: str) -> dict[str, list[Any]]:
    """Epochs, losses and accuracies of the attempt that counts: the last one."""
    found: list[dict[str, Any]] = []
    seq = 0
    while True:
        more = frames_after(accounts, job_id, seq)
        if not more:
            break
        found += more
        seq = more[-1]["seq"]
    last = found[-1]["attempt"] if found else 0
    kept = [
        each
        for each in found
        if each["attempt"] == last and each["state"] == RUNNING and each["epoch"] is not None
    ]
    names = {
        "epochs": "epoch",
        "train_loss": "loss",
        "val_loss": "val_loss",
        "train_accuracy": "accuracy",
        "val_accuracy": "val_accuracy",
    }
    return {name: [each[field] for each in kept] for name, field in names.items()}


def _frame(row: dict[str, Any]) -> dict[str, Any]:
    figures = {name: row[name] for name in FIGURES}
    same = {"timestamp": rfc3339(row["at"]), "job_id": row["job_id"], "seq": row["seq"]}
    more: dict[str, Any] = row["more"]
    return figures | same | {"epochs": None, "records": None} | more
