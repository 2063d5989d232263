"""The owner of a model store: the one installation that writes and deletes there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

OWNER_FILE = "owner.json"
"""At the root of the store, beside the directories of the kinds."""

FORMAT = 1


class UnfitStore(Exception):
    """The model store is another installation's, or lacks what is announced: the role ends."""


@dataclass(frozen=True)
class Owner:
    """What the owner file says: whose store it is, and what is known to be lost from it.

    Attributes:
        cluster_id: Kafka's; None if the broker tells none.
        models_topic_id: of the topic ``models``, which a recreated topic does not have; None if the
            broker tells none.
        lost_until: versions trained before this time, epoch milliseconds, may be missing: their
            loss was accepted.
    """

    application: str
    topic_prefix: str
    cluster_id: str | None = None
    models_topic_id: str | None = None
    lost_until: int = 0

    def same(self, other: Owner) -> bool:
        """Whether both are one installation; what one of them does not know is not compared."""
        pairs = zip(self._identity(), other._identity(), strict=True)
        return all(ours == theirs for ours, theirs in pairs if None not in (ours, theirs))

    def _identity(self) -> tuple[str | None, ...]:
        return self.application, self.topic_prefix, self.cluster_id, self.models_topic_id

    def __str__(self) -> str:
        return (
            f"application {self.application!r}, topic prefix {self.topic_prefix!r}, Kafka cluster "
            f"{self.cluster_id or 'unknown'}, topic {self.topic_prefix}models with id "
            f"{self.models_topic_id or 'unknown'}"
        )


def encode_owner(owner: Owner) -> bytes:
    """The content of the owner file."""
    return orjson.dumps({"format": FORMAT, **asdict(owner)}, option=orjson.OPT_INDENT_2) + b"\n"


def decode_owner(content: bytes) -> Owner:
    """The owner that a file names.

    Raises:
        ValueError: the file is damaged.
    """
    said = orjson.loads(content)
    if not isinstance(said, dict):
        raise ValueError("expected a JSON object")
    return Owner(
        _field(said, "application", str),
        _field(said, "topic_prefix", str),
        _field(said, "cluster_id", str, None),
        _field(said, "models_topic_id", str, None),
        _field(said, "lost_until", int, 0),
    )


def _field(said: dict[str, Any], name: str, kind: type, *default: Any) -> Any:
    value = said.get(name)
    if value is None and default:
        return default[0]
    if not isinstance(value, kind):
        raise ValueError(f"{name}: expected {kind.__name__}, got {value!r}")
    return value


def foreign(found: Owner, ours: Owner, location: str) -> str:
    """The error message if the model store is another installation's."""
    return (
        f"the model directory {location} belongs to another installation: its {OWNER_FILE} names "
        f"{found}; this one is {ours}. Set TELLTALE_MODEL_DIR to a directory of this "
        f"installation's own; or, if this one is meant to take it over, stop the other and remove "
        f"{OWNER_FILE} there"
    )
