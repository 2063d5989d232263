"""What a role is to the worker's loop."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from processor.artifacts.owner import Owner
from processor.offsets.partitions import Parts
from processor.records import ConsumerRecord, Partition
from processor.stream.step import Step


class Role(Protocol):
    """What differs between the scorer, the retrainer and ingest."""

    @property
    def name(self) -> str:
        """``scorer``, ``retrainer`` or ``ingest``."""

    @property
    def inputs(self) -> Sequence[str]:
        """Topics of the consumer group; one that begins with ``^`` is a regular expression."""

    @property
    def priority_inputs(self) -> Sequence[str]:
        """Those of the inputs that are read to their end before the others are read at all."""

    @property
    def changelogs(self) -> Sequence[str]:
        """Compacted topics that hold the state."""

    def divide(self, given: Mapping[str, Collection[int]], counts: Mapping[str, int]) -> Parts:
        """What is read of the partitions that the group gave, and which numbers are restored.

        Args:
            given: partitions of each input.
            counts: partition count of each topic of the role, 0 for one that is missing; empty
                before they are known.
        """

    def load(self, record: ConsumerRecord) -> None:
        """Take a record of a changelog."""

    def restored(self, partitions: Iterable[int]) -> None:
        """Turn what was loaded into state: all changelogs of these partitions were read."""

    def admit(self, owner: Owner) -> str | None:
        """See that the model store is no other installation's; where it is, None without one.

        Raises:
            UnfitStore: it is another's.
            ArtifactUnavailable: it does not answer now.
        """

    def check_models(self) -> None:
        """Check that the model store holds what the restored state announces.

        Raises:
            UnfitStore: it lacks most of it, and the policy is to stop.
            ArtifactUnavailable: it does not answer now.
        """

    def restored_offsets(self) -> dict[Partition, int]:
        """The newest offset of each input that the restored state came from."""

    def compute(self, batch: Sequence[ConsumerRecord], now: int) -> Step[Any]:
        """The Step of a batch, its artefacts written."""

    def apply_speculatively(self, step: Step[Any]) -> Callable[[], None] | None:
        """Apply a Step's delta before its commit, so that the next Step can be computed meanwhile.

        Returns:
            What rolls it back; None if the delta cannot be applied before the commit.
        """

    def apply(self, step: Step[Any]) -> None:
        """Take over the delta of a committed Step, if ``apply_speculatively`` has not done so."""

    def drop(self) -> None:
        """Forget all state."""

    def idle(self, now: int) -> Step[Any] | None:
        """The Step of work that no record brings, or None."""

    def set_watermark(self, until: int) -> None:
        """Set the time, epoch ms, before which all records of the inputs are answered."""

    def update_gauges(self) -> None:
        """Set the gauges of the role."""

    def close(self) -> None:
        """Release files and clients of the role."""


class Following(Protocol):
    """Gives the records that were appended to partitions since the last look."""

    def poll(self) -> Sequence[ConsumerRecord]:
        """The records since, at most some of them."""

    def reach(self, place: Partition) -> Iterable[ConsumerRecord]:
        """The records that have come since, up to the end that a partition has now, or further.

        Raises:
            Behind: that takes too long.
        """

    def close(self) -> None:
        """Stop following."""
