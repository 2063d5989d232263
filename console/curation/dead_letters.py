"""Dead letters: how many and where, and sending them back to where they came from."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from confluent_kafka import KafkaException
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import func, select, tuple_

from console.answers import After, Limit, Word, json_answer, page, place, plain, rfc3339
from console.auth.callers import Console, needs_all
from console.auth.permissions import ADMIN, Caller
from console.problems import Problem
from console.routes.verdicts import moment
from console.store import tables as t
from processor.kafka.reading import ToolError
from processor.operations.dead_letter_list import DeadLetterFilter
from processor.operations.dead_letter_replay import replay

router = APIRouter(prefix="/api/v1/dead-letters", tags=["dead letters"])
Admin = Annotated[Caller, Depends(needs_all(ADMIN))]
_replaying = threading.Lock()


class ReplayBody(BaseModel):
    """Which dead letters are sent back: one by its place, or those of a reason and time."""

    partition: int | None = Field(None, ge=0, le=2**31 - 1)
    offset: int | None = Field(None, ge=0, le=2**63 - 1)
    reason: Word | None = None
    since: Word | None = Field(None, description="RFC 3339.")
    dry_run: bool = False

    model_config = {
        "json_schema_extra": {
            "examples": [
                {"partition": 0, "offset": 17, "dry_run": True},
                {"reason": "invalid_record", "since": "2026-11-30T00:00:00Z"},
            ]
        }
    }

    @model_validator(mode="after")
    def _one_way(self) -> ReplayBody:
        if (self.partition is None) != (self.offset is None):
            raise ValueError("expected partition and offset, or neither")
        if self.partition is not None and (self.reason, self.since) != (None, None):
            raise ValueError("expected a place, or reason and since, not both")
        return self


@router.get("")
def list_dead_letters(
    request: Request,
    console: Console,
    _: Admin,
    reason: Annotated[Word | None, Query()] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Where dead letters lie, the newest first, and how many there are of each reason."""
    held = t.dead_letters.c
    order = (held.at, held.partition, held.offset)
    query = select(t.dead_letters)
    if reason is not None:
        query = query.where(held.reason == reason)
    at = place(after, int, int, int)
    if at is not None:
        query = query.where(tuple_(*order) < tuple_(*at))
    with console.database.read() as connection:
        rows = (
            connection.execute(
                query.order_by(*(column.desc() for column in order)).limit(limit + 1)
            )
            .mappings()
            .all()
        )
        counts = connection.execute(select(held.reason, func.count()).group_by(held.reason)).all()
    items = [plain(row) | {"at": rfc3339(row["at"])} for row in rows]
    cursors = [[row["at"], row["partition"], row["offset"]] for row in rows]
    more = {"by_reason": {row[0]: row[1] for row in sorted(map(tuple, counts))}}
    return page(request, items, limit, cursors, more)


@router.post("/replay")
def post_replay(request: Request, console: Console, who: Admin, body: ReplayBody) -> Response:
    """Send dead letters back to their topic and partition, each once; `dry_run` only counts."""
    since = None if body.since is None else moment(body.since, "since")
    at = None if body.partition is None else (body.partition, body.offset or 0)
    wanted = DeadLetterFilter(body.reason, since=since, place=at)
    if not _replaying.acquire(blocking=False):
        raise Problem(409, "busy", "dead letters are being sent back already")
    try:
        done = replay(console.kafka, wanted, dry_run=body.dry_run)
    except ToolError as error:
        raise Problem(409, "not_replayed", str(error)) from None
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None
    finally:
        _replaying.release()
    sent = [
        {"reason": reason, "topic": topic, "records": count}
        for (reason, topic), count in sorted(done.sent.items())
    ]
    if not body.dry_run:
        console.note(who, "dead_letters.replay", str(done.sent.total()), "sent", request)
    answer: dict[str, Any] = {
        "dry_run": body.dry_run,
        "sent": sent,
        "stay": dict(sorted(done.stay.items())),
    }
    return json_answer(answer)
