"""Tokens of another issuer: RS256 or ES256, checked by the keys that it publishes (JWKS)."""

from __future__ import annotations

import threading
from pathlib import Path
from time import monotonic
from typing import Any

import jwt

from console.auth import users
from console.auth.permissions import ROLES, Caller
from console.problems import Problem, unauthorized
from console.store.database import Database
from schemas.base import id_fault

ALGORITHMS = ("RS256", "ES256")
KEPT_SECONDS = 300.0
AGAIN_SECONDS = 10.0
"""Keys are not fetched more often, whatever key tokens name."""

ANSWER_SECONDS = 5.0
LEEWAY_SECONDS = 10.0


class Issuer:
    """Checks tokens of an issuer.

    The claims ``role``, ``email`` and ``organization_id`` are taken as they are; without a role
    that is known here, nothing is permitted.

    Args:
        keys: URL of the JWKS, or the path of a file that holds it.
        issuer: what ``iss`` must be; None takes any.
        audience: what ``aud`` must hold; None takes any.
    """

    def __init__(
        self, keys: str, database: Database, issuer: str | None, audience: str | None
    ) -> None:
        self._location = keys
        self._database = database
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = -KEPT_SECONDS
        self._lock = threading.Lock()

    def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Problem: 401 if it is not valid, 503 if the issuer's keys cannot be had.
        """
        try:
            key = self._key(jwt.get_unverified_header(token).get("kid"))
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except jwt.ExpiredSignatureError:
            raise unauthorized("the token has expired") from None
        except jwt.InvalidTokenError:
            raise unauthorized("the token is not valid") from None
        return self._caller(claims)

    def _caller(self, claims: dict[str, Any]) -> Caller:
        subject, role = claims["sub"], claims.get("role")
        if id_fault(subject) is not None:
            raise unauthorized("the token's sub is no id")
        organization_id = claims.get("organization_id")
        prefixes = ("", "")
        if organization_id is not None:
            found = users.prefixes_of(self._database, str(organization_id))
            if found is None:
                raise unauthorized("the token's organisation is not known here")
            prefixes = found
        return Caller(
            subject,
            str(claims.get("email", "")),
            role if isinstance(role, str) and role in ROLES else "",
            None if organization_id is None else str(organization_id),
            *prefixes,
            float(claims["exp"]),
        )

    def _key(self, name: Any) -> jwt.PyJWK:
        with self._lock:
            age = monotonic() - self._fetched
            if age > KEPT_SECONDS or (age > AGAIN_SECONDS and self._named(name) is None):
                self._fetch()
            found = self._named(name)
        if found is None:
            raise unauthorized("the token names a key that the issuer does not have")
        return found

    def _named(self, name: Any) -> jwt.PyJWK | None:
        if name is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    def _fetch(self) -> None:
        self._fetched = monotonic()
        try:
            held = self._read()
        except (OSError, jwt.PyJWTError, ValueError):
            if not self._keys:
                self._fetched = -KEPT_SECONDS
                raise Problem(
                    503,
                    "issuer_unavailable",
                    "the keys of the issuer cannot be had now",
                    headers={"Retry-After": "10"},
                ) from None
            return  # those from before are good for some time
        self._keys = {key.key_id: key for key in held.keys if key.algorithm_name in ALGORITHMS}

    def _read(self) -> jwt.PyJWKSet:
        if self._location.startswith(("http://", "https://")):
            client = jwt.PyJWKClient(self._location, cache_jwk_set=False, timeout=ANSWER_SECONDS)
            return client.get_jwk_set(refresh=True)
        return jwt.PyJWKSet.from_json(Path(self._location).read_text())
