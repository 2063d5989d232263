"""The dead letters: how many of each reason, where they lie, what they hold, sending them back."""

from __future__ import annotations

from typing import Annotated, Any

from confluent_kafka import KafkaException
from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from sqlalchemy import func, select, tuple_

from console.answers import After, Word, cursor, place
from console.auth.callers import Console, needs_all
from console.auth.permissions import ADMIN, Caller
from console.pages import raw_records
from console.pages.rendering import PREFIX, render
from console.problems import Problem
from console.store import tables as t
from processor.dead_letter import letter
from processor.kafka.reading import ToolError, record_at
from processor.topics import Topics

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Admin = Annotated[Caller, Depends(needs_all(ADMIN))]
PAGE = 50


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    console: Console,
    who: Admin,
    reason: Annotated[Word | None, Query()] = None,
    after: After = None,
) -> Response:
    """The page."""
    held = t.dead_letters.c
    order = (held.at, held.partition, held.offset)
    query = select(t.dead_letters).order_by(*(column.desc() for column in order)).limit(PAGE + 1)
    if reason:
        query = query.where(held.reason == reason)
    at = place(after, int, int, int)
    if at is not None:
        query = query.where(tuple_(*order) < tuple_(*at))
    counting = select(held.reason, func.count(), func.max(held.at)).group_by(held.reason)
    with console.database.read() as connection:
        rows: list[Any] = list(connection.execute(query).mappings())
        counts = [tuple(row) for row in connection.execute(counting)]
    counts.sort(key=lambda row: (-row[1], row[0]))
    last = rows[PAGE - 1] if len(rows) > PAGE else None
    return render(
        request,
        "dead_letters.html",
        who,
        counts=counts,
        most=max((row[1] for row in counts), default=1),
        rows=rows[:PAGE],
        reason=reason,
        first=after is None,
        more=None if last is None else cursor([last["at"], last["partition"], last["offset"]]),
    )


@router.get("/dead-letters/{partition}/{offset}")
def sample(
    request: Request,
    console: Console,
    who: Admin,
    partition: Annotated[int, Path(ge=0, le=2**31 - 1)],
    offset: Annotated[int, Path(ge=0, le=2**63 - 1)],
) -> Response:
    """A part of the page: a dead letter as it lies in Kafka.

    Raises:
        Problem: 410, it has aged out; 503, the broker does not answer.
    """
    name = Topics(console.kafka.topic_prefix).dead_letter
    try:
        record = record_at(console.kafka, (name, partition), offset)
    except ToolError as error:
        raise Problem(410, "gone", str(error)) from None
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None
    headers = [
        (key, "" if value is None else value.decode("utf-8", "replace")[:2000])
        for key, value in record.headers
    ]
    return render(
        request,
        "dead_letter.html",
        who,
        letter=letter(record),
        key=None if record.key is None else record.key.decode("utf-8", "replace"),
        text=raw_records.readable(record.value),
        headers=headers,
    )
