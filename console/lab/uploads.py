"""Uploads as multipart forms: read after the caller is known to be allowed, spooled to disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from console.problems import Problem

FORM_BYTES = 100_000
"""Of a multipart form, beside its file."""

PATHS = frozenset(("/api/v1/datasets", "/api/data/upload", "/api/v1/models", "/api/models/upload"))


def described(*fields: str) -> dict[str, Any]:
    """A form with a file and some texts, for OpenAPI."""
    properties: dict[str, Any] = {name: {"type": "string"} for name in fields}
    properties["file"] = {"type": "string", "format": "binary"}
    schema = {"type": "object", "required": ["file"], "properties": properties}
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }


@asynccontextmanager
async def uploaded(
    request: Request, most: int
) -> AsyncIterator[tuple[UploadFile, Mapping[str, str]]]:
    """The file of a form and its texts; the file is deleted afterwards.

    Args:
        most: bytes of the file.

    Raises:
        Problem: 415, 422, 413.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Problem(415, "unsupported_media_type", "expected multipart/form-data")
    async with request.form(max_files=1, max_fields=20) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Problem(422, "invalid_request", "file: expected a file in the form")
        if (file.size or 0) > most:
            raise Problem(413, "too_large", f"file: expected at most {most} bytes, got {file.size}")
        texts = {name: value for name, value in form.items() if isinstance(value, str)}
        for name, value in texts.items():
            if len(value) > 2000 or "\x00" in value:
                raise Problem(422, "invalid_request", f"{name}: expected a text of 2000 characters")
        yield file, texts
