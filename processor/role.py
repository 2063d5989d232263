"""What a role is to the worker's loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from processor.owner import Owner
from processor.records import Incoming, TopicPartition
from processor.step import Step


class Role(Protocol):
    """What differs between the scorer and the retrainer."""

    @property
    def name(self) -> str:
        """``scorer`` or ``retrainer``."""

    @property
    def inputs(self) -> Sequence[str]:
        """Topics of the consumer group."""

    @property
    def urgent(self) -> Sequence[str]:
        """Those of the inputs that are read to their end before the others are read at all."""

    @property
    def changelogs(self) -> Sequence[str]:
        """Compacted topics that hold the state."""

    def load(self, record: Incoming) -> None:
        """Take a record of a changelog."""

    def restored(self, partitions: Iterable[int]) -> None:
        """Turn what was loaded into state: all changelogs of these partitions were read."""

    def admit(self, owner: Owner) -> str:
        """See that the model store is no other installation's; where it is.

        Raises:
            UnfitStore: it is another's.
            ArtifactUnavailable: it does not answer now.
        """

    def check_models(self) -> None:
        """See that the model store holds what the restored state announces.

        Raises:
            UnfitStore: it lacks most of it, and the policy is to stop.
            ArtifactUnavailable: it does not answer now.
        """

    def newest(self) -> dict[TopicPartition, int]:
        """The newest offset of each input that the restored state came from."""

    def compute(self, batch: Sequence[Incoming], now: int) -> Step[Any]:
        """The Step of a batch, its artefacts written."""

    def ahead(self, step: Step[Any]) -> Callable[[], None] | None:
        """Let the next Step be computed on the state plus this one's delta, before it is committed.

        What is given takes it back; None where the next Step has to wait for the commit.
        """

    def apply(self, step: Step[Any]) -> None:
        """Take over the delta of a committed Step, ``ahead`` of which was called or not."""

    def drop(self) -> None:
        """Forget all state."""

    def idle(self, now: int) -> Step[Any] | None:
        """The Step of work that no record brings, or None."""

    def answered(self, until: int) -> None:
        """Note that whatever was sent to the inputs before a time, epoch ms, is answered."""

    def observe(self) -> None:
        """Set the gauges of the role."""

    def close(self) -> None:
        """Let go of what the role holds."""
