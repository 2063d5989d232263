"""How fast verdicts go into the console's store: python -m benchmarks.console_projection URL.

Reads records as Kafka gives them, folds them into memory and writes them, all in one thread.
"""

from __future__ import annotations

import sys
from time import perf_counter

import orjson

from benchmarks.console_catch_up import verdict
from console.live.reading import take, warm_up
from console.live.state import load, now_ms
from console.serve import collect_seldom
from console.settings import ConsoleSettings
from console.store.database import Database
from console.store.projection import Batch, project
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord
from processor.topics import Topics

RECORDS, SIZE, POLLED, PROFILES, ONE_IN = 400_000, 20_000, 2500, 10_000, 1000


def main(url: str) -> None:
    """Print verdicts per second, of reading and of writing."""
    database = Database(ConsoleSettings(_env_file=None, database_url=url).database)
    database.upgrade()
    topics = Topics()
    state = load(database, 1000)
    now = now_ms()
    collect_seldom()
    reading = writing = 0.0
    warm_up()
    begin = max(state.offsets.values(), default=0)
    offsets = {(topics.anomalies, 0): begin}
    for start in range(begin, begin + RECORDS, SIZE):
        records = [_record(topics, number, now) for number in range(start, start + SIZE)]
        batches = [RecordBatch.of(records[n : n + POLLED]) for n in range(0, SIZE, POLLED)]
        at = perf_counter()
        taken = [take(batch, offsets, state, topics, ONE_IN) for batch in batches]
        reading += perf_counter() - at
        at = perf_counter()
        batch = Batch((), {}, {})
        for each in taken:
            if each is not None:
                batch = batch.joined(Batch(each.items, each.begins, each.ends, each.normals))
        counts, _ = project(database, batch, state.profiles, ONE_IN, now)
        state.totals.add(counts)
        writing += perf_counter() - at
    both = RECORDS / (reading + writing)
    print(
        f"{RECORDS} verdicts of {PROFILES} profiles, one in 100 an anomaly, into {url[:10]}…: "
        f"reading {RECORDS / reading:,.0f}/s, writing {RECORDS / writing:,.0f}/s, "
        f"one after the other {both:,.0f}/s"
    )


def _record(topics: Topics, number: int, now: int) -> ConsumerRecord:
    profile = f"profile-{number * 7919 % PROFILES}"
    value = orjson.dumps(verdict(number, profile, 0, now))
    return ConsumerRecord(topics.anomalies, 0, number, profile.encode(), value, (), now)


if __name__ == "__main__":
    main(sys.argv[1])
