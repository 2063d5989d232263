"""Telemetry in, verdicts out: one record, many records, and the paths of the documents."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response

from console.answers import Word, json_answer
from console.auth.callers import Console, KindName, PathId, needs
from console.auth.permissions import TELEMETRY_WRITE, Caller
from console.gateway.bodies import BATCH_BODY, RECORD_BODY, by_profile, one_of, records_of
from console.gateway.idempotency import Kept, fingerprint
from console.gateway.submit import Answer, Submission
from console.problems import Problem
from console.requests import request_id_of
from console.services import Services
from schemas.base import id_fault

router = APIRouter(tags=["telemetry"])
Writer = Annotated[Caller, Depends(needs(TELEMETRY_WRITE))]
Prefer = Annotated[
    str | None, Header(description="`wait=n` waits n seconds, 30 at most; `respond-async` not.")
]
Key = Annotated[
    str | None, Header(alias="Idempotency-Key", description="The same answer for 24 h.")
]
Expect = Annotated[
    Literal["active", "learning"] | None,
    Query(description="active: 404 without a model. learning: 409 with one."),
]
PartitionNumber = Annotated[int | None, Query(ge=0, description="Where the profile lives.")]
WAIT_SECONDS, MOST_SECONDS = 5.0, 30.0
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


def seconds_of(prefer: str | None) -> float:
    """How long a client wants to wait for a verdict."""
    if prefer is None:
        return WAIT_SECONDS
    if "respond-async" in prefer and "wait=" not in prefer:
        return 0.0
    told = _WAIT.search(prefer)
    return WAIT_SECONDS if told is None else min(float(told[1]), MOST_SECONDS)


@router.post("/api/v1/profiles/{kind}/{profile_id}/records", **RECORD_BODY)
async def post_record(
    request: Request,
    console: Console,
    who: Writer,
    kind: KindName,
    profile_id: PathId,
    expect: Expect = None,
    partition: PartitionNumber = None,
    prefer: Prefer = None,
    key: Key = None,
) -> Response:
    """Send one telemetry record; the answer is the verdict of the scorer."""
    value = await json_body(request)
    return await _one(
        request, console, who, Submission(kind, profile_id, value, expect, partition), prefer, key
    )


@router.post("/train/{profile_id}", **RECORD_BODY)
async def train(
    request: Request,
    console: Console,
    who: Writer,
    profile_id: PathId,
    prefer: Prefer = None,
    key: Key = None,
) -> Response:
    """Send a window of behaviour that a profile learns from; 409 once it has a model."""
    value = await json_body(request)
    submission = Submission("behavior", profile_id, value, "learning")
    return await _one(request, console, who, submission, prefer, key)


@router.post("/score/{profile_id}", **RECORD_BODY)
async def score(
    request: Request,
    console: Console,
    who: Writer,
    profile_id: PathId,
    prefer: Prefer = None,
    key: Key = None,
) -> Response:
    """Have a window of behaviour judged; 404 as long as the profile has no model."""
    value = await json_body(request)
    submission = Submission("behavior", profile_id, value, "active")
    return await _one(request, console, who, submission, prefer, key)


@router.post("/telemetry", **RECORD_BODY)
async def telemetry(
    request: Request,
    console: Console,
    who: Writer,
    profile_id: Annotated[Word | None, Query()] = None,
    prefer: Prefer = None,
    key: Key = None,
) -> Response:
    """Send one observation of the eyes, `{ear_value, is_drowsy, duration_ms}`, or another kind."""
    value = await json_body(request)
    default = _default_profile(request, who, profile_id)
    return await _one(request, console, who, one_of(value, default), prefer, key)


@router.post("/api/v1/records", **BATCH_BODY)
async def post_records(
    request: Request, console: Console, who: Writer, prefer: Prefer = None, key: Key = None
) -> Response:
    """Send records of many profiles; a verdict, or an error and its status, for each."""
    lines = _media_type(request) in ("application/x-ndjson", "application/jsonl")
    value = await request.body() if lines else await json_body(request)

    async def run() -> Kept:
        return await _many(request, console, who, records_of(value, lines=lines), prefer)

    return await _once(request, console, who, key, value, run)


@router.post("/telemetry/batch", **BATCH_BODY)
async def telemetry_batch(
    request: Request,
    console: Console,
    who: Writer,
    profile_id: Annotated[Word | None, Query()] = None,
    prefer: Prefer = None,
    key: Key = None,
) -> Response:
    """Send observations of the eyes: one record, and so one verdict, for each profile in them."""
    value = await json_body(request)
    default = _default_profile(request, who, profile_id)

    async def run() -> Kept:
        return await _many(request, console, who, by_profile(value, default), prefer)

    return await _once(request, console, who, key, value, run)


def _default_profile(request: Request, who: Caller, given: str | None) -> str:
    """Whose telemetry it is where the body does not say."""
    found = given or request.headers.get("x-profile-id")
    if found is None:
        return f"{who.profile_prefix}{'default' if who.subject == 'local' else who.subject}"
    fault = id_fault(found)
    if fault is not None:
        raise Problem(422, "invalid_key", f"profile_id: {fault}")
    return found


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request) -> bytes:
    """The bytes of a body in JSON.

    Raises:
        Problem: 415, it is said to be something else.
    """
    # A form of another site could send anything else without the browser asking first.
    given = _media_type(request)
    if given != "application/json" and not given.endswith("+json"):
        raise Problem(
            415, "unsupported_media_type", f"Content-Type: expected application/json, got {given!r}"
        )
    return await request.body()


async def _one(
    request: Request,
    console: Services,
    who: Caller,
    submission: Submission,
    prefer: str | None,
    key: str | None,
) -> Response:
    async def run() -> Kept:
        (found,) = await console.gateway.submit(who, [submission], seconds_of(prefer))
        if isinstance(found, Problem):
            raise found
        return _kept(found)

    return await _once(request, console, who, key, submission.value, run)


def _kept(found: Answer) -> Kept:
    headers = {} if found.location is None else {"Location": found.location}
    return Kept(found.status, found.body, headers)


async def _many(
    request: Request,
    console: Services,
    who: Caller,
    records: list[Submission | Problem],
    prefer: str | None,
) -> Kept:
    given = [record for record in records if isinstance(record, Submission)]
    answers = iter(await console.gateway.submit(who, given, seconds_of(prefer)) if given else [])
    body: list[Any] = []
    for record in records:
        found = record if isinstance(record, Problem) else next(answers)
        if isinstance(found, Problem):
            problem = found.body(request_id_of(request))
            body.append({"error": problem, "status": found.status})
        else:
            body.append(found.body)
    return Kept(200, body, {})


async def _once(
    request: Request, console: Services, who: Caller, key: str | None, value: bytes, run: Any
) -> Response:
    if key is None:
        kept = await run()
    else:
        same = fingerprint(request.method, request.url.path, str(request.query_params), value)
        kept = await console.idempotency.once(who.subject, key, same, run)
    return json_answer(kept.body, kept.status, kept.headers)
