"""Growth: what a record costs, and a profile takes, as profiles and processes become more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

import numpy as np

from benchmarks import prepared, report
from benchmarks.bed import (
    PARTITIONS,
    Bed,
    Offsets,
    Running,
    bed,
    broker,
    commit,
    empty,
    ends,
    fill,
    inputs,
    role,
    wait,
)
from benchmarks.progress import Progress
from benchmarks.report import Figure, several

LEARNT = 100
PLENTY = 2**36
MEMORY = "telltale_model_memory_bytes"


@dataclass(frozen=True)
class Cost:
    """What a number of profiles cost.

    Attributes:
        cpu: microseconds of processor time a record, all threads, once all models are open; of
            each repetition.
        resident: bytes resident with all models open.
        models: bytes that the models say they take.
    """

    profiles: int
    cpu: list[float]
    resident: int
    models: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; figures to the results, a table to standard output."""
    parser = argparse.ArgumentParser(prog="benchmarks.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: at most 10,000")
    parser.add_argument("--records", type=int, help="of each measurement")
    parser.add_argument("--repeat", type=int, help="measurements in memory, turn about")
    parser.add_argument("--only-memory", action="store_true", help="what is in memory, no more")
    options = parser.parse_args(arguments)
    sizes = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    records = options.records or (40_000 if options.quick else 200_000)
    repeat = options.repeat or (1 if options.quick else 5)
    with broker() as bootstrap:
        costs = in_memory(bootstrap, sizes, records, repeat)
        figures = of_costs(costs)
        if options.only_memory:
            print("\n".join(report.table(figures)))
            return 0
        with bed(bootstrap, "growth", model_memory=PLENTY) as made:
            prepared.active(made, costs[1].profiles)
            prepared.begin(made)
            figures += within_budget(made, costs[1], records)
        figures.append(learning(bootstrap, 1_000 if options.quick else 10_000))
        figures += processes(bootstrap, records * 3)
    report.save("growth", figures)
    return 0


def of_costs(costs: Sequence[Cost]) -> list[Figure]:
    figures = [
        several(f"{cost.profiles:,} active profiles: processor time", "µs a record", cost.cpu)
        for cost in costs
    ]
    first, last = costs[0], costs[-1]
    grown = (last.resident - first.resident) / (last.profiles - first.profiles) / 1e3
    whole = last.profiles == 100_000
    figures.append(
        several(
            f"cost a record, {last.profiles:,} ÷ {first.profiles:,} active profiles in memory", "",
            [many / few for many, few in zip(last.cpu, first.cpu, strict=True)],
            must="≤ 1.5" if whole else "", aim="1.2" if whole else "",
        )
    )  # fmt: skip
    figures.append(Figure("bytes a profile, active, all told (RSS growth)", grown, "kB",
                          must="≤ 130", aim="60"))  # fmt: skip
    models = last.models / last.profiles / 1e3
    figures.append(Figure("of these, the model by its own account", models, "kB"))
    return figures


def in_memory(bootstrap: str, sizes: Sequence[int], records: int, repeat: int) -> list[Cost]:
    """Costs with all models open: each was needed once before, and the load is uniform.

    There is a scorer for each number of profiles, and they are measured turn about.
    """
    with ExitStack() as stack:
        scorers = [stack.enter_context(opened(bootstrap, size)) for size in sizes]
        costs = [
            Cost(size, [], scorer.resident(), int(scorer.metric(MEMORY)))
            for size, (_, scorer, _) in zip(sizes, scorers, strict=True)
        ]
        for repetition in range(repeat):
            for of_size, (made, scorer, progress) in zip(costs, scorers, strict=True):
                uniform = np.random.default_rng(repetition).integers(of_size.profiles, size=records)
                before = of_size.profiles + repetition * records
                of_size.cpu.append(cost(made, scorer, progress, uniform.tolist(), before))
                print(f"{of_size.profiles:,} profiles: {of_size.cpu[-1]:.2f} µs", flush=True)
    return costs


@contextmanager
def opened(bootstrap: str, size: int) -> Iterator[tuple[Bed, Running, Progress]]:
    """A scorer with so many active profiles, all of their models open, and how far it is."""
    with bed(bootstrap, "growth", model_memory=PLENTY) as made:
        prepared.active(made, size)
        prepared.begin(made)
        group, topic = f"{made.settings.application}-scorer", made.names.telemetry(prepared.KIND)
        progress = Progress(made.settings, group, {(topic, p): 1 for p in range(PARTITIONS)})
        fill(made.settings, prepared.telemetry(made, iter(range(size))))
        with role(made, "score") as scorer:
            wait([scorer], lambda: progress.answered() == size)
            wait([scorer], lambda: scorer.metric(MEMORY) > 0, every=0.5)
            yield made, scorer, progress
        progress.close()


