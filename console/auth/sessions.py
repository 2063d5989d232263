"""Sessions of browsers: a token in a cookie, and what forged requests cannot know."""

from __future__ import annotations

import hashlib
import hmac

from fastapi import Request
from fastapi.responses import Response
from starlette.requests import HTTPConnection

from console.problems import Problem

COOKIE = "telltale_session"
HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def session_of(request: HTTPConnection) -> str | None:
    """The token in the cookie of a request."""
    return request.cookies.get(COOKIE) or None


def csrf_of(token: str) -> str:
    """What a page sends back with a write: derived from the session, which no script can read."""
    return hmac.new(token.encode(), b"telltale csrf", hashlib.sha256).hexdigest()


def check_csrf(token: str, given: str | None) -> None:
    """Refuse a write that does not come from a page of this session.

    Raises:
        Problem: 403.
    """
    if not hmac.compare_digest(csrf_of(token).encode(), (given or "").encode()):
        raise Problem(403, "forbidden", f"{HEADER}: expected that of this session")


def check_origin(request: HTTPConnection, *, required: bool = False) -> None:
    """Refuse what a page of another origin sends with the cookie.

    Args:
        required: whether a request without ``Origin`` is refused too: a WebSocket always has one.

    Raises:
        Problem: 403.
    """
    origin = request.headers.get("origin")
    if origin is None and not required:
        return
    if (origin or "").partition("://")[2] != request.headers.get("host"):
        raise Problem(403, "forbidden", "Origin: a session is taken from the console's own pages")


def begin(request: Request, response: Response, token: str, seconds: int) -> None:
    """Have the browser keep a token, unreadable to scripts."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def end(request: Request, response: Response) -> None:
    """Have the browser drop its token."""
    response.delete_cookie(
        COOKIE, path="/", httponly=True, samesite="lax", secure=request.url.scheme == "https"
    )
