"""Restart of a scorer: from its start until it is ready, and until it has answered a record.

The compacted topics are filled directly, with records as the scorer writes them: announcements
with a full history, or slots of rings of samples. Profiles share a few artefacts, each under a name
of its own: a restart looks for all of them, and opens none before its first use. Times are those of
a process started as a user starts it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median
from time import monotonic

import numpy as np

from benchmarks import report
from benchmarks.bed import (
    PARTITIONS,
    Bed,
    Record,
    bed,
    broker,
    commit,
    ends,
    fill,
    inputs,
    role,
    wait,
)
from benchmarks.report import Figure
from models import artifacts
from models.artifacts import Artifact
from models.learning.training import train
from models.naming import artifact_path
from processor.artifacts.directory import Directory
from processor.state import ring_codec
from processor.state.ring_codec import Slot
from processor.topics import Topics
from schemas import HistoryEntry, ModelRecord

FEATURES = tuple(f"feature_{number:02d}" for number in range(17))
ARTEFACTS = 8
NOW = 1_790_000_000_000
LIMIT_SECONDS = 15.0


@dataclass(frozen=True)
class Case:
    """What the topics hold: active profiles, or profiles in learning with samples each."""

    name: str
    active: int = 0
    learning: int = 0
    samples: int = 0


CASES = (
    Case("1,000 active profiles", active=1_000),
    Case("100,000 active profiles", active=100_000),
    Case("1,000,000 learning samples of 5,000 profiles", learning=5_000, samples=200),
)


@dataclass(frozen=True)
class Restart:
    """One restart.

    Attributes:
        ready: seconds from the start of the process until ``/health/ready`` says 200.
        answered: seconds from the start until a record that waited was answered.
        restore: seconds that the process says its restore took.
        memory: bytes resident at the end.
    """

    ready: float
    answered: float
    restore: float
    memory: int


def main(arguments: Sequence[str]) -> int:
    """Print a line for each case; 1 where one takes longer than the contract allows."""
    parser = argparse.ArgumentParser(prog="benchmarks.restart", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="restarts of each case")
    parser.add_argument("--only", type=int, help="only this case, 0 to 2")
    parser.add_argument("--quick", action="store_true", help="a short look: the smallest case")
    given = parser.parse_args(arguments)
    cases = CASES if given.only is None else CASES[given.only : given.only + 1]
    if given.quick:
        cases, given.repeat = cases[:1], 1
    late = False
    with broker() as bootstrap:
        figures = []
        print("| case | ready s | first verdict s | restore s | resident MB |")
        print("|---|---|---|---|---|", flush=True)
        for case in cases:
            runs = restarts(case, bootstrap, given.repeat)
            ready, answered = median(r.ready for r in runs), median(r.answered for r in runs)
            late |= answered > LIMIT_SECONDS
            print(
                f"| {case.name} | {ready:.1f} | {answered:.1f} "
                f"| {median(r.restore for r in runs):.1f} "
                f"| {max(r.memory for r in runs) / 2**20:.0f} |",
                flush=True,
            )
            figures += [
                report.several(f"{case.name}: restart to ready", "s", [r.ready for r in runs]),
                report.several(
                    f"{case.name}: restart to first verdict",
                    "s",
                    [r.answered for r in runs],
                    f"≤ {LIMIT_SECONDS:.0f}",
                ),
                Figure(f"{case.name}: resident", max(r.memory for r in runs) / 2**20, "MiB"),
            ]
    report.save("restart", figures)
    return int(late)


def restarts(case: Case, bootstrap: str, times: int) -> list[Restart]:
    """Fill the topics of a case, and restart a scorer on them some times."""
    needed = case.samples + 100 if case.samples else 200
    with bed(bootstrap, "restart", PARTITIONS, cold_start_samples=needed) as made:
        settings, names = made.settings, made.names
        models = [artefact(number) for number in range(ARTEFACTS)]
        directory = Path(settings.model_dir)
        for one in models:
            Directory(directory).write(one)
        fill(settings, announcements(case, names, models, directory))
        fill(settings, samples(case, names))
        telemetry = names.telemetry("features")
        # Offsets behind all that the state came from, as a scorer commits them.
        waiting = case.learning * case.samples // PARTITIONS + PARTITIONS
        fill(
            settings,
            ((telemetry, p, b"x", b"x") for p in range(PARTITIONS) for _ in range(waiting)),
        )
        commit(settings, f"{settings.application}-scorer", ends(made.admin, inputs(names)))
        return [restart(made, case) for _ in range(times)]


def artefact(number: int) -> Artifact:
    """A trained model of 200 samples of 17 features."""
    rows = np.random.default_rng(number).normal(50, 10, (200, len(FEATURES)))
    model = train("blend", rows, FEATURES, alert_budget=0.01, seed=number, provenance={})
    return artifacts.pack(
        model, kind="features", profile_id=f"shared-{number}", partition=0, generation=0
    )


def announcements(
    case: Case, names: Topics, made: Sequence[Artifact], directory: Path
) -> Iterator[Record]:
    """Announcements of version 6, whose history is full."""
    for number in range(case.active):
        used = made[number % len(made)]
        partition, profile = number % PARTITIONS, f"profile-{number}"
        path = artifact_path("features", profile, partition, 0, used.sha256)
        (directory / path).parent.mkdir(parents=True)
        (directory / path).hardlink_to(directory / used.path)
        history = [
            HistoryEntry(
                version=version,
                artifact=path,
                sha256=used.sha256,
                decision_offset=-0.52,
                trained_at=NOW,
            )
            for version in range(5, 0, -1)
        ]
        record = ModelRecord(
            profile_id=profile,
            kind="features",
            partition=partition,
            generation=0,
            version=6,
            detector="blend",
            artifact=path,
            sha256=used.sha256,
            features=list(FEATURES),
            trained_on=1200,
            learned=200,
            pool_count=2500,
            alert_budget=0.01,
            decision_offset=-0.52,
            trigger="samples",
            trained_at=NOW,
            source_offset=0,
            history=history,
            provenance={"trigger": "samples", "cold_start": 200, "pool": 1000},
        )
        key = f"features:{record.profile_id}".encode()
        yield names.models, partition, key, record.model_dump_json().encode()


def samples(case: Case, names: Topics) -> Iterator[Record]:
    """Slots of rings of samples, in the order in which profiles that learn together write them."""
    rows = np.random.default_rng(1).normal(50, 10, (case.samples, 1, len(FEATURES)))
    offsets = [count() for _ in range(PARTITIONS)]
    for number in range(case.samples):
        for profile in range(case.learning):
            partition = profile % PARTITIONS
            offset = next(offsets[partition])
            generation = profile // PARTITIONS
            named = FEATURES if number == 0 else None
            slot = Slot(generation, number, number, offset, rows[number], named)
            key = ring_codec.key("features", f"profile-{profile}", number)
            yield names.cold_start, partition, key, ring_codec.encode_slot(slot)


def restart(made: Bed, case: Case) -> Restart:
    """Start a scorer with a record waiting, and stop it once that is answered."""
    value = json.dumps({"values": dict.fromkeys(FEATURES, 50.0)}).encode()
    fill(made.settings, [(made.names.telemetry("features"), 0, b"profile-0", value)])

    def answered() -> int:
        return sum(ends(made.admin, [made.names.anomalies], 1).values())

    before, began = answered(), monotonic()
    with role(made, "score") as scorer:
        wait([scorer], scorer.ready)
        until_ready = monotonic() - began
        wait([scorer], lambda: answered() > before)
        until_answered = monotonic() - began
        memory = scorer.resident()
    lines = [json.loads(line) for line in scorer.said().splitlines() if line.startswith("{")]
    restored = next(line for line in lines if line["event"] == "restored")
    state = next(line for line in lines if line["event"] == "state")
    assert (state["active"], state["learning"]) == (case.active, case.learning), state
    return Restart(until_ready, until_answered, float(restored["seconds"]), memory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
