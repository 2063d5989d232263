"""The data sets: an upload, the list, and what one holds."""

from __future__ import annotations

from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from console.answers import After
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import ANALYSIS_READ, Caller
from console.lab.data import endpoints as api
from console.pages.rendering import PREFIX, render
from models.features import KINDS

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Reader = Annotated[Caller, Depends(needs(ANALYSIS_READ))]
PAGE = 50
ROWS = 20
COLUMNS = 30
"""Of the first rows, as many are shown; all are described."""


@router.get("/data")
def data(request: Request, console: Console, who: Reader, after: After = None) -> Response:
    """The list, and the form."""
    answer = api.list_datasets(request, console, who, None, PAGE, after)
    link = answer.headers.get("link", "").partition("after=")[2]
    return render(
        request,
        "data.html",
        who,
        rows=orjson.loads(bytes(answer.body))["items"],
        more=link.partition(">")[0] or None,
        first=after is None,
        kinds=list(KINDS),
        most=console.settings.max_upload_bytes,
    )


@router.get("/data/{dataset_id}")
def dataset(request: Request, console: Console, who: Reader, dataset_id: PathId) -> Response:
    """One data set: its columns and first rows."""
    found = orjson.loads(bytes(api.preview(console, who, dataset_id, ROWS).body))
    names = [each["name"] for each in found["columns"]][:COLUMNS]
    return render(request, "dataset.html", who, data=found, names=names, kinds=list(KINDS))
