"""A false alarm becomes a sample of normal, once however often it is asked for."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any

from confluent_kafka import KafkaException
from sqlalchemy import delete, select, update

from console.live.state import now_ms
from console.problems import Problem
from console.services import Services
from console.store import tables as t
from processor.kafka.reading import ToolError, record_at
from processor.records import DeadLetter
from processor.settings import Limits
from processor.topics import Topics
from schemas import ModelRecord

CLAIM_MS = 60_000
"""After so long another process that was about to accept is taken to be gone."""

WAIT_SECONDS = 10.0


class NotAccepted(Exception):
    """Why a record cannot become a sample of normal: one sentence."""


def accept_once(console: Services, verdict: Any) -> None:
    """Write the telemetry of a verdict to the accepted samples, unless that was done before.

    Args:
        verdict: its row in the store.

    Raises:
        NotAccepted: the record is gone, does not fit the profile, or the profile has no model.
        Problem: 503, the broker does not answer, or another process is about to accept it.
    """
    deadline = monotonic() + WAIT_SECONDS
    while not _claimed(console, verdict):
        if _done(console, verdict.verdict_id):
            return
        if monotonic() > deadline:
            raise Problem(
                503,
                "busy",
                "another request is about to accept this verdict",
                headers={"Retry-After": "60"},
            )
        sleep(0.1)
    try:
        _accept(console, verdict)
    except BaseException:
        own = t.acceptances.c.verdict_id == verdict.verdict_id
        with console.database.write() as connection:
            connection.execute(delete(t.acceptances).where(own))
        raise
    with console.database.write() as connection:
        connection.execute(
            update(t.acceptances)
            .where(t.acceptances.c.verdict_id == verdict.verdict_id)
            .values(done=True)
        )


def _claimed(console: Services, verdict: Any) -> bool:
    """Whether it is for us to accept."""
    table, now = t.acceptances, now_ms()
    row = {
        "verdict_id": verdict.verdict_id,
        "kind": verdict.kind,
        "partition": verdict.partition,
        "profile_id": verdict.profile_id,
        "at": now,
        "done": False,
    }
    with console.database.write() as connection:
        if console.database.add(connection, table, row):
            return True
        left = connection.execute(
            update(table)
            .where(
                table.c.verdict_id == verdict.verdict_id,
                ~table.c.done,
                table.c.at < now - CLAIM_MS,
            )
            .values(at=now)
        )
    return left.rowcount == 1


def _done(console: Services, verdict_id: str) -> bool:
    with console.database.read() as connection:
        found = connection.execute(
            select(t.acceptances.c.done).where(t.acceptances.c.verdict_id == verdict_id)
        ).scalar()
    return found is True


def _accept(console: Services, verdict: Any) -> None:
    # Here, not above: a console that accepts nothing need not wait until scikit-learn is imported.
    from processor.operations.profile_accept import accept_for, parse_verdict_id
    from processor.scorer.decode import decode

    model = _model(console, verdict)
    if model is None:
        raise NotAccepted("the profile has no model yet: it is learning")
    settings = console.kafka
    limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
    try:
        place, offset = parse_verdict_id(verdict.verdict_id, Topics(settings.topic_prefix))
        record = record_at(settings, place, offset)
        decoded = decode(record, verdict.kind, limits)
        if isinstance(decoded, DeadLetter):
            raise NotAccepted(f"a dead letter, {decoded.reason}: {decoded.detail}")
        accept_for(settings, record, decoded, model)
    except ToolError as error:
        raise NotAccepted(str(error)) from None
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None


def _model(console: Services, verdict: Any) -> ModelRecord | None:
    held = t.model_versions
    with console.database.read() as connection:
        row = (
            connection.execute(
                select(held).where(
                    held.c.kind == verdict.kind,
                    held.c.partition == verdict.partition,
                    held.c.profile_id == verdict.profile_id,
                    held.c.in_force,
                )
            )
            .mappings()
            .first()
        )
    return None if row is None else ModelRecord.model_validate(dict(row))
