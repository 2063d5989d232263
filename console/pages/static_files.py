"""Static files: hashed addresses that browsers keep for good, sent compressed."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from console.problems import not_found

router = APIRouter(include_in_schema=False)
HERE = Path(__file__).parent / "static"
BASE = "/ui/static"
FOREVER = "public, max-age=31536000, immutable"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".html": "text/html; charset=utf-8",
}
PLOTLY = "plotly.min.js"
HEAD, TAIL = b', () => {\n"use strict";var Plotly=', b"return Plotly;\n}));"
"""Around the function that is all of Plotly's script."""

COMPRESSED = frozenset((".css", ".js", ".svg", ".html"))


@dataclass(frozen=True)
class File:
    """A file as it is sent.

    Attributes:
        packed: compressed by gzip; None where that saves nothing.
    """

    body: bytes
    packed: bytes | None
    media_type: str
    etag: str


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@cache
def _build() -> str:
    """A digest of all own files: modules import one another, so all change their address."""
    names = sorted(path for path in HERE.rglob("*") if path.is_file())
    return _digest(b"".join(f"{path.name}:".encode() + path.read_bytes() for path in names))


@cache
def _plotly_path() -> Path:
    # Found, not imported: the package takes a second to import, and its script is all we need.
    found = find_spec("plotly")
    assert found is not None  # noqa: S101  (the console's extra has it)
    assert found.origin is not None  # noqa: S101
    return Path(found.origin).parent / "package_data" / PLOTLY


@cache
def _plotly() -> bytes:
    return eager(_plotly_path().read_bytes())


def eager(script: bytes) -> bytes:
    """Plotly's script with its function in parentheses, which changes nothing of what it does.

    Browsers compile a function in parentheses while the script still loads, in another thread.
    Without them they skim it then, and compile it when it is called, while the page waits: 0.15 s.
    Where another version of the script begins or ends differently, it is left as it is.
    """
    end = script.rfind(TAIL)
    if script.count(HEAD) != 1 or end < 0 or script[end + len(TAIL) :].strip():
        return script
    held = script[:end].replace(HEAD, HEAD.replace(b"(", b"((", 1))
    return held + TAIL.replace(b"}", b"})", 1)


@cache
def _plotly_digest() -> str:
    return _digest(_plotly())


def asset(name: str) -> str:
    """The address of an own static file.

    >>> asset("app.css").startswith("/ui/static/")
    True
    """
    return f"{BASE}/{_build()}/{name}"


def plotly() -> str:
    """The address of Plotly's script."""
    return f"{BASE}/{_plotly_digest()}/{PLOTLY}"


@cache
def _files() -> frozenset[str]:
    return frozenset(p.relative_to(HERE).as_posix() for p in HERE.rglob("*") if p.is_file())


@cache
def load(name: str) -> File | None:
    """A static file by its name; None if there is no such file."""
    if name == PLOTLY:
        body = _plotly()
    elif name in _files():
        body = (HERE / name).read_bytes()
    else:
        return None
    suffix = Path(name).suffix
    packed = gzip.compress(body, 9, mtime=0) if suffix in COMPRESSED else None
    kind = TYPES.get(suffix, "application/octet-stream")
    return File(body, packed, kind, f'"{_digest(body)}"')


def send(request: Request, name: str, cache_control: str) -> Response:
    """A static file as an answer.

    Raises:
        Problem: 404, there is none.
    """
    file = load(name)
    if file is None:
        raise not_found("there is no such file")
    headers = {
        "ETag": file.etag,
        "Cache-Control": cache_control,
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = file.body
    if file.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", file.packed
    return Response(body, headers=headers, media_type=file.media_type)


@router.get("/ui/static/{digest}/{name:path}")
def get_static(request: Request, digest: str, name: str) -> Response:
    """A file; under the digest that it has now, it may be kept for good."""
    now = _plotly_digest() if name == PLOTLY else _build()
    return send(request, name, FOREVER if digest == now else "no-cache")
