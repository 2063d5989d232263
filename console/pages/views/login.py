"""Logging in and out: a token in a cookie that scripts cannot read."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from console.auth import sessions, users
from console.auth.callers import Root, caller, of_token
from console.auth.permissions import Caller
from console.pages.rendering import HEADERS, PREFIX, own_path, render
from console.problems import Problem
from console.services import Services

router = APIRouter(prefix=PREFIX, include_in_schema=False)
Text = Annotated[str, Form(max_length=users.MOST_PASSWORD)]
WRONG = "E-mail and password do not belong together."


@router.get("")
@router.get("/")
def begin() -> Response:
    """The first page."""
    return RedirectResponse(f"{PREFIX}/overview", 303, HEADERS)


@router.get("/login")
def show_login(
    request: Request,
    console: Root,
    wanted: Annotated[str | None, Query(alias="next", max_length=4000)] = None,
) -> Response:
    """The form; who needs none goes on."""
    if console.open or _signed_in(request, console):
        return RedirectResponse(own_path(wanted), 303, HEADERS)
    return _form(request, console, own_path(wanted), "", "", 200)


@router.post("/login")
def login(
    request: Request,
    console: Root,
    email: Annotated[str, Form(max_length=320)] = "",
    password: Text = "",
    wanted: Annotated[str | None, Form(alias="next", max_length=4000)] = None,
) -> Response:
    """Begin a session; ten tries a minute from one address, those of the API counted too."""
    sessions.check_origin(request)
    back = own_path(wanted)
    if console.tokens is None:
        return _form(request, console, back, email, "This console has no users of its own.", 409)
    try:
        console.logins.take(request.client.host if request.client else "?")
    except Problem as problem:
        told = _form(request, console, back, email, f"{problem.detail.capitalize()}.", 429)
        told.headers.update(problem.headers)
        return told
    found = users.check(console.accounts, email, password)
    if found is None:
        return _form(request, console, back, email, WRONG, 401)
    answer = RedirectResponse(back, 303, HEADERS)
    sessions.begin(request, answer, console.tokens.issue(found), console.tokens.seconds)
    console.note(found, "session.begin", found.subject, "done", request)
    return answer


@router.post("/logout")
def logout(request: Request, console: Root, csrf: Text = "") -> Response:
    """End the session: the browser drops its token, and no replica takes it any longer."""
    token = sessions.session_of(request)
    if token is not None:
        sessions.check_origin(request)
        sessions.check_csrf(token, csrf)
        _end(request, console, token)
    answer = RedirectResponse(f"{PREFIX}/login", 303, HEADERS)
    sessions.end(request, answer)
    return answer


def _end(request: Request, console: Services, token: str) -> None:
    try:
        who = of_token(console, token)
    except Problem:
        return  # it has expired, or was ended before
    if console.tokens is not None:
        console.tokens.end(who)
    console.note(who, "session.end", who.subject, "done", request)


def _signed_in(request: Request, console: Services) -> Caller | None:
    try:
        return caller(request, console, None)
    except Problem:
        return None


def _form(
    request: Request, console: Services, back: str, email: str, wrong: str, status: int
) -> Response:
    return render(
        request,
        "login.html",
        None,
        status=status,
        back=back,
        email=email,
        wrong=wrong,
        has_users=console.tokens is not None,
    )
