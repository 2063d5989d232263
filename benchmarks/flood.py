"""Flood of profiles: a producer that invents a new profile id for every record.

A scorer without a broker takes batches of records of new profiles and applies its Steps, once with
``TELLTALE_MAX_LEARNING_PROFILES`` and once with nothing spilled, each in a process of its own:
``python -m benchmarks.flood --profiles 1000000``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import orjson
import structlog
from prometheus_client import CollectorRegistry

from benchmarks.soak import resident
from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore
from processor.metrics.metrics import Metrics
from processor.records import ConsumerRecord
from processor.scorer.role import ScorerRole
from processor.settings import Settings
from processor.topics import Topics

BATCH = 2000
FEATURES = tuple(f"feature_{number:02d}" for number in range(17))
NOW = 1_790_000_000_000
UNLIMITED = 10**9


def main(arguments: Sequence[str]) -> int:
    """Print a line for each run; 1 where memory grew with the flood in spite of the limit."""
    parser = argparse.ArgumentParser(prog="benchmarks.flood", description=__doc__)
    parser.add_argument("--profiles", type=int, default=1_000_000, help="different profile ids")
    parser.add_argument("--records", type=int, default=1, help="of each profile")
    parser.add_argument("--limit", type=int, help="run once, here, with this limit")
    given = parser.parse_args(arguments)
    if given.limit is not None:
        print(json.dumps(flood(given.profiles, given.records, given.limit)))
        return 0
    print("| limit | profiles | records/s | RSS before MB | RSS after MB | spilled | file MB |")
    print("|---|---|---|---|---|---|---|", flush=True)
    limit = Settings(_env_file=None).max_learning_profiles
    found = [run(given.profiles, given.records, chosen) for chosen in (limit, UNLIMITED)]
    grown = [one["after"] - one["before"] for one in found]
    return int(given.profiles > 10 * limit and grown[0] > grown[1] / 2)


def run(profiles: int, records: int, limit: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.flood", "--profiles", str(profiles)]
    command += ["--records", str(records), "--limit", str(limit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"| {'none' if limit == UNLIMITED else f'{limit:,}'} | {profiles:,} "
        f"| {found['rate']:,.0f} | {found['before'] / 2**20:.0f} | {found['after'] / 2**20:.0f} "
        f"| {found['spilled']:,.0f} | {found['file'] / 2**20:.0f} |",
        flush=True,
    )
    return found


def flood(profiles: int, records: int, limit: int) -> dict[str, float]:
    """Feed so many records of each of so many profiles to a scorer."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(_env_file=None, max_learning_profiles=limit, spill_bytes=2**36)
        metrics = Metrics(CollectorRegistry())
        store = ModelStore(Directory(Path(directory)), settings.model_memory)
        role = ScorerRole(settings, store, metrics, structlog.get_logger(), lambda *_: {})
        before = 0
        began = monotonic()
        for batch in batches(profiles, records):
            role.apply(role.compute(batch, NOW))
            before = before or resident_now()
        took = monotonic() - began
        role.update_gauges()
        spilled = metrics.spilled_profiles.labels("scorer", "features")
        size = metrics.spill_bytes.labels("scorer")
        return {
            "rate": profiles * records / took,
            "before": before,
            "after": resident_now(),
            "spilled": next(iter(spilled.collect())).samples[0].value,
            "file": next(iter(size.collect())).samples[0].value,
        }


def batches(profiles: int, records: int) -> Iterator[list[ConsumerRecord]]:
    """Records of ``features``, all profiles once, then once more."""
    rng = np.random.default_rng(0)
    topic = Topics().telemetry("features")
    for turn in range(records):
        for first in range(0, profiles, BATCH):
            numbers = range(first, min(first + BATCH, profiles))
            rows = rng.normal(50, 10, (len(numbers), len(FEATURES))).tolist()
            yield [
                ConsumerRecord(
                    topic,
                    0,
                    turn * profiles + number,
                    f"profile-{number:08d}".encode(),
                    orjson.dumps({"values": dict(zip(FEATURES, row, strict=True))}),
                    (),
                    NOW,
                )
                for number, row in zip(numbers, rows, strict=True)
            ]


def resident_now() -> int:
    """Bytes resident of this process."""
    return resident(int(Path("/proc/self").readlink().name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
