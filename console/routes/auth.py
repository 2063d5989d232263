"""Logging in, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from console.answers import Word, json_answer
from console.auth import tickets, users
from console.auth.callers import Root, caller
from console.auth.permissions import Caller
from console.problems import Problem, unauthorized

router = APIRouter(prefix="/api/v1/auth", tags=["auth"])


class Login(BaseModel):
    """Who wants a token."""

    email: Annotated[Word, Field(max_length=320, examples=["ada@example.org"])]
    password: Annotated[str, Field(max_length=users.MOST_PASSWORD)]


@router.post("/token")
def token(request: Request, console: Root, login: Login) -> Response:
    """A token for an e-mail and a password; ten tries a minute from one address."""
    console.logins.take(request.client.host if request.client else "?")
    if console.tokens is None:
        raise Problem(
            409, "no_login", "there is no login: TELLTALE_JWT_SECRET is not set on this console"
        )
    found = users.check(console.database, login.email, login.password)
    if found is None:
        raise unauthorized("e-mail and password do not belong together")
    return json_answer(
        {
            "access_token": console.tokens.issue(found),
            "token_type": "bearer",
            "expires_in": console.tokens.seconds,
        },
        headers={"Cache-Control": "no-store"},
    )


@router.post("/tickets", status_code=201)
def ticket(console: Root, who: Annotated[Caller, Depends(caller)]) -> Response:
    """A ticket that opens one WebSocket within 30 s, for browsers that cannot send a header."""
    body = {"ticket": tickets.issue(console.database, who), "expires_in": tickets.SECONDS}
    return json_answer(body, 201, {"Cache-Control": "no-store"})


@router.get("/me")
def me(who: Annotated[Caller, Depends(caller)]) -> Response:
    """Who one is, and what one may do."""
    return json_answer(
        {
            "id": who.subject,
            "email": who.email,
            "role": who.role,
            "organization_id": who.organization_id,
            "permissions": sorted(who.permissions),
        }
    )
