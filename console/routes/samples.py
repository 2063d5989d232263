"""The samples that a version was trained on, as its artefact holds them."""

from __future__ import annotations

import csv
import io
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import select

from console.answers import TABLE, Generation, VersionNumber, json_answer
from console.auth.callers import Console, KindName, PathId, needs
from console.auth.permissions import MODEL_READ, Caller
from console.problems import Problem, not_found
from console.services import Services
from console.store import tables as t

router = APIRouter(prefix="/api/v1/profiles", tags=["profiles"])
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]


@router.get("/{kind}/{profile_id}/versions/{version}/samples", responses=TABLE)
def get_samples(
    request: Request,
    console: Console,
    who: Reader,
    kind: KindName,
    profile_id: PathId,
    version: VersionNumber,
    generation: Generation = None,
) -> Response:
    """The training samples of a version: `{features, samples}`, or a table for `Accept: text/csv`.

    410 where the artefact is gone from the history.
    """
    row = _row(console, who, kind, profile_id, version, generation)
    features, samples = _opened(console, row)
    if "text/csv" in request.headers.get("accept", ""):
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(features)
        writer.writerows(["" if value is None else value for value in line] for line in samples)
        return Response(out.getvalue(), media_type="text/csv; charset=utf-8")
    return json_answer({"features": features, "samples": samples})


def _row(
    console: Services, who: Caller, kind: str, profile_id: str, version: int, generation: int | None
) -> Any:
    held = t.model_versions.c
    query = select(held.artifact, held.sha256).where(
        held.kind == kind, held.profile_id == profile_id, held.version == version
    )
    if generation is not None:
        query = query.where(held.generation == generation)
    with console.database.read() as connection:
        row = connection.execute(query.order_by(held.generation.desc()).limit(1)).first()
    if row is None or not who.sees(profile_id):
        raise not_found("there is no such version")
    return row


def _opened(console: Services, row: Any) -> tuple[list[str], list[list[float | None]]]:
    # Here, not above: the console need not wait until scikit-learn is imported.
    from models.errors import ArtifactError
    from processor.artifacts.storage import uncached
    from processor.settings import SettingsError

    try:
        with uncached(console.kafka) as store:
            model = store.read(row.artifact, row.sha256)
    except ArtifactError as error:
        raise Problem(410, "gone", f"the artefact cannot be opened: {error}") from None
    except SettingsError:
        raise Problem(
            503, "models_unavailable", "the store of models cannot be opened from here"
        ) from None
    samples = np.asarray(model.samples, dtype=np.float64)
    rows = [[None if np.isnan(value) else float(value) for value in line] for line in samples]
    return list(model.features), rows
