"""Fuzzing of decode → extract → score: payloads by number, each answer checked.

    python -m tests.fuzz.run --payloads 1000000 --seed 1

Payload n of a seed is always the same, and every batch of 250 begins in the same state: a failure
is reproduced by its batch alone.
"""

from __future__ import annotations

import argparse
import base64
import gc
import os
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import process_time
from typing import Final

from processor.scorer.decode import Decoded, decode
from tests.fuzz import check, reference
from tests.fuzz.corpus import sources
from tests.fuzz.payloads import Payload, payload
from tests.fuzz.report import Report
from tests.fuzz.stage import Stage

BATCH: Final = 250
COMPARED_EVERY: Final = 10
"""One payload in so many is judged a second time, by another parser."""

MEASURED_EVERY: Final = 100
"""The memory of one batch in so many is traced, record by record."""

RECORD_SECONDS: Final = 0.05
SECONDS_PER_BYTE: Final = 1e-6
"""CPU time that a record may take: 50 ms, and 1 µs more for each of its bytes."""

TRAINING_SECONDS: Final = 5.0
"""The same for the record that completes a profile's learning: a training of 10,030 samples."""

RECORD_BYTES: Final = 4 * 2**20
BYTES_PER_BYTE: Final = 100
"""Memory that a record may take while it is worked on: 4 MiB, and 100 times its size."""

RETRIES: Final = 5
SHOWN: Final = 2000
KEPT: Final = Path(__file__).resolve().parents[2] / "build" / "fuzz"


class Failure(Exception):
    """A payload, or a batch, that breaks an invariant."""

    def __init__(self, what: str, batch: int, found: Payload | None) -> None:
        super().__init__(what)
        self.batch = batch
        self.payload = found


class Fuzzer:
    """Feeds the payloads of one seed to a scorer, batch by batch."""

    def __init__(self, seed: int, recordings: Path | None) -> None:
        self.seed = seed
        self.sources = sources(recordings)
        self.stage = Stage(self.sources)
        self.limits = self.stage.context.limits
        self.report = Report()
        # What lives as long as the run is not looked at again with each large payload.
        gc.collect()
        gc.freeze()

    def batch(self, number: int, size: int = BATCH) -> None:
        """Feed one batch and check every answer.

        Raises:
            Failure: an invariant does not hold.
        """
        first = number * BATCH
        items = [payload(self.seed, n, self.sources) for n in range(first, first + size)]
        began = process_time()
        try:
            outputs = self.stage.feed([item.record for item in items])
        except Exception as error:
            raise Failure(f"raised {error!r}", number, self._culprit(items)) from error
        seconds = process_time() - began
        trained = self.stage.trained()
        try:
            found = check.answers(items, outputs)
        except check.Broken as error:
            raise Failure(str(error), number, self._culprit(items)) from error
        for item, answer in zip(items, found, strict=True):
            if item.number % COMPARED_EVERY == 0:
                self._compare(number, item, answer)
            self.report.take(item, answer)
        self.report.batch(seconds, trained)
        if seconds > RECORD_SECONDS or number % MEASURED_EVERY == 0:
            self._time(number, items)
        if number % MEASURED_EVERY == 0:
            self._trace(number, items)

    def _culprit(self, items: Sequence[Payload]) -> Payload | None:
        """The payload that fails even alone, if any does."""
        for item in items:
            try:
                check.answers([item], self.stage.feed([item.record]))
            except Exception:
                return item
        return None

    def _compare(self, number: int, item: Payload, answer: check.Answer) -> None:
        limits = (self.limits.record_bytes, self.limits.features, self.limits.samples)
        expected = reference.judged(item.record, item.kind, limits)
        reason = (
            answer.reason if answer.reason not in ("feature_mismatch", "unanswerable") else None
        )
        if reason != expected:
            raise Failure(f"dead letter: {reason}, by the reference {expected}", number, item)
        self.report.compared += 1

    def _time(self, number: int, items: Sequence[Payload]) -> None:
        """Time the slowest of a batch alone, the least of some tries, so that only it counts."""
        for item in items:
            size = len(item.record.value or b"")
            allowed = RECORD_SECONDS + SECONDS_PER_BYTE * size
            least = self._cpu(item)
            trains = self.stage.trained() > 0
            if trains:
                allowed = TRAINING_SECONDS
            for _ in range(RETRIES):
                if least <= min(allowed, self.report.least_worth_telling(trains)):
                    break
                least = min(least, self._cpu(item))
            if least > allowed:
                what = f"takes {least:.3f} s of CPU time, bound {allowed:.3f} s ({size} bytes)"
                raise Failure(what, number, item)
            self.report.timed(item, least, trains)

    def _cpu(self, item: Payload) -> float:
        began = process_time()
        self.stage.feed([item.record])
        return process_time() - began

    def _trace(self, number: int, items: Sequence[Payload]) -> None:
        """Trace the memory that each record of a batch takes at its peak, alone."""
        tracemalloc.start()
        try:
            for item in items:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                outputs = self.stage.feed([item.record])
                taken = tracemalloc.get_traced_memory()[1] - before
                del outputs
                size = len(item.record.value or b"")
                allowed = RECORD_BYTES + BYTES_PER_BYTE * size
                if taken > allowed:
                    what = f"takes {taken} bytes, bound {allowed} ({size} bytes)"
                    raise Failure(what, number, item)
                self.report.traced(item, taken)
        finally:
            tracemalloc.stop()


