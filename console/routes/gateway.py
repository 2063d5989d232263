"""Telemetry in, verdicts out: one record, many records, and the paths of the documents."""

from __future__ import annotations

import re
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Call:
    """A request that sends telemetry, and how its sender wants to be answered."""

    request: Request
    console: Services
    who: Caller
    prefer: str | None
    key: str | None


def call_of(
    request: Request, console: Console, who: Writer, prefer: Prefer = None, key: Key = None
) -> Call:
    """What all paths of the gateway take."""
    return Call(request, console, who, prefer, key)


Sent = Annotated[Call, Depends(call_of)]
ProfileQuery = Annotated[Word | None, Query()]


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
    call: Sent,
    kind: KindName,
    profile_id: PathId,
    expect: Expect = None,
    partition: PartitionNumber = None,
) -> Response:
    """Send one telemetry record; the answer is the verdict of the scorer."""
    value = await json_body(call.request)
    return await _one(call, Submission(kind, profile_id, value, expect, partition))


@router.post("/train/{profile_id}", **RECORD_BODY)
async def train(call: Sent, profile_id: PathId) -> Response:
    """Send a window of behaviour that a profile learns from; 409 once it has a model."""
    value = await json_body(call.request)
    return await _one(call, Submission("behavior", profile_id, value, "learning"))


@router.post("/score/{profile_id}", **RECORD_BODY)
async def score(call: Sent, profile_id: PathId) -> Response:
    """Have a window of behaviour judged; 404 as long as the profile has no model."""
    value = await json_body(call.request)
    return await _one(call, Submission("behavior", profile_id, value, "active"))


@router.post("/telemetry", **RECORD_BODY)
async def telemetry(call: Sent, profile_id: ProfileQuery = None) -> Response:
    """Send one observation of the eyes, `{ear_value, is_drowsy, duration_ms}`, or another kind."""
    value = await json_body(call.request)
    return await _one(call, one_of(value, _default_profile(call, profile_id)))


@router.post("/api/v1/records", **BATCH_BODY)
async def post_records(call: Sent) -> Response:
    """Send records of many profiles; a verdict, or an error and its status, for each."""
    lines = _media_type(call.request) in ("application/x-ndjson", "application/jsonl")
    value = await call.request.body() if lines else await json_body(call.request)

    async def run() -> Kept:
        return await _many(call, records_of(value, lines=lines))

    return await _once(call, value, run)


@router.post("/telemetry/batch", **BATCH_BODY)
async def telemetry_batch(call: Sent, profile_id: ProfileQuery = None) -> Response:
    """Send observations of the eyes: one record, and so one verdict, for each profile in them."""
    value = await json_body(call.request)
    default = _default_profile(call, profile_id)

    async def run() -> Kept:
        return await _many(call, by_profile(value, default))

    return await _once(call, value, run)


def _default_profile(call: Call, given: str | None) -> str:
    """Whose telemetry it is where the body does not say."""
    found = given or call.request.headers.get("x-profile-id")
    if found is None:
        who = call.who
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


async def _one(call: Call, submission: Submission) -> Response:
    async def run() -> Kept:
        (found,) = await _submit(call, [submission])
        if isinstance(found, Problem):
            raise found
        return _kept(found)

    return await _once(call, submission.value, run)


async def _submit(call: Call, given: list[Submission]) -> list[Answer | Problem]:
    return await call.console.gateway.submit(call.who, given, seconds_of(call.prefer))


def _kept(found: Answer) -> Kept:
    headers = {} if found.location is None else {"Location": found.location}
    return Kept(found.status, found.body, headers)


async def _many(call: Call, records: list[Submission | Problem]) -> Kept:
    given = [record for record in records if isinstance(record, Submission)]
    answers = iter(await _submit(call, given) if given else [])
    body: list[Any] = []
    for record in records:
        found = record if isinstance(record, Problem) else next(answers)
        if isinstance(found, Problem):
            problem = found.body(request_id_of(call.request))
            body.append({"error": problem, "status": found.status})
        else:
            body.append(found.body)
    return Kept(200, body, {})


async def _once(call: Call, value: bytes, run: Any) -> Response:
    if call.key is None:
        kept = await run()
    else:
        url = call.request.url
        same = fingerprint(call.request.method, url.path, str(call.request.query_params), value)
        kept = await call.console.idempotency.once(call.who.subject, call.key, same, run)
    return json_answer(kept.body, kept.status, kept.headers)
