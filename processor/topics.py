"""The topics' names, the configuration that each is created with, and the most that one takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from models.features import KINDS

DAY_MS = 24 * 3600 * 1000
MIB = 2**20
OUTPUT_LIMIT = 4 * MIB
DEAD_LETTER_LIMIT = 8 * MIB
LIFECYCLE_LIMIT = 1_000_000
INPUT_LIMIT = 16 * MIB
"""Of a whole unpacked batch: honest producers compress batches of several MB."""

_DELETE = {"cleanup.policy": "delete"}
_LARGE = {"cleanup.policy": "delete", "max.message.bytes": str(OUTPUT_LIMIT)}
# The broker measures what it stores: unpacked, so that no few kB can unpack to hundreds of MB here.
_INPUT = {
    "cleanup.policy": "delete",
    "compression.type": "uncompressed",
    "max.message.bytes": str(INPUT_LIMIT),
}
_COMPACT = {
    "cleanup.policy": "compact",
    "segment.ms": str(DAY_MS),
    "max.compaction.lag.ms": str(DAY_MS),
    "delete.retention.ms": str(DAY_MS),
    "max.message.bytes": str(OUTPUT_LIMIT),
}


@dataclass(frozen=True)
class Topics:
    """Names of all topics of an application under one prefix."""

    prefix: str = ""

    @cached_property
    def anomalies(self) -> str:
        return f"{self.prefix}anomalies"

    @cached_property
    def accepted(self) -> str:
        return f"{self.prefix}accepted-normal"

    @cached_property
    def candidates(self) -> str:
        return f"{self.prefix}candidates"

    @cached_property
    def models(self) -> str:
        return f"{self.prefix}models"

    @cached_property
    def cold_start(self) -> str:
        return f"{self.prefix}cold-start"

    @cached_property
    def profiles(self) -> str:
        return f"{self.prefix}profiles"

    @cached_property
    def pool(self) -> str:
        return f"{self.prefix}retrain-pool"

    @cached_property
    def ingest_counters(self) -> str:
        return f"{self.prefix}ingest-counters"

    @cached_property
    def commands(self) -> str:
        return f"{self.prefix}commands"

    @cached_property
    def lifecycle(self) -> str:
        return f"{self.prefix}lifecycle"

    @cached_property
    def dead_letter(self) -> str:
        return f"{self.prefix}dead-letter"

    @cached_property
    def labels(self) -> str:
        return f"{self.prefix}labels"

    @cached_property
    def attributes(self) -> str:
        return f"{self.prefix}attributes"

    def telemetry(self, kind: str) -> str:
        return f"{self.prefix}telemetry.{kind}"

    @cached_property
    def kind_of(self) -> dict[str, str]:
        """Telemetry topic → kind."""
        return {self.telemetry(kind): kind for kind in KINDS}

    def kinds(self) -> dict[str, str]:
        """Telemetry topic → kind, a copy of one's own."""
        return dict(self.kind_of)

    def aging(self) -> tuple[str, ...]:
        """The topics that are not compacted: their records only age out."""
        own = (self.anomalies, self.accepted, self.candidates, self.commands, self.lifecycle)
        return (*self.kinds(), *own, self.dead_letter)

    def inputs(self) -> tuple[str, ...]:
        """The topics that a role reads in a group: others than the roles write to them."""
        return (*self.kinds(), self.commands, self.accepted, self.candidates)

    def compacted(self) -> tuple[str, ...]:
        """The topics that keep the last record of each key: the roles' state."""
        own = (self.models, self.cold_start, self.profiles, self.pool)
        return (*own, self.ingest_counters)

    def limits(self) -> Mapping[str, int]:
        """Bytes of the largest record that a role writes to a topic."""
        large = (self.anomalies, self.accepted, self.candidates)
        compacted = self.compacted()
        return dict.fromkeys((*large, *compacted), OUTPUT_LIMIT) | {
            self.dead_letter: DEAD_LETTER_LIMIT,
            self.lifecycle: LIFECYCLE_LIMIT,
        }

    def configs(self) -> Mapping[str, Mapping[str, str]]:
        """Every topic with the configuration that it is created with."""
        dead = {**_DELETE, "max.message.bytes": str(DEAD_LETTER_LIMIT)}
        return (
            dict.fromkeys(self.inputs(), _INPUT)
            | {self.anomalies: _LARGE, self.lifecycle: _DELETE}
            | dict.fromkeys((*self.compacted(), self.labels, self.attributes), _COMPACT)
            | {self.dead_letter: dead}
        )
