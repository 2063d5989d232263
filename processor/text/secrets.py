"""Secrets in what is shown: found, so that they can be masked."""

from __future__ import annotations

from urllib.parse import unquote


def credentials(url: str) -> list[str]:
    """What stands before the ``@`` of a URL, and the password in it, as written and decoded.

    A secret with an unescaped slash is no valid URL; it is a secret nevertheless.
    """
    before, at, _ = url.partition("://")[2].rpartition("@")
    if not at or ("/" in before and ":" not in before.partition("/")[0]):
        return []
    password = before.partition(":")[2]
    found = {before, password, unquote(before), unquote(password)}
    return sorted((secret for secret in found if secret), key=len, reverse=True)
