"""The models: those in force, what one is made of, two beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from console.answers import After, Word
from console.auth.callers import Console, ModelId, Root, needs
from console.auth.permissions import MODEL_READ, MODEL_WRITE, Caller
from console.lab.registry.storing import IN_USE, STAGES
from console.pages.model_charts import DRAWN, charts_of
from console.pages.rendering import PREFIX, render
from console.routes import models as api
from console.routes.profiles import list_versions
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(MODEL_READ))]
PAGE = 50
FAMILIES = (("detector", "In force"), ("imported", "Uploads"), ("triage", "Triage"))
ABSENT = dict.fromkeys(
    ("profile_id", "name", "kind", "version", "generation", "in_force", "features")
)
"""What a model of another family lacks."""

SHOWN_APART = (
    *("id", "family", "kind", "profile_id", "partition", "created_at", "updated_at"),
    *("features", "figures", "provenance", "parameters", "used"),
)


def _read(answer: Response) -> Any:
    """What an endpoint answers: the page shows the very same."""
    return orjson.loads(bytes(answer.body))


def _next(answer: Response) -> str | None:
    link = answer.headers.get("link", "").partition("after=")[2]
    return link.partition(">")[0] or None


@router.get("/models")
def models(
    request: Request,
    console: Console,
    who: Reader,
    family: Annotated[Literal["detector", "triage", "imported"], Query()] = "detector",
    kind: Annotated[Word | None, Query()] = None,
    profile_id: Annotated[Word | None, Query()] = None,
    after: After = None,
) -> Response:
    """The list."""
    answer = api.list_models(
        request, console, who, family, kind or None, profile_id or None, PAGE, after
    )
    return render(
        request,
        "models.html",
        who,
        rows=_read(answer)["items"],
        more=_next(answer),
        first=after is None,
        family=family,
        families=FAMILIES,
        kinds=list(KINDS),
        kind=kind or "",
        profile_id=profile_id or "",
        may_write=MODEL_WRITE in who.permissions,
        most=console.settings.max_upload_bytes,
    )


@router.get("/models/compare")
def compare(
    request: Request,
    console: Console,
    who: Reader,
    one: Annotated[Word, Query(alias="a")],
    two: Annotated[Word, Query(alias="b")],
) -> Response:
    """Two models beside one another, what differs marked."""
    found = [_read(api.get_model(console, who, name)) for name in (one, two)]
    flat = [flattened(model) for model in found]
    names = sorted(flat[0].keys() | flat[1].keys())
    rows = [(name, flat[0].get(name), flat[1].get(name)) for name in names]
    return render(request, "models_compare.html", who, found=found, rows=rows)


@router.get("/models/{model_id}")
def model(
    request: Request,
    root: Root,
    console: Console,
    who: Reader,
    model_id: ModelId,
    charts: Annotated[bool, Query()] = False,
) -> Response:
    """One model, and the other versions of its profile.

    Charts of a detector are made of its labelled verdicts: only if they are asked for.
    """
    found = ABSENT | _read(api.get_model(console, who, model_id))
    registered = found["family"] != "detector"
    versions = []
    if found.get("profile_id") is not None and not registered:
        versions = _read(list_versions(console, who, found["kind"], found["profile_id"]))["items"]
    return render(
        request,
        "model.html",
        who,
        model=found,
        plain=flattened({k: v for k, v in found.items() if k not in SHOWN_APART and v is not None}),
        figures=flattened(
            {k: v for k, v in (found.get("figures") or {}).items() if k not in DRAWN}
        ),
        parameters=flattened(found.get("parameters") or {}),
        provenance=flattened(
            {k: v for k, v in (found.get("provenance") or {}).items() if k != "parameters"}
        ),
        versions=versions,
        registered=registered,
        kinds=tuple(KINDS),
        stages=[each for each in STAGES if found["family"] == "triage" or each != IN_USE],
        may_write=MODEL_WRITE in who.permissions,
        charts=charts_of(root, console, who, model_id) if registered or charts else None,
    )


def flattened(value: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested values under dotted names, in their order; a list is one value.

    >>> flattened({"a": {"b": 1}, "c": [1, 2]})
    {'a.b': 1, 'c': [1, 2]}
    """
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and each:
            found |= flattened(each, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = each
    return found
