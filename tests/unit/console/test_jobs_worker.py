"""Jobs in worker processes: each ends once, whatever happens to the workers."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from sqlalchemy import func, select

from console.jobs import queue
from console.jobs.queue import ENDED, End, LostLease, Owner
from console.jobs.reading import frames_after
from console.jobs.results import Results
from console.jobs.tables import job_events, jobs
from console.settings import ConsoleSettings
from console.store.database import Database

ROOT = Path(__file__).parents[3]
ADA = Owner("ada")
PATIENCE = 120.0


def wait_until(done: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    deadline = monotonic() + seconds
    while not done():
        assert monotonic() < deadline, f"not in time: {what}"
        sleep(0.05)


class Pool:
    """Worker processes on a store."""

    def __init__(self, url: str, directory: Path, **variables: str) -> None:
        self.directory = directory
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "TELLTALE_DATABASE_URL": url,
            "TELLTALE_RESULTS_DIR": str(directory / "results"),
            "TELLTALE_LOG_FORMAT": "json",
            **variables,
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.unit.console.job_types"]
        with (self.directory / "worker.log").open("ab") as log:
            begun = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=log)
        self.processes.append(begun)
        return begun

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@contextmanager
def pool_of(url: str, directory: Path, count: int, **variables: str) -> Iterator[Pool]:
    found = Pool(url, directory, **variables)
    try:
        for _ in range(count):
            found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def store(store_url: str) -> Iterator[Database]:
    found = Database(ConsoleSettings(_env_file=None, database_url=store_url).database)
    found.upgrade()
    yield found
    found.close()


def row_of(store: Database, job_id: str) -> Any:
    with store.read() as connection:
        return connection.execute(select(jobs).where(jobs.c.id == job_id)).one()


def ended(store: Database, job_id: str) -> Any:
    wait_until(lambda: row_of(store, job_id).state in ENDED, "the job has ended")
    return row_of(store, job_id)


def test_a_job_runs_and_its_frames_and_results_are_kept(
    store: Database, store_url: str, tmp_path: Path
):
    job_id = queue.submit(store, "count", {"epochs": 3}, ADA)

    with pool_of(store_url, tmp_path, 1):
        row = ended(store, job_id)

    frames = frames_after(store, job_id, 0)
    assert (row.state, row.progress, row.attempts) == ("succeeded", 1.0, 1)
    assert Results(str(tmp_path / "results")).read(row.result_path) == {"reached": 3}
    assert [(each["epoch"], each["state"]) for each in frames] == [
        (1, "running"),
        (2, "running"),
        (3, "running"),
        (3, "succeeded"),
    ]
    assert [each["seq"] for each in frames] == [1, 2, 3, 4]


@pytest.mark.parametrize("job_type", ["count", "stubborn"])
def test_a_cancelled_job_ends_within_ten_seconds_and_keeps_what_it_measured(
    store: Database, store_url: str, tmp_path: Path, job_type: str
):
    config = {"epochs": 1000, "seconds": 0.2}
    job_id = queue.submit(store, job_type, config, ADA)
    with pool_of(store_url, tmp_path, 1) as pool:
        wait_until(lambda: row_of(store, job_id).frames >= 1, "it has begun")

        began = monotonic()
        queue.cancel(store, job_id)
        row = ended(store, job_id)
        seconds = monotonic() - began

        # The worker is there for the next one, also if this one had to be ended with the process.
        another = queue.submit(store, "count", {"epochs": 1}, ADA)
        assert ended(store, another).state == "succeeded"
        assert pool.processes[0].poll() is None

    assert row.state == "cancelled"
    assert seconds < 10.0
    kept = Results(str(tmp_path / "results")).read(row.result_path)
    assert kept["reached"] == frames_after(store, job_id, 0)[-1]["epoch"]


def test_a_job_that_takes_too_long_is_timed_out(sqlite: Database, tmp_path: Path):
    job_id = queue.submit(sqlite, "count", {"epochs": 1000, "seconds": 0.1}, ADA)

    with pool_of(f"sqlite:///{tmp_path}/only.db", tmp_path, 1, TELLTALE_JOB_SECONDS="1"):
        row = ended(sqlite, job_id)

    assert row.state == "timed_out"
    assert "TELLTALE_JOB_SECONDS (1)" in row.error


@pytest.mark.parametrize(
    ("job_type", "told"),
    [("broken", "something went wrong"), ("refused", "rows: expected"), ("nothing", "not know")],
)
def test_a_job_that_fails_says_why_and_no_more(
    sqlite: Database, tmp_path: Path, job_type: str, told: str
):
    job_id = queue.submit(sqlite, job_type, {}, ADA)

    with pool_of(f"sqlite:///{tmp_path}/only.db", tmp_path, 1):
        row = ended(sqlite, job_id)

    assert row.state == "failed"
    assert told in row.error
    assert "1234" not in row.error


def test_a_job_is_taken_by_one_worker_and_a_lost_one_changes_nothing_more(store: Database):
    job_id = queue.submit(store, "count", {}, ADA)

    taken = queue.take(store, "one")
    assert taken is not None
    assert taken.id == job_id
    assert queue.take(store, "two") is None
    with store.write() as connection:
        connection.execute(jobs.update().values(lease_until=0))
    again = queue.take(store, "two")

    assert again is not None
    assert (again.id, again.attempt) == (job_id, 2)
    with pytest.raises(LostLease):
        queue.renew(store, job_id, "one")
    with pytest.raises(LostLease):
        queue.report(store, job_id, "one", {"epoch": 1}, {}, None)
    assert not queue.finish(store, job_id, "one", End("succeeded"))
    assert queue.finish(store, job_id, "two", End("succeeded"))
    assert not queue.finish(store, job_id, "two", End("failed"))
    assert [frame["state"] for frame in frames_after(store, job_id, 0)] == ["succeeded"]


def test_a_job_that_must_not_be_begun_twice_fails_if_its_worker_is_killed(
    sqlite: Database, tmp_path: Path
):
    job_id = queue.submit(sqlite, "once", {"epochs": 1000, "seconds": 0.1}, ADA)
    with pool_of(f"sqlite:///{tmp_path}/only.db", tmp_path, 1) as pool:
        wait_until(lambda: row_of(sqlite, job_id).frames >= 1, "it has begun")
        pool.processes[0].kill()
        pool.processes[0].wait()
        expire(sqlite)
        pool.start()
        row = ended(sqlite, job_id)

    assert row.state == "failed"
    assert "ended without a word" in row.error


def test_a_worker_that_is_told_to_end_gives_its_job_back(sqlite: Database, tmp_path: Path):
    job_id = queue.submit(sqlite, "count", {"epochs": 40, "seconds": 0.1}, ADA)
    with pool_of(f"sqlite:///{tmp_path}/only.db", tmp_path, 1) as pool:
        wait_until(lambda: row_of(sqlite, job_id).frames >= 1, "it has begun")
        began = monotonic()
        pool.processes[0].terminate()
        assert pool.processes[0].wait(10) == 0
        assert monotonic() - began < 10
        assert row_of(sqlite, job_id).state == "queued"
        pool.start()
        row = ended(sqlite, job_id)

    assert (row.state, row.attempts) == ("succeeded", 1)


def expire(store: Database) -> None:
    """Have the leases of jobs run out whose workers the test has killed."""
    with store.write() as connection:
        connection.execute(jobs.update().where(jobs.c.state == "running").values(lease_until=0))


def test_a_hundred_jobs_whose_workers_are_killed_at_random_end_each_exactly_once(
    store: Database, store_url: str, tmp_path: Path
):
    notes = tmp_path / "notes"
    notes.mkdir()
    config = {"epochs": 4, "seconds": 0.05, "notes": str(notes)}
    ids = [queue.submit(store, "count", config, ADA) for _ in range(100)]
    chosen = random.Random(7)

    def left() -> int:
        with store.read() as connection:
            return connection.execute(
                select(func.count()).where(jobs.c.state.not_in(ENDED))
            ).scalar_one()

    killed: set[int] = set()
    deadline = monotonic() + 240
    with pool_of(store_url, tmp_path, 3) as pool:
        # One of them is killed whenever some more jobs have ended: so work goes on on any machine.
        kill_at = 95
        while (waiting := left()) > 0:
            assert monotonic() < deadline, f"{waiting} jobs have not ended"
            sleep(chosen.uniform(0.01, 0.1))
            if waiting <= kill_at and len(killed) < 12:
                victim = chosen.choice([each for each in pool.processes if each.poll() is None])
                victim.send_signal(signal.SIGKILL)
                victim.wait()
                killed.add(victim.pid)
                pool.start()
                kill_at = waiting - 7

    with store.read() as connection:
        rows = connection.execute(select(jobs)).all()
        last = connection.execute(select(job_events.c.job_id, job_events.c.more)).all()
    ends = Counter(row.job_id for row in last if row.more["state"] in ENDED)
    assert Counter(row.state for row in rows) == {"succeeded": 100}
    assert ends == dict.fromkeys(ids, 1)
    # No other process went on with a job while one was at it: each begins after the one before.
    assert len(killed) >= 8
    assert sum(row.attempts for row in rows) > 100
    for job_id in ids:
        lines = [line.split() for line in (notes / job_id).read_text().splitlines()]
        runs = [pid for pid, word in lines if word == "begins"]
        assert len(runs) == len(set(runs))
        order = [pid for pid, _ in lines]
        assert order == sorted(order, key=runs.index), lines
