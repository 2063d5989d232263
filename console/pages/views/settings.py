"""The settings: own account, users, organisations, the audit log, settings in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import SecretStr
from sqlalchemy import select

from console.answers import After
from console.auth.callers import Root, caller
from console.auth.permissions import ADMIN, ROLES, Caller
from console.pages.rendering import PREFIX, render
from console.problems import Problem
from console.routes.admin import list_audit, list_users
from console.services import Services
from console.settings import ConsoleSettings
from console.store import tables as t
from processor.settings import PREFIX as VARIABLES
from processor.settings import Settings
from processor.text.secrets import credentials

router = APIRouter(prefix=PREFIX, include_in_schema=False)
TABS = (
    ("account", "Account"),
    ("users", "Users"),
    ("organizations", "Organisations"),
    ("audit", "Audit log"),
    ("settings", "Settings in force"),
)
HIDDEN = "•••"
PAGE = 50


@router.get("/settings")
def settings(
    request: Request,
    console: Root,
    who: Annotated[Caller, Depends(caller)],
    show: Annotated[
        Literal["account", "users", "organizations", "audit", "settings"], Query()
    ] = "account",
    after: After = None,
) -> Response:
    """The page; all but one's own account is for admins."""
    admin = ADMIN in who.permissions
    if show != "account" and not admin:
        raise Problem(403, "forbidden", f"expected the permission {ADMIN}")
    if show == "settings" and who.organization_id is not None:
        raise Problem(403, "forbidden", "expected an admin who belongs to no organisation")
    given: dict[str, Any] = {"users": [], "organizations": [], "audit": [], "more": None}
    if show in ("users", "organizations"):
        given["organizations"] = organizations(console, who)
    if show == "users":
        given["users"] = orjson.loads(bytes(list_users(console, who).body))["items"]
    if show == "audit":
        answer = list_audit(request, console, who, PAGE, after)
        given["audit"] = orjson.loads(bytes(answer.body))["items"]
        given["more"] = (
            answer.headers.get("link", "").partition("after=")[2].partition(">")[0] or None
        )
        given["names"] = names_of(console, {row["subject"] for row in given["audit"]})
    if show == "settings":
        given["in_force"] = list(in_force(console.settings, console.kafka))
    tabs = [tab for tab in TABS if tab[0] == "account" or admin]
    if who.organization_id is not None:
        tabs = [tab for tab in tabs if tab[0] != "settings"]
    return render(
        request,
        "settings.html",
        who,
        show=show,
        tabs=tabs,
        roles={name: sorted(permissions) for name, permissions in ROLES.items()},
        first=after is None,
        **given,
    )


def organizations(console: Services, who: Caller) -> list[dict[str, Any]]:
    """All organisations; of an organisation's admin, the own one."""
    held = t.organizations
    query = select(held).order_by(held.c.name, held.c.id)
    if who.organization_id is not None:
        query = query.where(held.c.id == who.organization_id)
    with console.accounts.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def names_of(console: Services, subjects: set[str]) -> dict[str, str]:
    """E-mails of users that are still there, by id."""
    held = t.users.c
    with console.accounts.read() as connection:
        found = connection.execute(select(held.id, held.email).where(held.id.in_(sorted(subjects))))
        return {row.id: row.email for row in found}


def in_force(own: ConsoleSettings, kafka: Settings) -> Iterator[dict[str, Any]]:
    """Each setting with its value and meaning; of a secret only that it is set."""
    for of, found in (("Console", own), ("Kafka and scoring", kafka)):
        for name, about in type(found).model_fields.items():
            value = getattr(found, name)
            yield {
                "group": of,
                "name": f"{VARIABLES}{name.upper()}",
                "value": masked(value, kafka),
                "default": value == about.default,
                "about": about.description or "",
            }


def masked(value: Any, kafka: Settings) -> str:
    """A value as it may be shown."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return HIDDEN
    text = kafka.masked(str(value))
    for secret in credentials(text):
        text = text.replace(secret, HIDDEN)
    return text
