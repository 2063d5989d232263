"""The fault harness: rounds of load and faults on a real Kafka, each one verified in full."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from time import monotonic

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from processor.runtime.warmup import warm_up
from processor.topics import Topics
from tests.chaos import cluster, faults
from tests.chaos.cast import COMMAND, Cast
from tests.chaos.consoles import Consoles
from tests.chaos.faults import FAULTS, Stage
from tests.chaos.load import SOURCE, SOURCES, Load
from tests.chaos.metrics import Metrics
from tests.chaos.reader import Reader
from tests.chaos.report import Report
from tests.chaos.verify import Finding, Ledger

PARTITIONS = 4
SLOTS = tuple((role, slot) for role in ("score", "retrain", "ingest") for slot in "01")
RATE = 60.0
ALERT_BUDGET = 0.01
WARM_SECONDS = 2.0
# More than a rebalance may wait for a dead member, and a role then outside its group, together.
PATIENCE_SECONDS = 150.0
READ_SECONDS = 0.1
MOVE_SECONDS = 0.02
SESSION_SECONDS = 3.0
DIRECTORY = Path(__file__).resolve().parents[2] / "build" / "chaos"


class Play:
    """One run: brokers, processes, load, and the ledger that all rounds share."""

    def __init__(self, directory: Path, brokers: int, seed: int, rate: float) -> None:
        self.directory = directory
        self.report = Report(seed)
        self._began = monotonic()
        self._stack = ExitStack()
        try:
            self._open(brokers, seed, rate)
        except BaseException:
            self.close()
            raise

    def _open(self, count: int, seed: int, rate: float) -> None:
        logs = self.directory / "logs"
        logs.mkdir(parents=True)
        self._timeline = self._stack.enter_context((self.directory / "timeline.log").open("w"))
        brokers, bootstrap = cluster.start(self.directory / "kafka", count, self._stack)
        environment = {
            "TELLTALE_BOOTSTRAP_SERVERS": bootstrap,
            "TELLTALE_APPLICATION": "chaos",
            "TELLTALE_MODEL_DIR": str(self.directory / "models"),
            "TELLTALE_PARTITIONS": str(PARTITIONS),
            "TELLTALE_REPLICATION": str(count),
            "TELLTALE_COLD_START_SAMPLES": "20",
            # So that metrics have a detector with an online state.
            "TELLTALE_COLD_START_SAMPLES__SERIES": "30",
            "TELLTALE_DETECTOR__SERIES": "forecast",
            "TELLTALE_ALERT_BUDGET": str(ALERT_BUDGET),
            "TELLTALE_RETRAIN_SAMPLES": "40",
            "TELLTALE_SHIFT_SAMPLES": "45",
            "TELLTALE_SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
            "TELLTALE_TRANSACTION_TIMEOUT_MS": "6000",
            # How long a rebalance waits for members whose death a broker forgot to notice.
            "TELLTALE_MAX_POLL_INTERVAL_MS": "30000",
            "TELLTALE_HTTP_PORT": "0",
            "TELLTALE_LOG_FORMAT": "json",
            "OMP_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "1",
        }
        subprocess.run(
            [COMMAND, "topics", "create"], env=os.environ | environment, check=True, timeout=240
        )
        topics = Topics()
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic(SOURCE, PARTITIONS, count)])[SOURCE].result()
        sources = self.directory / "sources.yaml"
        sources.write_text(SOURCES)
        self._ledger = Ledger(topics, SOURCE)
        self._metrics = Metrics(topics, self.directory / "models", ALERT_BUDGET)
        self._reader = Reader(bootstrap, self._ledger.topics, PARTITIONS)
        self._stack.callback(self._reader.close)
        self._load = Load(bootstrap, topics, PARTITIONS, seed, rate)
        self._stack.callback(self._load.close)
        self._cast = Cast(environment, logs, {"ingest": ("run", str(sources))})
        self._stack.callback(self._cast.close)
        self._consoles = Consoles(self.directory, environment, topics)
        self._stack.callback(self._consoles.close)
        self._stage = Stage(
            self._cast, brokers, bootstrap, topics, PARTITIONS, SESSION_SECONDS, self.note
        )
        # The kernels are compiled once, not by each process of a fresh checkout beside the others.
        warm_up()
        for slot in SLOTS:
            self._cast.start(slot)

    def note(self, text: str) -> None:
        """Add a line to the run's timeline."""
        self._timeline.write(
            f"{time.strftime('%H:%M:%S')} {monotonic() - self._began:8.2f} {text}\n"
        )
        self._timeline.flush()

    def round(self, seed: int | None) -> list[Finding]:
        """A round under load with the faults of a seed, or with none; what was found wrong."""
        planned = [] if seed is None else faults.chosen(Random(seed))
        self.note(f"round {self.report.rounds + 1}, seed {seed}: {planned}")
        self._load.resume()
        if planned:
            self._act(planned, seed or 0)
        else:
            self._wait(WARM_SECONDS)
        self._load.pause()
        began = monotonic()
        found = self._settle()
        recovered = monotonic() - began
        self.note(f"settled after {recovered:.1f} s: {len(found)} findings")
        report = self.report
        if planned:
            report.rounds += 1
            report.recoveries.append(recovered)
            report.faults.update(name for _, name in planned)
        report.exits = self._cast.exits
        report.records, report.dead_letters = self._ledger.records, self._ledger.dead_letters
        report.seconds = monotonic() - self._began
        report.findings.update(finding.sort for finding in found)
        names = ", ".join(name for _, name in planned) or "none"
        said = f"{len(found)} findings" if found else "ok"
        print(
            f"round {report.rounds} (seed {seed}): {names}; {report.records} records, "
            f"recovered in {recovered:.1f} s: {said}",
            flush=True,
        )
        return found

    def close(self) -> None:
        """End all that was started."""
        self._stack.close()

    def _act(self, planned: Sequence[tuple[float, str]], seed: int) -> None:
        """Let each fault make its moves in its time."""
        began = monotonic()
        moves: list[tuple[float, int, Iterator[float]]] = [
            (began + at, n, FAULTS[name](self._stage, Random(f"{seed} {name}")))
            for n, (at, name) in enumerate(planned)
        ]
        moves.append(
            (began, len(moves), self._consoles.kills(Random(f"{seed} console"), self.note))
        )
        # The kills of consoles go on as long as there is another fault.
        while len(moves) > 1:
            at, n, fault = min(moves, key=lambda move: move[:2])
            moves.remove((at, n, fault))
            self._wait(at - monotonic())
            pause = next(fault, None)
            if pause is not None:
                moves.append((monotonic() + pause, n, fault))

    def _wait(self, seconds: float) -> None:
        """Read on meanwhile, so that less is left to read in the end."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            self._read(min(left, READ_SECONDS))

    def _read(self, seconds: float) -> None:
        for record in self._reader.read(seconds):
            self._ledger.take(record)
            self._metrics.take(record)
            self._consoles.take(record)

    def _settle(self) -> list[Finding]:
        """Read until every input is answered and nothing is left to read, then check."""
        until = monotonic() + PATIENCE_SECONDS
        behind: object = "not known"
        while monotonic() < until:
            self._read(READ_SECONDS)
            if self._ledger.waiting:
                continue
            try:
                behind = self._reader.behind()
            except KafkaException as error:
                behind = error
            if not behind and not self._ledger.waiting:
                break
        else:
            self._cast.abort_all()
            self.note(f"patience is over: {self._ledger.waiting}, behind: {behind}")
        problems = [Finding("process", "", text) for text in self._cast.problems]
        self._cast.problems.clear()
        found = [*self._ledger.check(), *problems, *self._metrics.check(), *self._consoles.check()]
        self.report.replayed = self._metrics.judged
        return found


def run(
    rounds: int, seed: int, brokers: int, rate: float, directory: Path, written: Path | None = None
) -> int:
    """Play rounds until one fails; 0 where none did. What failed is kept in ``directory``.

    Args:
        written: where the table is written as JSON, whatever ended the run.
    """
    play = Play(directory, brokers, seed, rate)
    found: list[Finding] = []
    failed = seed
    try:
        found = play.round(None)
        for failed in range(seed, seed + rounds):
            if found:
                break
            found = play.round(failed)
    except BaseException as error:
        # Whatever ends it, the table of the rounds before it is told.
        print(f"ended by {type(error).__name__}: {error}", flush=True)
        play.note(f"ended by {error!r}")
        raise
    finally:
        play.close()
        print("\n" + play.report.table(), flush=True)
        if written is not None:
            written.write_text(json.dumps(play.report.plain(), indent=2) + "\n")
    if not found:
        shutil.rmtree(directory)
        return 0
    (directory / "findings.txt").write_text("".join(f"{finding}\n" for finding in found))
    print(f"\n{len(found)} findings, the first of them:", *found[:20], sep="\n  ")
    print(f"evidence: {directory}")
    print(f"again: make chaos ROUNDS=1 SEED={failed}, or SEED={seed} ROUNDS={failed - seed + 1}")
    return 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1, help="round n has the seed SEED + n - 1")
    parser.add_argument("--brokers", type=int, default=1, choices=(1, 3))
    parser.add_argument("--rate", type=float, default=RATE, help="telemetry records a second")
    parser.add_argument("--json", type=Path, help="write the table as JSON to this file")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{given.seed}-{os.getpid()}"
    return run(given.rounds, given.seed, given.brokers, given.rate, DIRECTORY / name, given.json)


if __name__ == "__main__":
    sys.exit(main())
