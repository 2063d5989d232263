"""Throughput of the scorer on a preloaded backlog, beside its peers in the same run."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import measure, peer, report, workload
from benchmarks.bed import (
    ROOT,
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
from benchmarks.peer import BATCH, OURS, PASSING, Peer
from benchmarks.progress import Progress
from benchmarks.report import Figure
from benchmarks.workload import Workload

SINGLE = "scikit-learn, once a record"
DESIGNED = 2_000
"""Records a batch where what is wanted of us beside scikit-learn was found (design, section 8)."""
BATCHED = f"scikit-learn, once a batch of {DESIGNED:,}"
QUIX, QUIX_SCORING = "Quix Streams, nothing", "Quix Streams, scikit-learn"
QUIX_PYTHON = ROOT / "build" / "peers-venv" / "bin" / "python"

A_RECORD = Peer(SINGLE, ("scikit", "--each", "record"))
A_BATCH = Peer(BATCHED, ("scikit", "--each", "batch"), DESIGNED)
HALF_SPACE, PREDICTIVE = "river, half-space trees", "river, forecast"
OF_RIVER = (
    Peer(HALF_SPACE, ("river_online", "--detector", "trees"), python=QUIX_PYTHON),
    Peer(PREDICTIVE, ("river_online", "--detector", "forecast"), python=QUIX_PYTHON),
)
OUR_BATCH = Peer(f"scikit-learn, once a batch of {BATCH:,}", ("scikit", "--each", "batch"))


@dataclass(frozen=True)
class Case:
    """What is measured beside whom.

    A backlog comes partition by partition, so that of several partitions a batch holds the profiles
    of one or two. Of a single partition it holds them all, as it does of live traffic.

    Attributes:
        targets: what our rate ÷ a peer's must be and what it should be, by the peer's name.
    """

    kind: str
    partitions: int
    peers: tuple[Peer, ...]
    targets: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"`{self.kind}`, {self.partitions} partition{'s' if self.partitions > 1 else ''}"


CASES = (
    Case(
        "features",
        1,
        (
            PASSING,
            Peer(QUIX, ("quix", "--nothing"), python=QUIX_PYTHON),
            A_BATCH,
            OUR_BATCH,
            A_RECORD,
            Peer(QUIX_SCORING, ("quix",), python=QUIX_PYTHON),
        ),
        {
            PASSING.name: ("≥ 0.28", "0.45"),
            BATCHED: ("≥ 40", "60"),
            SINGLE: ("≥ 300", "500"),
            QUIX_SCORING: ("≥ 300", "500"),
            QUIX: ("≥ 1.0", "1.5"),
        },
    ),
    Case("features", 8, (PASSING, A_BATCH, OUR_BATCH)),
    Case("behavior", 8, (PASSING, A_RECORD), {SINGLE: ("≥ 40", "80")}),
    Case(
        "series",
        1,
        (PASSING, A_RECORD, *OF_RIVER),
        {PASSING.name: ("≥ 0.30", "0.5")}
        | dict.fromkeys((SINGLE, HALF_SPACE, PREDICTIVE), ("≥ 50", "100")),
    ),
)


@dataclass(frozen=True)
class Backlog:
    """Records that wait behind those the profiles learnt from."""

    bed: Bed
    case: Case
    workload: Workload
    starts: Offsets
    count: int
    models: Path

    @property
    def topic(self) -> str:
        return self.bed.names.telemetry(self.case.kind)

    @property
    def own_starts(self) -> Offsets:
        """Where the backlog begins in the topic of its kind."""
        return {place: at for place, at in self.starts.items() if place[0] == self.topic}


@dataclass(frozen=True)
class Speed:
    """Of one process in one repetition: records a second, microseconds of processor a record."""

    rate: float
    cost: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both kinds; figures to the results, a table to standard output."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look")
    parser.add_argument("--only", type=int, action="append", help="these cases alone, 0 to 3")
    parser.add_argument("--peer", action="append", help="peers whose names begin so, alone")
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement, at most")
    options = parser.parse_args(arguments)
    repeat = options.repeat or (1 if options.quick else 5)
    seconds = options.seconds or (3 if options.quick else 4)
    figures = []
    with broker() as bootstrap:
        for number in options.only or range(len(CASES)):
            case = CASES[number]
            wanted = tuple(options.peer or ("",))
            peers = [p for p in case.peers if p.name.startswith(wanted) and present(p)]
            with backlog(bootstrap, case, options.quick) as made:
                figures += to_figures(made, repetitions(made, peers, repeat, seconds))
    report.save("throughput", figures)
    return 0


def present(one: Peer) -> bool:
    """Whether a peer's library is installed."""
    if not one.python.exists():
        print(f"{one.name}: not installed in {one.python.parent.parent.relative_to(ROOT)}")
        return False
    return True


