"""Proposing an uploaded model to a profile: the gate first, then the scorer's answer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from console.answers import ACCEPTED, Word, json_answer, rfc3339
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import MODEL_WRITE, Caller
from console.lab.registry.endpoints import own_row, read_model
from console.live.state import now_ms
from console.live.waiting import Inbox
from console.problems import Problem
from console.routes.gateway import Prefer, seconds_of
from console.routes.profiles import found
from console.services import Services
from console.store import tables as t
from models.features import KINDS
from processor.topics import OUTPUT_LIMIT, Topics
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


@dataclass(frozen=True)
class Judged:
    """What the gate said of an upload; `record` is what is sent, if it passed."""

    figures: dict[str, Any]
    passed: bool
    why: str
    features: str
    record: ModelRecord | None


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


def judge(console: Services, row: dict[str, Any], base: dict[str, Any]) -> Judged:
    """Calibrate the upload on the profile's samples, judge it, and write what passes.

    Raises:
        Problem: 422, it cannot be a detector of the profile; 410, a file is gone; 503.
    """
    # scikit-learn is loaded where a model is opened, and nowhere else.
    from models import artifacts
    from models.artifacts import GATE
    from models.errors import ArtifactError, ArtifactUnavailable
    from models.learning.foreign import UnfitForest, detector_from_sklearn, judge_foreign
    from processor.artifacts.storage import storage
    from processor.settings import SettingsError

    forest = read_model(console, row)
    try:
        detector = detector_from_sklearn(forest, console.kafka.alert_budget)
    except UnfitForest as error:
        raise Problem(422, "not_a_detector", f"model: {error}") from None
    named = getattr(forest, "feature_names_in_", None)
    check_features(None if named is None else [str(n) for n in named], row, base["features"])
    place = {name: base[name] for name in ("kind", "profile_id", "partition", "generation")}
    # None is left in a cache of this machine, where forgetting would not find it.
    with tempfile.TemporaryDirectory() as scratch:
        try:
            store = storage(console.kafka.model_copy(update={"model_cache": scratch}))
            current = store.read(base["artifact"], base["sha256"])
        except ArtifactUnavailable as error:
            raise unavailable(str(error)) from None
        except ArtifactError as error:
            raise Problem(410, "gone", f"the model in force cannot be opened: {error}") from None
        except SettingsError:
            raise unavailable("it cannot be opened from here") from None
        if not hasattr(current.detector, "calibration_"):
            raise Problem(
                422,
                "not_a_detector",
                f"profile_id: expected a profile whose detector judges rows one by one, got "
                f"{base['detector']}",
            )
        candidate = judge_foreign(
            current,
            detector,
            cold_start=int(current.provenance["cold_start"]),
            provenance={
                "trigger": "command",
                "base_version": base["version"],
                "partition": base["partition"],
                "upload": row["id"],
                "upload_sha256": row["sha256"],
                # So that two proposals of one upload are two artefacts.
                "proposal": str(uuid4()),
            },
        )
        outcome = candidate.outcome
        figures = {name: plain_number(value) for name, value in outcome.figures.items()}
        order = "by place: the upload has no names" if named is None else "by name"
        if not outcome.passed:
            return Judged(figures, False, outcome.why, order, None)
        model = candidate.model
        provenance = {**model.provenance, GATE: figures}
        artifact = artifacts.pack(
            artifacts.Model(**{**vars(model), "provenance": provenance}), **place
        )
        record = ModelRecord(
            **place,
            base_version=base["version"],
            detector="forest",
            artifact=artifact.path,
            sha256=artifact.sha256,
            features=base["features"],
            trained_on=int(model.provenance["samples"]),
            learned=base["learned"],
            pool_count=base["pool_count"],
            alert_budget=console.kafka.alert_budget,
            decision_offset=float(model.detector.offset_),
            trigger="command",
            trained_at=now_ms(),
            source_offset=base["source_offset"],
            provenance=dict(model.provenance),
            figures=figures,
        )
        if len(record.model_dump_json()) > OUTPUT_LIMIT:
            raise Problem(413, "too_large", f"the candidate's record exceeds {OUTPUT_LIMIT} bytes")
        try:
            store.write(artifact)
        except OSError as error:
            raise unavailable(f"the artefact cannot be written: {error}") from None
    return Judged(figures, True, outcome.why, order, record)


def check_features(names: list[str] | None, row: dict[str, Any], expected: list[str]) -> None:
    """See that an upload judges what the profile's records hold.

    Raises:
        Problem: 422, names the difference.
    """
    if names is None:
        if len(row["features"]) != len(expected):
            raise Problem(
                422,
                "feature_mismatch",
                f"features: expected the profile's {len(expected)}, got {len(row['features'])}",
                expected=expected,
            )
        return
    if names == expected:
        return
    missing = [name for name in expected if name not in set(names)]
    more = [name for name in names if name not in set(expected)]
    told = [
        f"{word} {', '.join(map(repr, some[:5]))}{' …' if len(some) > 5 else ''}"
        for word, some in (("it lacks", missing), ("it has besides", more))
        if some
    ]
    detail = " and ".join(told) or f"they are in another order, expected {', '.join(expected[:20])}"
    raise Problem(
        422,
        "feature_mismatch",
        f"features: expected those of the profile: {detail}",
        missing=missing,
        unknown=more,
    )


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


def plain_number(value: Any) -> float | int:
    """A figure as JSON has it."""
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int) else float(number)


def unavailable(why: str) -> Problem:
    """503: the store of models does not answer as it should."""
    return Problem(
        503,
        "models_unavailable",
        f"the store of models: {why}",
        headers={"Retry-After": "5"},
    )
