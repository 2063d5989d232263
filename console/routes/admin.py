"""Users, organisations and the audit log: for those who run the console."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from sqlalchemy import delete, select, update

from console.answers import After, Limit, json_answer, page, place, plain, rfc3339
from console.auth import users
from console.auth.callers import Console, PathId, needs
from console.auth.permissions import ADMIN, ROLES, Caller
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.requests import request_id_of
from console.store import audit
from console.store import tables as t

router = APIRouter(prefix="/api/v1", tags=["administration"])
Admin = Annotated[Caller, Depends(needs(ADMIN))]


class UserBody(BaseModel):
    """A user to be added."""

    email: str = Field(max_length=320)
    password: str = Field(max_length=users.MOST_PASSWORD)
    role: str
    organization_id: str | None = None


class UserPatch(BaseModel):
    """What is to change of a user."""

    role: str | None = None
    disabled: bool | None = None


class OrganizationBody(BaseModel):
    """An organisation: it sees the profiles whose ids begin with its prefix, and no others."""

    name: str = Field(min_length=1, max_length=200)
    profile_prefix: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")


@router.get("/users")
def list_users(console: Console, _: Admin) -> Response:
    """All users."""
    held = t.users.c
    columns = (held.id, held.email, held.role, held.organization_id, held.disabled, held.created_at)
    with console.database.read() as connection:
        rows = connection.execute(select(*columns).order_by(held.email)).mappings().all()
    return json_answer(
        {"items": [plain(row) | {"created_at": rfc3339(row["created_at"])} for row in rows]}
    )


@router.post("/users")
def add_user(request: Request, console: Console, who: Admin, body: UserBody) -> Response:
    """Add a user."""
    if console.tokens is None:
        raise Problem(409, "no_login", "set TELLTALE_JWT_SECRET first: without it nobody logs in")
    new = users.NewUser(body.email, body.password, body.role, body.organization_id)
    try:
        user_id = users.add(console.database, new)
    except users.InvalidUser as error:
        raise Problem(422, "invalid_request", str(error)) from None
    audit.note(console.database, who.subject, "user.add", user_id, "done", request_id_of(request))
    return json_answer({"id": user_id}, 201)


@router.patch("/users/{user_id}")
def change_user(
    request: Request, console: Console, who: Admin, user_id: PathId, body: UserPatch
) -> Response:
    """Change a user's role, or disable it."""
    if body.role is not None and body.role not in ROLES:
        raise Problem(422, "invalid_request", f"role: expected one of {', '.join(ROLES)}")
    values = body.model_dump(exclude_none=True)
    if not values:
        raise Problem(422, "invalid_request", "expected role or disabled")
    with console.database.write() as connection:
        done = connection.execute(update(t.users).where(t.users.c.id == user_id).values(values))
    if done.rowcount != 1:
        raise not_found("there is no such user")
    audit.note(
        console.database, who.subject, "user.change", user_id, "done", request_id_of(request)
    )
    return json_answer({"id": user_id} | values)


@router.delete("/users/{user_id}")
def delete_user(request: Request, console: Console, who: Admin, user_id: PathId) -> Response:
    """Delete a user; its token is refused within 10 s."""
    with console.database.write() as connection:
        done = connection.execute(delete(t.users).where(t.users.c.id == user_id))
    if done.rowcount != 1:
        raise not_found("there is no such user")
    audit.note(
        console.database, who.subject, "user.delete", user_id, "done", request_id_of(request)
    )
    return json_answer({"id": user_id})


@router.post("/organizations")
def add_organization(
    request: Request, console: Console, who: Admin, body: OrganizationBody
) -> Response:
    """Add an organisation; what is counted from now on is counted as its own."""
    row = {"id": str(uuid.uuid4()), "created_at": now_ms(), **body.model_dump()}
    with console.database.write() as connection:
        added = console.database.add(connection, t.organizations, row)
    if not added:
        raise Problem(409, "conflict", "profile_prefix: another organisation has it")
    audit.note(
        console.database,
        who.subject,
        "organization.add",
        str(row["id"]),
        "done",
        request_id_of(request),
    )
    return json_answer({"id": row["id"]}, 201)


@router.get("/audit")
def list_audit(
    request: Request, console: Console, _: Admin, limit: Limit = 50, after: After = None
) -> Response:
    """Who did what, the newest first."""
    held = t.audit_log.c
    query = select(t.audit_log)
    at = place(after, int, str)
    if at is not None:
        query = query.where((held.at < at[0]) | ((held.at == at[0]) & (held.id < at[1])))
    with console.database.read() as connection:
        rows = (
            connection.execute(query.order_by(held.at.desc(), held.id.desc()).limit(limit + 1))
            .mappings()
            .all()
        )
    items = [plain(row) | {"at": rfc3339(row["at"])} for row in rows]
    return page(request, items, limit, [[row["at"], row["id"]] for row in rows])
