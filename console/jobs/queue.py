"""Jobs in the store: asked for, taken by one worker at a time, and ended once.

A job belongs to the worker that its row names, while its lease holds. Every statement of a worker
names itself and the state `running`: one that has lost its job changes nothing any more.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from time import time_ns
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection, and_, func, insert, or_, select, update

from console.jobs.tables import job_events, jobs
from console.store.database import Database

QUEUED: Final = "queued"
RUNNING: Final = "running"
SUCCEEDED: Final = "succeeded"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
TIMED_OUT: Final = "timed_out"
ENDED: Final = frozenset((SUCCEEDED, FAILED, CANCELLED, TIMED_OUT))

LEASE_MS = 15_000
MOST_ATTEMPTS = 3
"""A job whose worker ended without a word is begun so often; then it fails."""

FIGURES = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


def now_ms() -> int:
    """Epoch milliseconds."""
    return time_ns() // 1_000_000


class LostLease(Exception):
    """Another worker has the job, or it has ended."""


@dataclass(frozen=True)
class Owner:
    """Who asked for a job, and what it may see.

    Attributes:
        by: the subject.
        profile_prefix, topic_prefix: as a caller's.
    """

    by: str
    organization_id: str | None = None
    topic_prefix: str = ""
    profile_prefix: str = ""


@dataclass(frozen=True)
class Taken:
    """A job that a worker runs."""

    id: str
    type: str
    config: dict[str, Any]
    attempt: int
    owner: Owner


@dataclass(frozen=True)
class End:
    """How a job ended."""

    state: str
    error: str | None = None
    result_path: str | None = None
    mlflow_run_id: str | None = None


def submit(accounts: Database, job_type: str, config: dict[str, Any], owner: Owner) -> str:
    """Ask for a job; its id.

    Args:
        accounts: the store of the whole console.
        config: checked already.
    """
    job_id = str(uuid.uuid4())
    row = {
        "id": job_id,
        "type": job_type,
        "state": QUEUED,
        "config": config,
        "progress": 0.0,
        "attempts": 0,
        "frames": 0,
        "by": owner.by,
        "organization_id": owner.organization_id,
        "topic_prefix": owner.topic_prefix,
        "profile_prefix": owner.profile_prefix,
        "created_at": now_ms(),
    }
    with accounts.write() as connection:
        connection.execute(insert(jobs).values(row))
    return job_id


def take(accounts: Database, worker: str) -> Taken | None:
    """Take the oldest job that nobody runs, by one conditional update; None if there is none.

    A job whose lease has run out is taken over, `MOST_ATTEMPTS` times at most.
    """
    now = _now(accounts)
    free = or_(jobs.c.state == QUEUED, and_(jobs.c.state == RUNNING, jobs.c.lease_until < now))
    with accounts.read() as connection:
        if connection.execute(select(jobs.c.id).where(free).limit(1)).first() is None:
            return None
    oldest = select(jobs.c.id).where(free).order_by(jobs.c.created_at, jobs.c.id).limit(1)
    if not accounts.sqlite:
        oldest = oldest.with_for_update(skip_locked=True)
    with accounts.write() as connection:
        row = connection.execute(
            update(jobs)
            .where(jobs.c.id == oldest.scalar_subquery(), free)
            .values(
                state=RUNNING,
                worker=worker,
                lease_until=now + LEASE_MS,
                attempts=jobs.c.attempts + 1,
                started_at=func.coalesce(jobs.c.started_at, now),
            )
            .returning(*jobs.c)
        ).first()
    if row is None:
        return None
    owner = Owner(row.by, row.organization_id, row.topic_prefix, row.profile_prefix)
    return Taken(row.id, row.type, row.config, row.attempts, owner)


def renew(accounts: Database, job_id: str, worker: str) -> bool:
    """Hold a job for another lease; whether it is to be cancelled.

    Raises:
        LostLease: it is not the worker's any more.
    """
    with accounts.write() as connection:
        row = connection.execute(
            update(jobs)
            .where(_own(job_id, worker))
            .values(lease_until=_now(accounts) + LEASE_MS)
            .returning(jobs.c.cancel_at)
        ).first()
    if row is None:
        raise LostLease
    return row.cancel_at is not None


def give_back(accounts: Database, job_id: str, worker: str) -> None:
    """Let another worker have a job at once: this one is told to end."""
    with accounts.write() as connection:
        connection.execute(
            update(jobs)
            .where(_own(job_id, worker))
            .values(state=QUEUED, worker=None, lease_until=None, attempts=jobs.c.attempts - 1)
        )


def report(
    accounts: Database,
    job_id: str,
    worker: str,
    figures: dict[str, float | None],
    more: dict[str, Any],
    progress: float | None,
) -> None:
    """Add a frame.

    Args:
        figures: some of `FIGURES`.
        more: further fields of the frame, as JSON takes them.
        progress: 0 to 1; None if it is not known.

    Raises:
        LostLease: the job is not the worker's any more.
    """
    with accounts.write() as connection:
        values: dict[str, Any] = {"frames": jobs.c.frames + 1}
        if progress is not None:
            values["progress"] = progress
        row = connection.execute(
            update(jobs)
            .where(_own(job_id, worker))
            .values(values)
            .returning(jobs.c.frames, jobs.c.attempts)
        ).first()
        if row is None:
            raise LostLease
        told = {"state": RUNNING, "attempt": row.attempts} | more
        _add(connection, job_id, row.frames, figures, told)


def finish(accounts: Database, job_id: str, worker: str, end: End) -> bool:
    """End a job, and add its last frame; False if it is not the worker's any more."""
    return _end(accounts, _own(job_id, worker), end)


