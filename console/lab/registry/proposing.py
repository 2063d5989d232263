"""Proposing an uploaded model to a profile: the gate first, then the scorer's answer."""

from __future__ import annotations

from time import monotonic
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from console.answers import ACCEPTED, Word, json_answer, rfc3339
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import MODEL_WRITE, Caller
from console.lab.registry.endpoints import own_row
from console.lab.registry.judging import judge
from console.live.waiting import Inbox
from console.problems import Problem
from console.routes.gateway import Prefer, seconds_of
from console.routes.profiles import found
from console.services import Services
from console.store import tables as t
from models.features import KINDS
from processor.topics import Topics
from schemas import LifecycleEvent, ModelRecord

router = APIRouter(tags=["models"])
Writer = Annotated[Caller, Depends(needs(MODEL_WRITE))]


class ProposeBody(BaseModel):
    """Whose model the upload is to become."""

    kind: Word
    profile_id: Annotated[Word, Field(max_length=256)]
    partition: Annotated[int, Field(ge=0)] | None = Field(
        None, description="If several partitions hold the profile."
    )

    model_config = {
        "json_schema_extra": {"examples": [{"kind": "features", "profile_id": "web-1"}]}
    }


@router.post("/api/v1/models/{model_id}/propose", responses=ACCEPTED)
async def propose(
    request: Request,
    root: Root,
    console: Console,
    who: Writer,
    model_id: PathId,
    body: ProposeBody,
    prefer: Prefer = None,
) -> Response:
    """Propose an uploaded isolation forest to a profile.

    200 with the gate's figures, and the scorer's receipt if the gate let it pass; 202 where no
    receipt came in time: the events of the profile tell it then.
    """
    row = await run_in_threadpool(own_row, console, who, model_id)
    base = await run_in_threadpool(in_force, console, who, body)
    judged = await run_in_threadpool(judge, console, row, base)
    said: dict[str, Any] = {
        "figures": judged.figures,
        "gate": {"passed": judged.passed, "why": judged.why},
        "features": judged.features,
        "outcome": "refused by the gate",
        "base_version": base["version"],
        "candidate": None,
        "receipt": None,
    }
    record = judged.record
    if record is None:
        root.note(who, "model.propose", model_id, "refused by the gate", request)
        return json_answer(said)
    said["candidate"] = {"sha256": record.sha256, "trained_on": record.trained_on}
    root.note(who, "model.propose", model_id, "sent", request)
    topic, value = Topics(console.kafka.topic_prefix).candidates, record.model_dump_json().encode()
    with console.state.waiting.for_any((record.kind, record.profile_id)) as inbox:
        await console.producing.send(topic, record.profile_id.encode(), value, record.partition)
        receipt = await receipt_of(console, inbox, record, seconds_of(prefer))
    if receipt is None:
        events = f"/api/v1/profiles/{record.kind}/{quote(record.profile_id, safe='')}/events"
        return json_answer(said | {"outcome": "awaited"}, 202, {"Location": events})
    told = receipt.model_dump(mode="json") | {"at": rfc3339(receipt.at)}
    return json_answer(said | {"outcome": receipt.event, "receipt": told})


def in_force(console: Services, who: Caller, body: ProposeBody) -> dict[str, Any]:
    """The version in force of the profile, as its row.

    Raises:
        Problem: 422 for a kind that there is not; 404; 409, it is still learning or ambiguous.
    """
    if body.kind not in KINDS:
        raise Problem(422, "invalid_request", f"kind: expected one of {', '.join(KINDS)}")
    states = [
        state
        for state in found(console, who, body.kind, body.profile_id)
        if body.partition in (None, state.partition)
    ]
    if len(states) > 1:
        places = ", ".join(str(state.partition) for state in states)
        raise Problem(
            409, "ambiguous_profile", f"partition: expected one of {places}: each has the profile"
        )
    held = t.model_versions.c
    query = select(t.model_versions).where(
        held.kind == body.kind, held.profile_id == body.profile_id, held.in_force
    )
    if states:
        query = query.where(held.partition == states[0].partition)
    with console.database.read() as connection:
        row = connection.execute(query).mappings().first()
    if not states or states[0].state != "active" or row is None:
        raise Problem(
            409,
            "learning",
            "profile_id: expected a profile with a model in force: this one is still learning, "
            "and the gate has nothing to compare with",
        )
    return dict(row)


async def receipt_of(
    console: Services, inbox: Inbox, record: ModelRecord, seconds: float
) -> LifecycleEvent | None:
    """The scorer's answer to a candidate; None if none comes in time."""
    deadline = monotonic() + seconds
    while True:
        for happened in inbox.events:
            if answers(happened.event, record):
                return happened.event
        left = deadline - monotonic()
        if left <= 0 or console.state.waiting.closing:
            return None
        await inbox.more(left)


def answers(event: LifecycleEvent, record: ModelRecord) -> bool:
    """Whether an event is the scorer's answer to a candidate: it repeats the gate's figures."""
    return (
        event.event in ("adopted", "refused")
        and event.role in (None, "scorer")
        and event.generation == record.generation
        and event.figures == record.figures
    )
