"""Figures of models that somebody measured elsewhere: taken, kept and listed."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import insert, select, tuple_

from console.answers import After, Limit, Word, json_answer, page, place, plain, rfc3339
from console.auth.callers import Console, needs
from console.auth.permissions import ANALYSIS_CREATE, Caller
from console.live.state import now_ms
from console.services import Services
from console.store import tables as t

router = APIRouter(tags=["model metrics"])
Analyst = Annotated[Caller, Depends(needs(ANALYSIS_CREATE))]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Figure = Annotated[float, Field(allow_inf_nan=False, strict=True)]
NAMES = ("accuracy", "precision", "recall", "f1_score")
MOST_FURTHER = 100


class ModelMetricsBody(BaseModel):
    """Figures of a model; further ones may have any name."""

    model_id: Annotated[Word, Field(min_length=1, max_length=600)] = "fleet:drowsiness"
    accuracy: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    f1_score: Share | None = None

    __pydantic_extra__: dict[str, Figure | Annotated[Word, Field(max_length=500)]] = Field(
        init=False
    )
    model_config = ConfigDict(
        extra="allow",
        protected_namespaces=(),
        json_schema_extra={
            "examples": [{"accuracy": 0.95, "precision": 0.92, "recall": 0.94, "f1_score": 0.93}]
        },
    )

    @model_validator(mode="after")
    def _bounded(self) -> ModelMetricsBody:
        further = self.__pydantic_extra__
        if all(getattr(self, name) is None for name in NAMES) and not further:
            raise ValueError(f"expected one of {', '.join(NAMES)}, or a figure of another name")
        if len(further) > MOST_FURTHER:
            raise ValueError(f"expected at most {MOST_FURTHER} further figures")
        for name in further:
            if len(name) > 200 or "\x00" in name:
                raise ValueError("expected names of at most 200 characters, without NUL")
            name.encode()  # half a surrogate pair is a ValueError
        return self


@router.post("/api/v1/model-metrics", status_code=201)
@router.post("/metrics/model", status_code=201)
def add_metrics(console: Console, who: Analyst, body: ModelMetricsBody) -> Response:
    """Keep figures of a model: the id of the run that they are, beside them."""
    row = {
        "id": uuid.uuid4().hex,
        "organization_id": who.organization_id or "",
        "model_id": body.model_id,
        "run_id": uuid.uuid4().hex,
        **{name: getattr(body, name) for name in NAMES},
        "more": dict(body.__pydantic_extra__),
        "by": who.subject,
        "at": now_ms(),
    }
    with console.database.write() as connection:
        connection.execute(insert(t.model_metrics).values(row))
    return json_answer(shown(row), 201)


@router.get("/api/v1/model-metrics")
def list_metrics(
    request: Request,
    console: Console,
    who: Analyst,
    model_id: Annotated[Word | None, Query(max_length=600)] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """Figures of models, the newest first."""
    c = t.model_metrics.c
    query = _own(who)
    if model_id is not None:
        query = query.where(c.model_id == model_id)
    at = place(after, int, str)
    if at is not None:
        query = query.where(tuple_(c.at, c.id) < tuple_(*at))
    with console.database.read() as connection:
        rows = connection.execute(query.limit(limit + 1)).mappings().all()
    cursors = [[row["at"], row["id"]] for row in rows]
    return page(request, [shown(plain(row)) for row in rows], limit, cursors)


def newest(console: Services, who: Caller, count: int) -> list[dict[str, Any]]:
    """The newest figures that a caller sees."""
    with console.database.read() as connection:
        rows = connection.execute(_own(who).limit(count)).mappings().all()
    return [shown(plain(row)) for row in rows]


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is answered: further figures beside the others."""
    hidden = ("more", "at", "organization_id")
    told = {name: value for name, value in row.items() if name not in hidden}
    return {**row["more"], **told, "at": rfc3339(row["at"])}


def _own(who: Caller) -> Any:
    c = t.model_metrics.c
    query = select(t.model_metrics).order_by(c.at.desc(), c.id.desc())
    return query if who.counted is None else query.where(c.organization_id == who.counted)