def cancel(accounts: Database, job_id: str) -> None:
    """Ask for the end of a job: at once if it is not running, else within seconds."""
    waiting = and_(jobs.c.id == job_id, jobs.c.state == QUEUED)
    if _end(accounts, waiting, End(CANCELLED)):
        return
    with accounts.write() as connection:
        connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.state == RUNNING, jobs.c.cancel_at.is_(None))
            .values(cancel_at=now_ms())
        )


def _end(accounts: Database, condition: Any, end: End) -> bool:
    with accounts.write() as connection:
        values: dict[str, Any] = {
            "state": end.state,
            "error": end.error,
            "result_path": end.result_path,
            "finished_at": now_ms(),
            "lease_until": None,
            "frames": jobs.c.frames + 1,
        }
        if end.mlflow_run_id is not None:
            values["mlflow_run_id"] = end.mlflow_run_id
        if end.state == SUCCEEDED:
            values["progress"] = 1.0
        row = connection.execute(
            update(jobs)
            .where(condition)
            .values(values)
            .returning(jobs.c.id, jobs.c.frames, jobs.c.attempts)
        ).first()
        if row is None:
            return False
        last = connection.execute(
            select(job_events)
            .where(job_events.c.job_id == row.id)
            .order_by(job_events.c.seq.desc())
            .limit(1)
        ).first()
        figures = {name: None if last is None else getattr(last, name) for name in FIGURES}
        told = {} if last is None else dict(last.more)
        told |= {"state": end.state, "attempt": row.attempts}
        if end.error is not None:
            told["error"] = end.error
        _add(connection, row.id, row.frames, figures, told)
    return True


def _add(
    connection: Connection, job_id: str, seq: int, figures: dict[str, Any], more: dict[str, Any]
) -> None:
    row = {"job_id": job_id, "seq": seq, "more": more, "at": now_ms(), **figures}
    connection.execute(insert(job_events).values(row))


def _own(job_id: str, worker: str) -> Any:
    return and_(jobs.c.id == job_id, jobs.c.worker == worker, jobs.c.state == RUNNING)


def _now(database: Database) -> Any:
    """Epoch milliseconds by the store's clock: workers on several machines have several."""
    if database.sqlite:
        return now_ms()
    seconds = func.extract("epoch", func.clock_timestamp())
    return sa.cast(func.floor(seconds * 1000), sa.BigInteger)
