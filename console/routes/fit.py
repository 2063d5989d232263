"""``/fit``: a series of points makes a model, as the first of the documents has it."""

from __future__ import annotations

from time import monotonic, sleep
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from console.answers import json_answer
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import MODEL_WRITE, TELEMETRY_WRITE, Caller
from console.gateway.bodies import RECORD_BODY
from console.gateway.submit import Answer, Submission, refusal
from console.live.waiting import Inbox
from console.problems import Problem
from console.routes.commands import FORGET_SECONDS, note, receipts_of, send
from console.routes.gateway import json_body
from console.services import Services
from console.store.data_files import DataFiles, note_path
from processor.operations.profile_command import Request as Wanted
from processor.runtime import logs
from processor.topics import Topics
from schemas import CommandName, InvalidJson, LifecycleEvent, parse_object

router = APIRouter(tags=["telemetry"])
KIND = "series"
FIT_SECONDS = 30.0
FAILED = "Training failed."
MADE = ("trained", "adopted")
KEPT_SECONDS, LOOK_SECONDS = 5.0, 0.05
ENDS = {"trained", "training_failed", "adopted", "refused", "command_rejected"}


@router.post("/fit/{series_id}", **RECORD_BODY)
@router.post("/api/v1/profiles/series/{series_id}/fit", **RECORD_BODY)
async def fit(
    request: Request,
    console: Console,
    who: Annotated[Caller, Depends(needs(TELEMETRY_WRITE))],
    _: Annotated[Caller, Depends(needs(MODEL_WRITE))],
    series_id: PathId,
    fresh: Annotated[bool, Query(description="Forget the series first.")] = False,
) -> Response:
    """Train a series on points, `{timestamps, values}`, and say whether that went well."""
    value = await json_body(request)
    _enough(value, console.kafka.min_training_data_points)
    states = console.state.profiles.of(KIND, series_id) if who.sees(series_id) else ()
    if fresh and states:
        await _forget(request, console, who, series_id)
        states = ()
    active = any(state.state == "active" for state in states)
    with console.state.waiting.for_any((KIND, series_id)) as inbox:
        deadline = monotonic() + FIT_SECONDS
        submission = Submission(KIND, series_id, value)
        (found,) = await console.gateway.submit(who, [submission], FIT_SECONDS)
        if isinstance(found, Problem):
            raise found
        verdict_id = found.body["verdict_id"]
        if found.status == 200:
            command = _command_for(found, active=active)
            if command is not None and command not in set(CommandName):
                needed = found.body["samples_needed"]
                detail = f"{found.body['samples_seen']} of {needed} points; the rest are awaited"
                return _answer(series_id, verdict_id, None, detail)
            if command is not None:
                await _send(request, console, who, Wanted(command, series_id, KIND))
            event = await _end(console, inbox, deadline, active=active)
            if event is not None and event.event in MADE:
                await run_in_threadpool(_keep, console, verdict_id, event, value)
            if event is not None:
                return _answer(series_id, verdict_id, event, event.detail or event.event)
    location = {"Location": f"/api/v1/profiles/series/{request.path_params['series_id']}/events"}
    body = {"series_id": series_id, "verdict_id": verdict_id, "status": "awaited"}
    return json_answer(body, 202, location)


def _enough(value: bytes, least: int) -> None:
    try:
        values = parse_object(value).get("values")
    except InvalidJson:
        return  # the scorer's own decoder says it better
    if isinstance(values, list) and len(values) < least:
        raise refusal("invalid_record", f"values: {len(values)} points, expected at least {least}")


def _command_for(found: Answer, *, active: bool) -> str | None:
    """What is to be asked for, so that a model comes of the record."""
    if active:
        return "retrain"
    learnt = found.body["samples_seen"] >= found.body["samples_needed"]
    return None if learnt else "train"


async def _end(
    console: Services, inbox: Inbox, deadline: float, *, active: bool
) -> LifecycleEvent | None:
    wanted = ENDS - {"trained"} if active else ENDS
    while (left := deadline - monotonic()) > 0 and not console.state.waiting.closing:
        for told in inbox.events:
            if told.event.event in wanted:
                return told.event
        await inbox.more(left)
    return None


async def _send(request: Request, console: Services, who: Caller, wanted: Wanted) -> str:
    command_id = str(uuid4())
    await run_in_threadpool(note, console, who, wanted, command_id, request)
    await send(console.producing, Topics(console.kafka.topic_prefix), wanted, command_id)
    return command_id


async def _forget(request: Request, console: Services, who: Caller, series_id: str) -> None:
    with console.state.waiting.for_any((KIND, series_id)) as inbox:
        await _send(request, console, who, Wanted("forget", series_id, KIND))
        if not await receipts_of(console, inbox, "forget", FORGET_SECONDS):
            raise Problem(
                503,
                "not_forgotten",
                "not every role has confirmed that the series is forgotten; nothing was sent",
                headers={"Retry-After": "10"},
            )


def _keep(console: Services, verdict_id: str, event: LifecycleEvent, value: bytes) -> None:
    """Keep the points as the data file of the version; a failure is no reason to say no."""
    if event.generation is None or event.version is None:
        return
    profile = (KIND, int(verdict_id.rsplit("-", 2)[1]), event.profile_id)
    name = f"{event.generation}-{event.version}"
    try:
        path = DataFiles(console.settings.data_dir).write(profile, name, value)
    except OSError as error:
        logs.logger("console").warning("data_file", detail=type(error).__name__)
        return
    # The version is announced on another topic, in the same transaction.
    deadline = monotonic() + KEPT_SECONDS
    while True:
        with console.database.write() as connection:
            noted = note_path(connection, profile, event.generation, event.version, path)
        if noted or monotonic() > deadline:
            return
        sleep(LOOK_SECONDS)


def _answer(series_id: str, verdict_id: str, event: LifecycleEvent | None, detail: str) -> Response:
    success = event is not None and event.event in MADE
    body: dict[str, Any] = {
        "series_id": series_id,
        "success": success,
        "message": "Training completed." if success else f"{FAILED} {detail}",
        "version": event.version if event is not None and success else None,
        "verdict_id": verdict_id,
    }
    return json_answer(body)
