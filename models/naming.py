"""How an artefact is named: by its profile, generation and digest, and in no other way."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from typing import Protocol, TypeVar
from urllib.parse import quote

SHOWN = 80
"""Characters of a name that a message shows."""


class Stored(Protocol):
    """Whatever names an artefact, such as an announcement."""

    @property
    def artifact(self) -> str:
        """Path below the model directory."""

    @property
    def sha256(self) -> str:
        """Digest of its bytes, in hex."""


T = TypeVar("T")


def artifact_path(kind: str, profile_id: str, partition: int, generation: int, sha256: str) -> str:
    """The one path, below the model directory, that an artefact is written to."""
    directory = profile_directory(kind, profile_id, partition)
    return f"{directory}/{generation}-{sha256[:16]}.joblib"


def misnamed(
    stored: Stored, *, kind: str, profile_id: str, partition: int, generation: int
) -> str | None:
    """Why a record's artefact is not the one that Telltale itself would name; None if it is.

    Such an artefact is neither opened nor deleted, also if its model is in memory.
    """
    sha256 = stored.sha256
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        return f"sha256: expected 64 lower-case hex digits, got {sha256[:SHOWN]!r}"
    expected = artifact_path(kind, profile_id, partition, generation, sha256)
    if stored.artifact == expected:
        return None
    return f"artifact: expected {expected!r}, got {shown(stored.artifact)}"


def shown(path: str) -> str:
    """A path for a message: control characters escaped, cut if it is long."""
    return repr(path) if len(path) <= 2 * SHOWN else f"{path[:SHOWN]!r}… of {len(path)} characters"


def profile_directory(kind: str, profile_id: str, partition: int) -> str:
    """Directory of a profile's artefacts: readable, unique, and safe whatever the id holds."""
    escaped = quote(profile_id, safe="").replace(".", "%2E")[:100]
    unique = hashlib.sha256(f"{partition}:{kind}:{profile_id}".encode()).hexdigest()[:16]
    return f"{kind}/{escaped}-{unique}"


def generation_of(name: str) -> int:
    """Generation of an artefact by its file's name; of a file that is none, before all others."""
    generation = name.partition("-")[0]
    return int(generation) if generation.isdecimal() and len(generation) < 20 else -1


def digest_of(name: str) -> str:
    """The first 16 hex digits of an artefact's SHA-256 by its file's name; empty for another."""
    match = re.fullmatch(r"\d+-([0-9a-f]{16})\.joblib", name)
    return match[1] if match else ""


def pickled_as(module: str) -> Callable[[type[T]], type[T]]:
    """Have artefacts name a class by the module that first defined it, wherever it is today.

    So processes of earlier and of later versions open each other's artefacts, as they must while
    an upgrade goes from one to the next.
    """

    def mark(defined: type[T]) -> type[T]:
        # pickle looks the class up by its name before it writes it.
        home = sys.modules.setdefault(module, sys.modules[defined.__module__])
        setattr(home, defined.__name__, defined)
        defined.__module__ = module
        return defined

    return mark
