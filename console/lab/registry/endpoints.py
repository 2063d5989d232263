"""Registered models over HTTP: uploaded, their stage, proposed to a profile, deleted."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import delete

from console.answers import json_answer
from console.auth.callers import Console, PathId, Root, needs
from console.auth.permissions import MODEL_WRITE, Caller
from console.lab.blobs import Blobs
from console.lab.registry.storing import IN_USE, add_row, model_row, put_stage
from console.lab.tables import registered_models
from console.lab.uploads import described, uploaded
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.routes.models import detector_exists
from console.routes.models import registered_shown as shown
from console.services import Services
from models.features import KINDS

router = APIRouter(tags=["models"])
Writer = Annotated[Caller, Depends(needs(MODEL_WRITE))]


class ModelPatch(BaseModel):
    """What is to change of a registered model."""

    stage: Literal["none", "staging", "in_use", "archived"]


def own_row(console: Services, who: Caller, model_id: str) -> dict[str, Any]:
    """A registered model.

    Raises:
        Problem: 409 for a detector in force, 404.
    """
    row = model_row(console.database, who, model_id)
    if row is not None:
        return row
    if detector_exists(console, who, model_id):
        raise Problem(
            409, "in_force", "expected an upload or a triage model: this is a profile's detector"
        )
    raise not_found("there is no such model")


@router.post("/api/v1/models", status_code=201, openapi_extra=described("name", "kind"))
@router.post("/api/models/upload", status_code=201, openapi_extra=described("name", "kind"))
async def upload(request: Request, root: Root, console: Console, who: Writer) -> Response:
    """Upload a model of scikit-learn as a skops file; a pickle is refused with 415."""
    async with uploaded(request, console.settings.max_upload_bytes) as (file, texts):
        row = await run_in_threadpool(
            _stored, console, who, file.file, file.filename or "model", texts
        )
    root.note(who, "model.add", row["id"], "done", request)
    return json_answer(shown(row), 201, {"Location": f"/api/v1/models/{row['id']}"})


def _stored(
    console: Services, who: Caller, source: BinaryIO, filename: str, texts: Any
) -> dict[str, Any]:
    # skops and scikit-learn are loaded where a model is opened, and nowhere else.
    from console.lab.registry.files import check_format, opened

    kind = texts.get("kind") or None
    if kind is not None and kind not in KINDS:
        raise Problem(422, "invalid_request", f"kind: expected one of {', '.join(KINDS)}")
    head = source.read(4)
    source.seek(0)
    check_format(filename, head, source, console.settings.max_upload_bytes)
    model = opened(source.read())
    if not hasattr(model, "fit") or getattr(model, "n_features_in_", None) is None:
        raise Problem(422, "invalid_model", "file: expected a fitted estimator of scikit-learn")
    width = int(model.n_features_in_)
    names = getattr(model, "feature_names_in_", None)
    features = [f"x{number}" for number in range(width)] if names is None else list(map(str, names))
    source.seek(0)
    model_id = str(uuid.uuid4())
    written = Blobs(console.settings.data_dir).write(f"models/{model_id}.skops", source)
    row: dict[str, Any] = {
        "id": model_id,
        "name": texts.get("name") or filename,
        "family": "imported",
        "kind": kind,
        "algorithm": type(model).__name__,
        "dataset_id": None,
        "job_id": None,
        "path": written.path,
        "sha256": written.sha256,
        "features": features,
        "figures": {},
        "trained_on": [],
        "stage": "none",
        "mlflow_run_id": None,
        "flagged_at": None,
        "by": who.subject,
        "organization_id": who.organization_id,
        "created_at": now_ms(),
    }
    add_row(console.database, row)
    return row


@router.patch("/api/v1/models/{model_id}")
def change(
    request: Request, root: Root, console: Console, who: Writer, model_id: PathId, body: ModelPatch
) -> Response:
    """Set the stage of a registered model; a triage model that is `in_use` ranks the alerts."""
    row = own_row(console, who, model_id)
    if body.stage == IN_USE and row["family"] != "triage":
        raise Problem(409, "conflict", "stage: only a triage model is in use; propose an upload")
    put_stage(console.database, row, body.stage)
    root.note(who, "model.stage", model_id, body.stage, request)
    return json_answer(shown(row | {"stage": body.stage}))


@router.delete("/api/v1/models/{model_id}")
@router.delete("/api/models/{model_id}")
def remove(
    request: Request, root: Root, console: Console, who: Writer, model_id: PathId
) -> Response:
    """Delete an upload or a triage model; 409 for what is in force."""
    row = own_row(console, who, model_id)
    if row["stage"] == IN_USE:
        raise Problem(409, "in_force", "the model ranks alerts: set another stage first")
    Blobs(console.settings.data_dir).delete(row["path"])
    with console.database.write() as connection:
        connection.execute(delete(registered_models).where(registered_models.c.id == model_id))
    root.note(who, "model.delete", model_id, "done", request)
    return json_answer({"id": model_id})


def read_model(console: Services, row: dict[str, Any]) -> Any:
    """Open a registered model.

    Raises:
        Problem: 410, its file is gone; 422, it is not as it was.
    """
    from console.lab.registry.files import opened

    try:
        with Blobs(console.settings.data_dir).open(row["path"]) as file:
            data = file.read()
    except FileNotFoundError:
        raise Problem(410, "gone", "the file of the model is gone") from None
    return opened(data)