def judge(fuzzer: Fuzzer, number: int) -> None:
    """Show one batch's payloads with what decode says of them."""
    for n in range(number * BATCH, number * BATCH + BATCH):
        item = payload(fuzzer.seed, n, fuzzer.sources)
        said = decode(item.record, item.kind, fuzzer.limits)
        told = "valid" if isinstance(said, Decoded) else f"{said.reason}: {said.detail[:100]}"
        print(f"{n} {item.kind} {item.what}: {told}")


def complain(failure: Failure, seed: int, recordings: Path | None) -> None:
    """Tell what failed, the payload, and how to see it again."""
    told = [f"FAILED with seed {seed}, batch {failure.batch}: {failure}"]
    if failure.payload is None:
        told.append("no payload of the batch fails alone: it takes those before it")
    else:
        record, value = failure.payload.record, failure.payload.record.value
        told += [
            f"payload {failure.payload.number} ({failure.payload.kind}, {failure.payload.what})",
            f"key: {record.key!r}",
            f"headers: {record.headers!r}"[:SHOWN],
            f"timestamp: {record.timestamp}",
            f"value: {'none' if value is None else len(value)} bytes: {value!r}"[:SHOWN],
        ]
        if value is not None and len(value) <= SHOWN:
            told.append(f"base64: {base64.b64encode(value).decode()}")
        elif value is not None:
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / f"seed-{seed}-payload-{failure.payload.number}"
            kept.write_bytes(value)
            told.append(f"whole: {kept}")
    data = "" if recordings is None else f"TELLTALE_DATA={recordings} "
    told.append(f"again: {data}python -m tests.fuzz.run --seed {seed} --batch {failure.batch}")
    print("\n".join(told), file=sys.stderr)


def run(fuzzer: Fuzzer, payloads: int) -> None:
    """Feed the first ``payloads`` payloads of the seed."""
    began = process_time()
    for number, first in enumerate(range(0, payloads, BATCH)):
        fuzzer.batch(number, min(BATCH, payloads - first))
        if number == 100:
            fuzzer.report.early_rss = getrusage(RUSAGE_SELF).ru_maxrss
        if number % 400 == 399:
            done = (number + 1) * BATCH
            rate = done / (process_time() - began)
            print(f"{done} payloads, {rate:.0f}/s", file=sys.stderr, flush=True)
    fuzzer.report.seconds = process_time() - began
    fuzzer.report.rss = getrusage(RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, help="only this batch, again")
    parser.add_argument("--show", action="store_true", help="with --batch: list its payloads")
    given = parser.parse_args()
    data = os.environ.get("TELLTALE_DATA")
    recordings = Path(data) if data else None
    fuzzer = Fuzzer(given.seed, recordings)
    try:
        if given.batch is None:
            run(fuzzer, given.payloads)
        elif given.show:
            judge(fuzzer, given.batch)
        else:
            fuzzer.batch(given.batch)
    except Failure as failure:
        complain(failure, given.seed, recordings)
        return 1
    print(fuzzer.report.text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
