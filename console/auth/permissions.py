"""Permissions and the roles that have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

TELEMETRY_WRITE: Final = "telemetry:write"
MODEL_READ: Final = "model:read"
MODEL_WRITE: Final = "model:write"
LABEL_WRITE: Final = "label:write"
DATA_WRITE: Final = "data:write"
ANALYSIS_CREATE: Final = "analysis:create"
ANALYSIS_READ: Final = "analysis:read"
COMPLIANCE_ACCESS: Final = "compliance:access"
ADMIN: Final = "admin"

_VIEWER = frozenset((MODEL_READ, ANALYSIS_READ))
_ANALYST = _VIEWER | {LABEL_WRITE, DATA_WRITE, ANALYSIS_CREATE}
_OPERATOR = _ANALYST | {TELEMETRY_WRITE, MODEL_WRITE}
ROLES: Final = {
    "viewer": _VIEWER,
    "analyst": _ANALYST,
    "operator": _OPERATOR,
    "auditor": _VIEWER | {COMPLIANCE_ACCESS},
    "admin": _OPERATOR | {COMPLIANCE_ACCESS, ADMIN},
}


@dataclass(frozen=True)
class Caller:
    """Who sends a request.

    Attributes:
        profile_prefix: of the ids that the caller's organisation has; empty sees all.
        topic_prefix: of the topics that the caller's organisation has; empty: the console's own.
        local: one of the console's own users.
        session: hash of the console's own token that is used; None without one.
        until: when the token expires, epoch seconds; None without one.
    """

    subject: str
    email: str
    role: str
    organization_id: str | None = None
    profile_prefix: str = ""
    topic_prefix: str = ""
    until: float | None = None
    local: bool = False
    session: str | None = None

    @property
    def permissions(self) -> frozenset[str]:
        return ROLES.get(self.role, frozenset())

    @property
    def counted(self) -> str | None:
        """Whose counts the caller sees: an organisation's; None for all that are kept."""
        return None if self.topic_prefix else self.organization_id

    def sees(self, profile_id: str) -> bool:
        """Whether a profile is of the caller's organisation."""
        return profile_id.startswith(self.profile_prefix)

    def own(self, profile_id: ColumnElement[str]) -> ColumnElement[bool]:
        """The same as a condition on a column, for every query that lists profiles."""
        return profile_id.startswith(self.profile_prefix, autoescape=True)


ANYONE: Final = Caller("local", "anyone@localhost", "admin")
"""Whoever is on this machine, where there is neither a secret nor a user."""
