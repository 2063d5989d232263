"""Dependencies of endpoints: who asks, and whether they may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator

from console.auth.permissions import ANYONE, Caller
from console.problems import Problem, unauthorized
from console.services import Services, services
from schemas.base import id_fault
from schemas.telemetry import TELEMETRY

_bearer = HTTPBearer(auto_error=False, description="A token of POST /api/v1/auth/token.")

Console = Annotated[Services, Depends(services)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(request: Request, console: Console, bearer: Bearer) -> Caller:
    """Who asks.

    Raises:
        Problem: 401 without a valid token, 429 for too many requests.
    """
    if console.tokens is None:
        _same_site(request, console)
        found = ANYONE
    elif bearer is None:
        raise unauthorized("expected a bearer token")
    else:
        found = console.tokens.caller(bearer.credentials)
    console.requests.take(found.subject)
    return found


def _same_site(request: Request, console: Services) -> None:
    # Without tokens, a page that a browser on this machine shows could otherwise ask as well.
    origin = request.headers.get("origin")
    if origin is None or origin in console.settings.origins:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        raise Problem(403, "forbidden", "Origin: not one of TELLTALE_CORS_ORIGINS")


def needs(permission: str) -> Callable[[Caller], Caller]:
    """A dependency that lets in who has a permission."""

    def check(who: Annotated[Caller, Depends(caller)]) -> Caller:
        if permission not in who.permissions:
            raise Problem(403, "forbidden", f"expected the permission {permission}")
        return who

    return check


def _decoded(text: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8, percent-encoded") from None
    fault = id_fault(decoded)
    if fault is not None:
        raise ValueError(fault)
    return decoded


def known_kind(kind: str) -> str:
    """A kind of telemetry.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in TELEMETRY:
        raise ValueError(f"expected one of {', '.join(TELEMETRY)}")
    return kind


PathId = Annotated[str, AfterValidator(_decoded)]
"""An id in a path; a slash in it is percent-encoded."""

KindName = Annotated[str, AfterValidator(known_kind)]
