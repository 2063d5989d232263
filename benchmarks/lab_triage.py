"""What triage gains on recorded telemetry with labels, at the same number of alerts looked at.

    TELLTALE_DATA=… python benchmarks/lab_triage.py [--budget 0.05] [--keep 0.1] [--seeds 10]

Each recording goes through the scorer's own steps; the alerts get the labels of the recording and
are split as those of analysts are: by time, with no profile on both sides. One split leaves few
alerts to test on, so several are drawn and their counts added. In the recordings a third of the
records and more are abnormal, so nearly every alert is true; ``--keep`` drops abnormal records at
random, as in a stream where they are rare.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import random
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from console.lab.triage.examples import Examples, of_alerts
from console.lab.triage.features import AlarmTimes, Alert
from console.lab.triage.pipeline import TooFew
from console.lab.triage.table import compared
from processor.backtest.replay import Replay
from processor.records import ConsumerRecord, DeadLetter
from processor.settings import Settings
from processor.topics import Topics

SETS = {"features_cmu": 200, "behavior_aalto": 20, "drowsiness_ear": 200}
"""Recordings of enough profiles, and their samples before the first training."""

NORMAL = frozenset(("genuine", "alert", "normal"))
BATCH = 1000
STEP_MS = 60_000


def lines_of(directory: Path, name: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Key, value and whether the record is abnormal, in the order of the recording."""
    with (
        gzip.open(directory / f"{name}.jsonl.gz", "rb") as records,
        gzip.open(directory / f"{name}.labels.csv.gz", "rt") as labels,
    ):
        for line, row in zip(records, csv.DictReader(labels), strict=True):
            found = orjson.loads(line)
            yield found["key"], found["value"], row["label"] not in NORMAL


def observed(value: dict[str, Any], number: int) -> int:
    """When a record was observed, epoch milliseconds; a minute apart where it does not say."""
    told = value.get("observed_at")
    if told is None:
        return 1_700_000_000_000 + number * STEP_MS
    return told if isinstance(told, int) else int(datetime.fromisoformat(told).timestamp() * 1000)


def examples_of(directory: Path, name: str, budget: float, keep: float) -> tuple[Examples, int]:
    """The alerts on a recording with its labels, and how many records were scored.

    Args:
        keep: share of the abnormal records that is judged.
    """
    drawn = random.Random(0)  # noqa: S311  (which records are left out is no secret)
    kind = name.partition("_")[0]
    settings = Settings(_env_file=None, cold_start_samples=SETS[name], alert_budget=budget)
    topics = Topics("")
    replay = Replay(settings, topics, 1_900_000_000_000)
    times, alerts, places, scored = AlarmTimes(), [], [], 0
    truth: dict[str, tuple[int, bool]] = {}
    batch: list[ConsumerRecord] = []

    def judge() -> None:
        nonlocal scored
        for verdict_id, said in replay.feed(batch):
            at, wrong = truth.pop(verdict_id)
            if isinstance(said, DeadLetter) or said["status"] != "scored":
                continue
            scored += 1
            if said["anomaly"]:
                profile = kind, said["profile_id"]
                hour, day = times.before(profile, at)
                times.note(profile, at)
                alerts.append((Alert(said, at, hour, day, None, SETS[name]), int(wrong), 1.0))
                places.append((kind, 0, said["profile_id"]))
        batch.clear()

    topic = topics.telemetry(kind)
    for number, (key, value, wrong) in enumerate(lines_of(directory, name)):
        if wrong and drawn.random() >= keep:
            continue
        at = observed(value, number)
        truth[f"{topic}-0-{number}"] = at, wrong
        batch.append(ConsumerRecord(topic, 0, number, key.encode(), orjson.dumps(value), (), at))
        if len(batch) == BATCH:
            judge()
    judge()
    return of_alerts(alerts, places), scored


def table_of(examples: Examples, seeds: int) -> list[str]:
    """True alerts among the first ones, added over the splits that hold enough alerts."""
    rows: dict[str, list[float]] = {}
    looked = [0, 0, 0]
    splits = 0
    for seed in range(seeds):
        try:
            figures = compared(examples, seed)
        except TooFew as few:
            told = str(few)
            continue
        splits += 1
        for each in figures:
            first = each["found_first"]
            add(rows, each["algorithm"], [at["true_by_triage"] for at in first])
        looked = [a + at["looked_at"] for a, at in zip(looked, first, strict=True)]
        add(rows, "by p-value", [at["true_by_p_value"] for at in first])
        add(rows, "in any order", [at["true_by_chance"] for at in first])
    if not splits:
        return [told]
    head = f"{f'{splits} of {seeds} splits':<22}" + "".join(f"{f'first {n}':>12}" for n in looked)
    return [head, *(f"{k:<22}" + "".join(f"{v:>12.0f}" for v in row) for k, row in rows.items())]


def add(rows: dict[str, list[float]], name: str, counts: list[float]) -> None:
    """Add counts to a row."""
    rows[name] = [a + b for a, b in zip(rows.get(name, [0.0] * 3), counts, strict=True)]


def main() -> None:
    """Print a table for each recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=0.05)
    parser.add_argument("--keep", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--set", action="append", choices=SETS)
    wanted = parser.parse_args()
    directory = Path(os.environ["TELLTALE_DATA"]) / "telemetry"
    for name in wanted.set or SETS:
        examples, scored = examples_of(directory, name, wanted.budget, wanted.keep)
        print(
            f"{name}: {len(examples.y)} alerts on {scored} records at a budget of "
            f"{wanted.budget:g}, {int(examples.y.sum())} of them true"
        )
        print("\n".join(table_of(examples, wanted.seeds)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