def cost(
    made: Bed, scorer: Running, progress: Progress, numbers: Sequence[int], before: int
) -> float:
    """Microseconds of processor time a record of a load that is written meanwhile."""
    began = scorer.cpu()
    fill(made.settings, prepared.telemetry(made, iter(numbers)))
    wait([scorer], lambda: progress.answered() == before + len(numbers))
    return 1e6 * (scorer.cpu() - began) / len(numbers)


def within_budget(made: Bed, unbounded: Cost, records: int) -> list[Figure]:
    """Cost under a Zipf load, with all models in memory and with room for a tenth of them."""
    found = []
    # Opens the models, with what each measurement leaves there.
    fill(made.settings, prepared.telemetry(made, iter(range(unbounded.profiles))))
    for budget in (PLENTY, unbounded.models // 10):
        group = f"{made.settings.application}-scorer"
        topic = made.names.telemetry(prepared.KIND)
        here = {
            (name, p): int(name == topic) for name in inputs(made.names) for p in range(PARTITIONS)
        }
        begin_again(made, group, here)
        progress = Progress(made.settings, group, {(topic, p): 1 for p in range(PARTITIONS)})
        with role(made, "score", model_memory=budget) as scorer:
            left = ends(made.admin, [topic], PARTITIONS)
            end = sum(left.values()) - PARTITIONS
            wait([scorer], lambda seen=progress, end=end: seen.answered() == end, every=0.5)
            numbers = list(zipf(unbounded.profiles, records))
            found.append(cost(made, scorer, progress, numbers, end))
        progress.close()
    name = f"{unbounded.profiles:,} active profiles, Zipf load"
    return [
        Figure(f"{name}, all in memory: processor time", found[0], "µs a record"),
        Figure(f"{name}, a tenth in memory: processor time", found[1], "µs a record"),
        Figure(f"{name}: a tenth ÷ all in memory", found[1] / found[0], ""),
    ]


def begin_again(made: Bed, group: str, offsets: Offsets) -> None:
    """Have the next scorer answer from these offsets on, as if nothing had been answered.

    A start that finds answers behind its offsets takes them for moved ones, and stops.
    """
    empty(made.admin, (made.names.anomalies, made.names.accepted, made.names.dead_letter))
    commit(made.settings, group, offsets)


def zipf(profiles: int, records: int) -> Iterator[int]:
    """Profiles of a load in which the n-th most frequent has 1/n of the first one's share."""
    rng = np.random.default_rng(2)
    shares = 1.0 / np.arange(1, profiles + 1)
    chosen = rng.choice(profiles, size=records, p=shares / shares.sum())
    yield from rng.permutation(profiles)[chosen].tolist()


def learning(bootstrap: str, profiles: int) -> Figure:
    """Bytes of a profile in learning, by the difference of two restores."""
    resident = []
    for size in (profiles // 10, profiles):
        with bed(bootstrap, "growth") as made:
            prepared.learning(made, size, LEARNT)
            prepared.begin(made)
            with role(made, "score") as scorer:
                wait([scorer], scorer.ready)
                resident.append(scorer.resident())
    grown = (resident[1] - resident[0]) / (profiles - profiles // 10)
    return Figure(f"bytes a profile, learning, {LEARNT} samples of 17 (RSS growth)",
                  grown / 1e3, "kB")  # fmt: skip


def processes(bootstrap: str, records: int) -> list[Figure]:
    """Records a second of one process, and of two that share the partitions."""
    with bed(bootstrap, "growth") as made:
        prepared.active(made, 1_000)
        prepared.begin(made)
        numbers = np.random.default_rng(3).integers(1_000, size=records).tolist()
        fill(made.settings, prepared.telemetry(made, iter(numbers)))
        rates = [together(made, count, records) for count in (1, 2)]
    return [
        Figure("1 process, 1,000 active profiles", rates[0], "records/s"),
        Figure("2 processes, 1,000 active profiles", rates[1], "records/s"),
        Figure("2 processes ÷ 1", rates[1] / rates[0], ""),
    ]


def together(made: Bed, count: int, records: int) -> float:
    """Records a second of so many processes, from the moment at which all are ready."""
    group, topic = f"{made.settings.application}-scorer", made.names.telemetry(prepared.KIND)
    starts = {
        (name, p): int(name == topic) for name in inputs(made.names) for p in range(PARTITIONS)
    }
    begin_again(made, group, starts)
    progress = Progress(made.settings, group, {(topic, p): 1 for p in range(PARTITIONS)})
    with ExitStack() as stack:
        scorers = [
            stack.enter_context(role(made, "score", slot=str(slot))) for slot in range(count)
        ]
        wait(scorers, lambda: all(scorer.ready() for scorer in scorers) and progress.answered() > 0)
        before, began = progress.answered(), monotonic()
        while monotonic() - began < 6 and progress.answered() < 0.95 * records:
            sleep(0.02)
        rate = (progress.answered() - before) / (monotonic() - began)
    progress.close()
    return rate


if __name__ == "__main__":
    sys.exit(main())
