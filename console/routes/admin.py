"""Users, organisations and the audit log: for those who run the console, or an organisation."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, model_validator
from sqlalchemy import delete, select, update

from console.answers import After, Limit, Word, json_answer, page, place, plain, rfc3339
from console.auth import users
from console.auth.callers import PathId, Root, needs
from console.auth.permissions import ADMIN, ROLES, Caller
from console.live.state import now_ms
from console.problems import Problem, not_found
from console.spaces import open_space
from console.store import tables as t

router = APIRouter(prefix="/api/v1", tags=["administration"])
Admin = Annotated[Caller, Depends(needs(ADMIN))]


class UserBody(BaseModel):
    """A user to be added."""

    email: Annotated[Word, Field(max_length=320, examples=["ada@example.org"])]
    password: Annotated[str, Field(max_length=users.MOST_PASSWORD)]
    role: Annotated[Word, Field(max_length=20, examples=["analyst"])]
    organization_id: Annotated[Word, Field(max_length=100)] | None = None


class UserPatch(BaseModel):
    """What is to change of a user."""

    role: Annotated[Word, Field(max_length=20, examples=["viewer"])] | None = None
    disabled: bool | None = None


class OrganizationBody(BaseModel):
    """An organisation: it sees the profiles of its prefix, or the topics of its prefix, alone."""

    name: Annotated[Word, Field(min_length=1, max_length=200, examples=["Mill"])]
    profile_prefix: str | None = Field(
        None, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", examples=["mill-"]
    )
    topic_prefix: str | None = Field(
        None, min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$"
    )

    @model_validator(mode="after")
    def _one_prefix(self) -> OrganizationBody:
        if (self.profile_prefix is None) == (self.topic_prefix is None):
            raise ValueError("expected either profile_prefix or topic_prefix")
        return self


@router.get("/users")
def list_users(console: Root, who: Admin) -> Response:
    """All users; of an organisation, its own."""
    held = t.users.c
    columns = (held.id, held.email, held.role, held.organization_id, held.disabled, held.created_at)
    query = _own(select(*columns), who).order_by(held.email)
    with console.accounts.read() as connection:
        rows = connection.execute(query).mappings().all()
    return json_answer(
        {"items": [plain(row) | {"created_at": rfc3339(row["created_at"])} for row in rows]}
    )


@router.post("/users", status_code=201)
def add_user(request: Request, console: Root, who: Admin, body: UserBody) -> Response:
    """Add a user; the admin of an organisation adds to it alone."""
    if console.tokens is None:
        raise Problem(409, "no_login", "set TELLTALE_JWT_SECRET first: without it nobody logs in")
    organization_id = body.organization_id or who.organization_id
    if who.organization_id not in (None, organization_id):
        raise Problem(403, "forbidden", "organization_id: expected your own")
    new = users.NewUser(body.email, body.password, body.role, organization_id)
    try:
        user_id = users.add(console.accounts, new)
    except users.InvalidUser as error:
        raise Problem(422, "invalid_request", str(error)) from None
    console.note(who, "user.add", user_id, "done", request)
    return json_answer({"id": user_id}, 201)


@router.get("/users/{user_id}")
def get_user(console: Root, who: Admin, user_id: PathId) -> Response:
    """One user."""
    held = t.users.c
    columns = (held.id, held.email, held.role, held.organization_id, held.disabled, held.created_at)
    query = _own(select(*columns).where(held.id == user_id), who)
    with console.accounts.read() as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        raise not_found("there is no such user")
    return json_answer(plain(row) | {"created_at": rfc3339(row["created_at"])})


@router.patch("/users/{user_id}")
def change_user(
    request: Request, console: Root, who: Admin, user_id: PathId, body: UserPatch
) -> Response:
    """Change a user's role, or disable it."""
    if body.role is not None and body.role not in ROLES:
        raise Problem(422, "invalid_request", f"role: expected one of {', '.join(ROLES)}")
    values = body.model_dump(exclude_none=True)
    if not values:
        raise Problem(422, "invalid_request", "expected role or disabled")
    with console.accounts.write() as connection:
        changing = _own(update(t.users).where(t.users.c.id == user_id), who).values(values)
        done = connection.execute(changing)
    if done.rowcount != 1:
        raise not_found("there is no such user")
    console.note(who, "user.change", user_id, "done", request)
    return json_answer({"id": user_id} | values)


@router.delete("/users/{user_id}")
def delete_user(request: Request, console: Root, who: Admin, user_id: PathId) -> Response:
    """Delete a user; its token is refused within 10 s."""
    with console.accounts.write() as connection:
        done = connection.execute(_own(delete(t.users).where(t.users.c.id == user_id), who))
    if done.rowcount != 1:
        raise not_found("there is no such user")
    console.note(who, "user.delete", user_id, "done", request)
    return json_answer({"id": user_id})


@router.post("/organizations", status_code=201)
def add_organization(
    request: Request, console: Root, who: Admin, body: OrganizationBody
) -> Response:
    """Add an organisation; what is counted from now on is counted as its own.

    One with a topic prefix has topics of its own, which `telltale topics create` has made.
    """
    if who.organization_id is not None:
        raise Problem(403, "forbidden", "expected an admin who belongs to no organisation")
    if body.topic_prefix == console.kafka.topic_prefix:
        raise Problem(409, "conflict", "topic_prefix: it is that of the console itself")
    row = {"id": str(uuid.uuid4()), "created_at": now_ms(), **body.model_dump()}
    with console.accounts.write() as connection:
        added = console.accounts.add(connection, t.organizations, row)
    if not added:
        raise Problem(409, "conflict", "another organisation has this prefix")
    if body.topic_prefix is not None:
        open_space(console, body.topic_prefix)
    console.note(who, "organization.add", str(row["id"]), "done", request)
    return json_answer({"id": row["id"]}, 201)


@router.get("/audit")
def list_audit(
    request: Request, console: Root, who: Admin, limit: Limit = 50, after: After = None
) -> Response:
    """Who did what, the newest first; of an organisation, what its own users did."""
    held = t.audit_log.c
    query = select(t.audit_log)
    if who.organization_id is not None:
        query = query.where(held.subject.in_(_own(select(t.users.c.id), who)))
    at = place(after, int, str)
    if at is not None:
        query = query.where((held.at < at[0]) | ((held.at == at[0]) & (held.id < at[1])))
    with console.accounts.read() as connection:
        rows = (
            connection.execute(query.order_by(held.at.desc(), held.id.desc()).limit(limit + 1))
            .mappings()
            .all()
        )
    items = [plain(row) | {"at": rfc3339(row["at"])} for row in rows]
    return page(request, items, limit, [[row["at"], row["id"]] for row in rows])


def _own(statement: Any, who: Caller) -> Any:
    """A statement on users, bounded to those of the caller's organisation."""
    if who.organization_id is None:
        return statement
    return statement.where(t.users.c.organization_id == who.organization_id)
