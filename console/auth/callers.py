"""Dependencies of endpoints: who asks, and whether they may."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from time import time
from typing import Annotated
from urllib.parse import unquote

import jwt
from fastapi import Depends, Request, WebSocket
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from console.auth import sessions, tickets
from console.auth.issuer import ALGORITHMS
from console.auth.permissions import ANYONE, Caller
from console.auth.tokens import ALGORITHM
from console.problems import Problem, unauthorized
from console.services import Services, services
from schemas.base import id_fault
from schemas.telemetry import TELEMETRY

_VERSION = re.compile(r"@[0-9]{1,9}$")
_bearer = HTTPBearer(auto_error=False, description="A token of POST /api/v1/auth/token.")


async def root(request: Request) -> Services:
    """``services`` without a thread: FastAPI runs what is not async in one."""
    return services(request)


Root = Annotated[Services, Depends(root)]
"""The services of the process."""

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def caller(request: Request, console: Root, bearer: Bearer) -> Caller:
    """Who asks.

    Raises:
        Problem: 401 without a valid token, 429 for too many requests.
    """
    if console.open:
        # Without tokens, a page that a browser on this machine shows could otherwise ask as well.
        _same_site(request, console)
        found = ANYONE
    elif bearer is None:
        found = _of_session(request, console)
    else:
        found = of_token(console, bearer.credentials)
    console.requests.take(found.subject)
    return found


async def asking(request: Request, console: Root, bearer: Bearer) -> Caller:
    """``caller``, in a thread only if there is a token to look up."""
    if console.open:
        return caller(request, console, bearer)
    return await run_in_threadpool(caller, request, console, bearer)


async def space(console: Root, who: Annotated[Caller, Depends(asking)]) -> Services:
    """The services for the topics that the caller sees."""
    return console.of(who)


Console = Annotated[Services, Depends(space)]
"""The services for the topics that the caller sees."""


def of_token(console: Services, token: str) -> Caller:
    """Whose token it is: of the console's own users, or of the issuer.

    Raises:
        Problem: 401, it is of neither.
    """
    try:
        algorithm = jwt.get_unverified_header(token).get("alg")
    except jwt.InvalidTokenError:
        raise unauthorized("the token is not valid") from None
    if console.tokens is not None and algorithm == ALGORITHM:
        return console.tokens.caller(token)
    if console.issuer is not None and algorithm in ALGORITHMS:
        return console.issuer.caller(token)
    raise unauthorized("the token is not valid")


def _of_session(request: Request, console: Services) -> Caller:
    """Whose cookie it is; a write has to come from a page of the same session.

    Raises:
        Problem: 401 without a valid one, 403 where another site sends it.
    """
    token = sessions.session_of(request)
    if token is None:
        raise unauthorized("expected a bearer token")
    sessions.check_origin(request)
    if request.method not in sessions.SAFE_METHODS:
        sessions.check_csrf(token, request.headers.get(sessions.HEADER))
    return of_token(console, token)


def socket_caller(socket: WebSocket, console: Services) -> Caller:
    """Who opens a WebSocket: by a token or a ticket among the subprotocols, or by a session.

    Raises:
        Problem: 401 without a valid one, 403 from a page of another site, 429.
    """
    _same_site(socket, console)
    if console.open:
        return ANYONE
    found = None
    for offered in socket.scope.get("subprotocols", ()):
        name, _, secret = offered.partition(".")
        if name == "bearer":
            found = of_token(console, secret)
        elif name == "ticket":
            found = tickets.redeem(console.accounts, secret)
            if found is None:
                raise unauthorized("the ticket is not valid, was used, or is too old")
    session = sessions.session_of(socket)
    if found is None and session is not None:
        sessions.check_origin(socket, required=True)
        found = of_token(console, session)
    if found is None:
        raise unauthorized("expected the subprotocol bearer.<token> or ticket.<ticket>")
    console.requests.take(found.subject)
    return found


def still_known(console: Services, who: Caller) -> bool:
    """Whether somebody who follows a stream may go on: the token holds, and the user is there."""
    if who.until is not None and who.until < time():
        return False
    return console.tokens is None or console.tokens.still_known(who)


def _same_site(request: HTTPConnection, console: Services) -> None:
    origin = request.headers.get("origin")
    if origin is None or origin in console.settings.origins:
        return
    if origin.partition("://")[2] != request.headers.get("host"):
        raise Problem(403, "forbidden", "Origin: not one of TELLTALE_CORS_ORIGINS")


def needs(permission: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets in who has a permission."""

    async def check(who: Annotated[Caller, Depends(asking)]) -> Caller:
        if permission not in who.permissions:
            raise Problem(403, "forbidden", f"expected the permission {permission}")
        return who

    return check


def needs_all(permission: str) -> Callable[[Caller], Awaitable[Caller]]:
    """The same, for those who see every profile of the topics."""

    async def check(who: Annotated[Caller, Depends(asking)]) -> Caller:
        if permission not in who.permissions:
            raise Problem(403, "forbidden", f"expected the permission {permission}")
        if who.profile_prefix:
            raise Problem(403, "forbidden", "expected a user who sees the profiles of all")
        return who

    return check


def _unquoted(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8, percent-encoded") from None


def _decoded(text: str) -> str:
    decoded = _unquoted(text)
    fault = id_fault(decoded)
    if fault is not None:
        raise ValueError(fault)
    return decoded


def _decoded_model(text: str) -> str:
    decoded = _unquoted(text)
    # A profile's id may be as long as an id can be; a kind and a version stand around it.
    kind, colon, own = decoded.partition(":")
    faults = [id_fault(kind)]
    if colon:
        faults.append(id_fault(own) and id_fault(_VERSION.sub("", own)))
    fault = next((each for each in faults if each is not None), None)
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

ModelId = Annotated[str, AfterValidator(_decoded_model)]
"""The id of a model in a path, as `<kind>:<profile_id>@<version>`."""

KindName = Annotated[str, AfterValidator(known_kind)]
