"""Tokens: JWT signed with the console's secret (HS256)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from time import monotonic, time

import jwt

from console.auth import users
from console.auth.permissions import Caller
from console.problems import unauthorized
from console.store.database import Database

ALGORITHM = "HS256"
ISSUER = "telltale"
KNOWN_SECONDS = 5.0
"""So long a user is not asked for again: one who is disabled is out after that time."""

MOST_KNOWN = 10_000


@dataclass
class Tokens:
    """Issues and checks tokens."""

    secret: bytes
    hours: float
    database: Database
    _known: dict[str, tuple[float, Caller]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seconds(self) -> int:
        """How long a token holds."""
        return int(self.hours * 3600)

    def issue(self, caller: Caller) -> str:
        """A token for a user."""
        now = int(time())
        claims = {
            "iss": ISSUER,
            "sub": caller.subject,
            "iat": now,
            "exp": now + self.seconds,
            "email": caller.email,
            "role": caller.role,
            "organization_id": caller.organization_id,
            "permissions": sorted(caller.permissions),
        }
        return jwt.encode(claims, self.secret, algorithm=ALGORITHM)

    def still_known(self, who: Caller) -> bool:
        """Whether a caller is no local user, or one who is there and not disabled.

        Streams ask all the time: a user is asked for once in ``KNOWN_SECONDS``, for all of them.
        """
        return not who.local or self._find(who.subject) is not None

    def caller(self, token: str) -> Caller:
        """Whose token it is; role and organisation are those that the user has now.

        Raises:
            Problem: 401, expired, not ours, or of a user who is no more.
        """
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                options={"require": ["exp", "sub", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise unauthorized("the token has expired") from None
        except jwt.InvalidTokenError:
            raise unauthorized("the token is not valid") from None
        found = self._find(str(claims["sub"]))
        if found is None:
            raise unauthorized("the token's user is no more")
        return replace(found, until=float(claims["exp"]))

    def _find(self, subject: str) -> Caller | None:
        """A user who is there and not disabled, as it was at most ``KNOWN_SECONDS`` ago."""
        with self._lock:
            since, known = self._known.get(subject, (0.0, None))
        if known is not None and monotonic() - since < KNOWN_SECONDS:
            return known
        found = users.find(self.database, subject)
        if found is not None:
            with self._lock:
                if len(self._known) >= MOST_KNOWN:
                    self._known.clear()
                self._known[subject] = (monotonic(), found)
        return found
