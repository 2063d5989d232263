"""The peers of the stream's benchmarks: how each is started on a bed, and what it writes to."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import NewTopic

from benchmarks.bed import Bed, Running, running
from processor.settings import Settings

OURS = "telltale score"
"""What the peers stand beside."""

BATCH = int(Settings.model_fields["batch_records"].default)


@dataclass(frozen=True)
class Peer:
    """How a peer is started.

    Attributes:
        arguments: its module and options beside those that all have.
        batch: records that it polls at once.
        python: the interpreter that has its library.
    """

    name: str
    arguments: tuple[str, ...]
    batch: int = BATCH
    python: Path = Path(sys.executable)


PASSING = Peer("pass-through", ("passthrough",))


def outputs(bed: Bed) -> tuple[str, str]:
    """The topics of a peer's verdicts and accepted samples."""
    prefix = bed.settings.topic_prefix
    return f"{prefix}peer-verdicts", f"{prefix}peer-accepted"


@contextmanager
def topics(bed: Bed) -> Iterator[None]:
    """Have these topics, for as long as peers run."""
    made = [NewTopic(name, bed.partitions, 1) for name in outputs(bed)]
    for future in bed.admin.create_topics(made).values():
        future.result()
    try:
        yield
    finally:
        for future in bed.admin.delete_topics(list(outputs(bed))).values():
            future.result()


@contextmanager
def started(bed: Bed, peer: Peer, group: str, kind: str, models: Path) -> Iterator[Running]:
    """A peer that goes on from what its group has committed."""
    module, *own = peer.arguments
    verdicts, accepted = outputs(bed)
    command = [
        str(peer.python), "-m", f"benchmarks.peers.{module}", *own,
        "--bootstrap", bed.settings.bootstrap_servers, "--group", group,
        "--telemetry", bed.names.telemetry(kind), "--kind", kind, "--batch", str(peer.batch),
        "--verdicts", verdicts, "--accepted", accepted, "--models", str(models),
    ]  # fmt: skip
    with running(command, bed.directory) as process:
        yield process