@contextmanager
def backlog(bootstrap: str, case: Case, quick: bool) -> Iterator[Backlog]:
    """Profiles that the scorer itself has trained, and a backlog of records for them."""
    if case.kind == "features":
        sent, count = workload.features(200), 200_000 if quick else 700_000
    elif case.kind == "series":
        # No point comes twice: one that does is late, and takes less time.
        sent, count = workload.series(200), 100_000 if quick else 250_000
    else:
        sent, count = workload.behavior(20 if quick else 50), 20_000 if quick else 60_000
    wanted = {"detector__series": "forecast"} if case.kind == "series" else {}
    wanted |= {"cold_start_samples": sent.samples}
    with bed(bootstrap, "bench", case.partitions, **wanted) as made:
        topic = made.names.telemetry(case.kind)
        numbers = range(case.partitions)
        beginning = {(name, p): 0 for name in inputs(made.names) for p in numbers}
        commit(made.settings, f"{made.settings.application}-scorer", beginning)
        taught = fill(made.settings, sent.lessons(topic, case.partitions))
        progress = Progress(
            made.settings,
            f"{made.settings.application}-scorer",
            {(topic, p): 0 for p in numbers},
        )
        with role(made, "score") as scorer:
            wait([scorer], lambda: progress.answered() == taught, every=0.1)
        progress.close()
        starts = ends(made.admin, inputs(made.names), case.partitions)
        empty(made.admin, outputs(made), case.partitions)
        models = made.directory / "peers"
        sent.fit_peers(models, 10 if quick else len(sent.learning))
        fill(made.settings, sent.backlog(topic, case.partitions, count))
        with peer.topics(made):
            yield Backlog(made, case, sent, starts, count, models)


def outputs(bed: Bed) -> tuple[str, ...]:
    return bed.names.anomalies, bed.names.accepted


def repetitions(
    made: Backlog, peers: Sequence[Peer], repeat: int, seconds: float
) -> dict[str, list[Speed]]:
    """The speed of all, one after another in each repetition: noise hits all.

    Each begins one repetition after another, for whoever follows a slow one finds the broker idle.
    """
    speeds: dict[str, list[Speed]] = {name: [] for name in (OURS, *(each.name for each in peers))}
    # A broker's first transactions take several times as long, and ours would come first.
    theirs(made, PASSING, seconds)
    for number in range(repeat):
        print(f"{made.case.name}, repetition {number + 1} of {repeat}", flush=True)
        everyone = [(OURS, None), *((each.name, each) for each in peers)]
        turn = number % len(everyone)
        for name, each in (*everyone[turn:], *everyone[:turn]):
            speed = ours(made, seconds) if each is None else theirs(made, each, seconds)
            speeds[name].append(speed)
            print(f"  {name}: {speed.rate:,.0f}/s, {speed.cost:,.1f} µs a record", flush=True)
    return speeds


def ours(made: Backlog, seconds: float) -> Speed:
    """The speed of a scorer that begins at the backlog's beginning."""
    group = f"{made.bed.settings.application}-scorer"
    commit(made.bed.settings, group, made.starts)
    with role(made.bed, "score") as scorer:
        speed = followed(made, group, scorer, seconds)
    empty(made.bed.admin, outputs(made.bed), made.case.partitions)
    return speed


def theirs(made: Backlog, whose: Peer, seconds: float) -> Speed:
    """The same of a peer."""
    group = f"peer-{uuid.uuid4().hex[:8]}"
    commit(made.bed.settings, group, made.own_starts)
    with peer.started(made.bed, whose, group, made.case.kind, made.models) as process:
        speed = followed(made, group, process, seconds)
    empty(made.bed.admin, peer.outputs(made.bed), made.case.partitions)
    return speed


def followed(made: Backlog, group: str, process: Running, seconds: float) -> Speed:
    progress = Progress(made.bed.settings, group, made.own_starts)
    changes = progress.follow(process, made.count, seconds)
    progress.close()
    return Speed(measure.rate(changes, made.count), measure.cost(changes, made.count))


def to_figures(made: Backlog, speeds: dict[str, list[Speed]]) -> list[Figure]:
    """Rate and processor time of each, and the ratio of our rate to each peer's."""
    sent, case = made.workload, made.case
    what = f"{case.name}, {len(sent.learning)} profiles, {sent.record_bytes:,.0f} bytes"
    figures = []
    rates = {name: [speed.rate for speed in found] for name, found in speeds.items()}
    for name, found in speeds.items():
        costs = [speed.cost for speed in found]
        figures.append(report.several(f"{what}: {name}", "records/s", rates[name]))
        figures.append(report.several(f"{what}: {name}, processor time", "µs a record", costs))
        if name != OURS:
            must, aim = case.targets.get(name, ("", ""))
            ratio, least, most = measure.ratios(rates[OURS], rates[name])
            figures.append(Figure(f"{case.name}: ours ÷ {name}", ratio, "", least, most, must, aim))
    return figures


if __name__ == "__main__":
    sys.exit(main())
