"""Tokens: JWT signed with the console's secret (HS256)."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field, replace
from time import monotonic, time

import jwt
from sqlalchemy import select

from console.auth import users
from console.auth.permissions import Caller
from console.problems import unauthorized
from console.store import tables as t
from console.store.database import Database

ALGORITHM = "HS256"
ISSUER = "telltale"
KNOWN_SECONDS = 5.0
"""So long a user is not asked for again: one who is disabled is out after that time.

The same holds for sessions that another replica has ended.
"""

MOST_KNOWN = 10_000


@dataclass
class Tokens:
    """Issues and checks tokens."""

    secret: bytes
    hours: float
    database: Database
    _known: dict[str, tuple[float, Caller]] = field(default_factory=dict)
    _ended: frozenset[str] = frozenset()
    _ended_at: float | None = None
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
            # Two tokens of one second are two sessions: to end one leaves the other.
            "jti": secrets.token_hex(16),
            "exp": now + self.seconds,
            "email": caller.email,
            "role": caller.role,
            "organization_id": caller.organization_id,
            "permissions": sorted(caller.permissions),
        }
        return jwt.encode(claims, self.secret, algorithm=ALGORITHM)

    def still_known(self, who: Caller) -> bool:
        """Whether a caller is no local user, or one who is there and whose session goes on.

        Streams ask all the time: a user is asked for once in ``KNOWN_SECONDS``, for all of them.
        """
        if who.session is not None and self._is_ended(who.session):
            return False
        return not who.local or self._find(who.subject) is not None

    def caller(self, token: str) -> Caller:
        """Whose token it is; role and organisation are those that the user has now.

        Raises:
            Problem: 401, expired, not ours, of an ended session, or of a user who is no more.
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
        session = _hash(token)
        if self._is_ended(session):
            raise unauthorized("the token's session was ended")
        found = self._find(str(claims["sub"]))
        if found is None:
            raise unauthorized("the token's user is no more")
        return replace(found, until=float(claims["exp"]), session=session)

    def end(self, who: Caller) -> None:
        """End the session of a caller: its token is taken no longer, by no replica."""
        if who.session is None or who.until is None:
            return
        row = {"token_hash": who.session, "expires_at": int(who.until * 1000)}
        with self.database.write() as connection:
            connection.execute(
                self.database.insert(t.ended_sessions).values(row).on_conflict_do_nothing()
            )
        with self._lock:
            self._ended |= {who.session}

    def _is_ended(self, session: str) -> bool:
        """Whether a session was ended, as the store said at most ``KNOWN_SECONDS`` ago."""
        with self._lock:
            if self._ended_at is None or monotonic() - self._ended_at >= KNOWN_SECONDS:
                began = monotonic()
                with self.database.read() as connection:
                    held = connection.execute(select(t.ended_sessions.c.token_hash)).scalars()
                    self._ended = frozenset(held)
                self._ended_at = began
            return session in self._ended

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


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
