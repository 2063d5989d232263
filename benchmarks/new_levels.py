"""What is told of new levels of a metric whose detector follows them: ``benchmarks.new_levels``.

Pure Steps of the scorer, with the retrainer beside it or without; no broker. 12 streams a line, 200
points learnt, one point a record, 7 records a batch, a level that is new from point 900 on.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tests.unit.builders import (
    NOW,
    TOPICS,
    Retrainer,
    Scorer,
    announced,
    consumed,
    events,
    record,
)

LEARNT, MOVED, COUNT, LONG = 200, 900, 1600, 3000
STREAMS, BATCH = 12, 7
WANTED = {"cold_start_samples": LEARNT, "detector__series": "forecast"}
Floats = np.ndarray
Make = Callable[[np.random.Generator, int], Floats]


def dependent(rng: np.random.Generator, count: int) -> Floats:
    """AR(1) with a correlation of 0.5."""
    drawn, values = rng.normal(size=count), np.zeros(count)
    for at in range(1, count):
        values[at] = 0.5 * values[at - 1] + np.sqrt(0.75) * drawn[at]
    return values


def daily(rng: np.random.Generator, count: int, height: float = 10.0) -> Floats:
    """A day of 48 points, whose wave is so many deviations high."""
    wave = np.sin(2.0 * np.pi * np.arange(count) / 48.0 + rng.uniform(0.0, 6.0))
    return height * wave + rng.normal(size=count)


KINDS: dict[str, Make] = {
    "noise": lambda rng, count: rng.normal(size=count),
    "AR(1) 0.5": dependent,
    "counts about 20": lambda rng, count: (rng.poisson(20.0, count) - 20.0) / np.sqrt(20.0),
    "a day of 48 points": daily,
    "a faint day of 48 points": lambda rng, count: daily(rng, count, 3.0),
}


def cases() -> dict[str, Callable[[np.random.Generator], Floats]]:
    """Streams by name, in deviations of their noise."""
    found: dict[str, Callable[[np.random.Generator], Floats]] = {}
    noise = KINDS["noise"]
    for name, make in KINDS.items():
        for height in (3.0, 5.0, 10.0):
            found[f"{name}, {height:g} deviations"] = changed(make, MOVED, COUNT, height)
    for name, make in KINDS.items():
        found[f"{name}, unchanged"] = changed(make, LONG, LONG, 0.0)
    found["noise, 20 deviations each 97th point"] = spiked
    for height in (5.0, 10.0):
        found[f"noise, 39 points of {height:g} deviations"] = changed(
            noise, MOVED, MOVED + 39, height
        )
    for slope in (0.001, 0.002, 0.005, 0.01):
        found[f"noise, a trend of {slope:g} deviations a point"] = trending(slope)
    return found


def changed(
    make: Make, begin: int, end: int, height: float
) -> Callable[[np.random.Generator], Floats]:
    def values(rng: np.random.Generator) -> Floats:
        found = make(rng, max(end, COUNT))
        found[begin:end] += height
        return found

    return values


def spiked(rng: np.random.Generator) -> Floats:
    found = rng.normal(size=COUNT)
    found[LEARNT + 50 :: 97] += 20.0
    return found


def trending(slope: float) -> Callable[[np.random.Generator], Floats]:
    def values(rng: np.random.Generator) -> Floats:
        return rng.normal(size=LONG) + slope * np.maximum(0, np.arange(LONG) - LEARNT)

    return values


def told(values: Floats, *, retrain: bool) -> list[tuple[int, str]]:
    """Lifecycle events of a stream, each with the points that were there by then."""
    scorer = Scorer(**WANTED)
    retrainer = Retrainer(scorer.memory, **WANTED)
    found, accepted = [], 0
    for begin in range(0, len(values), BATCH):
        batch = [
            record(
                {"timestamps": [NOW + 1_800_000 * at], "values": [50.0 + 3.0 * float(values[at])]},
                kind="series",
                offset=at,
            )
            for at in range(begin, min(begin + BATCH, len(values)))
        ]
        written = scorer.feed(batch)
        if retrain:
            for version in announced(written):
                retrainer.know(version)
            samples = consumed(written, TOPICS.accepted, first=accepted)
            accepted += len(samples)
            adopted = scorer.feed(consumed(retrainer.feed(samples), TOPICS.candidates))
            for version in announced(adopted):
                retrainer.know(version)
            written = [*written, *adopted]
        found += [(begin + len(batch), event.event) for event in events(written)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """A line for each sort of stream."""
    parser = argparse.ArgumentParser(prog="benchmarks.new_levels", description=__doc__)
    parser.add_argument("--retrain", action="store_true", help="a retrainer beside the scorer")
    parser.add_argument("--only", default="", help="streams whose names contain this")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args(arguments)
    print("| metric | told once | told again | first told after, points | ended | drift |")
    print("|---|---|---|---|---|---|")
    for name, make in cases().items():
        if options.only not in name:
            continue
        streams = [
            told(make(np.random.default_rng([number, options.seed])), retrain=options.retrain)
            for number in range(STREAMS)
        ]
        counts = [Counter(event for _, event in stream) for stream in streams]
        after = [
            next((at for at, event in stream if event == "shifted"), 0) - MOVED
            for stream, count in zip(streams, counts, strict=True)
            if count["shifted"]
        ]
        print(
            f"| {name} | {sum(count['shifted'] == 1 for count in counts)} of {STREAMS} "
            f"| {sum(count['shifted'] > 1 for count in counts)} "
            f"| {f'{min(after)}–{max(after)}' if after else ''} "
            f"| {sum(count['shift_ended'] > 0 for count in counts)} "
            f"| {sum(count['drifting'] > 0 for count in counts)} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
