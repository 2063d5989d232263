"""A worker: takes jobs and runs them one after the other, in a process of its own.

The job runs in the main thread. Another thread renews the lease and watches for the end: a job
that does not stop by itself when it is told to is ended with the process, which begins anew.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from console.jobs import queue
from console.jobs.context import Context, JobError, Stopped
from console.jobs.queue import CANCELLED, FAILED, SUCCEEDED, TIMED_OUT, End, LostLease, Taken
from console.jobs.registry import TYPES, JobType, run_of
from console.jobs.results import Results
from console.lab.blobs import Blobs
from console.lab.data.expiry import expire
from console.settings import ConsoleSettings
from console.store.account_tables import organizations
from console.store.database import Database, head
from processor.runtime import logs
from processor.settings import Settings

IDLE_SECONDS = 0.5
LOOK_SECONDS = 0.25
RENEW_SECONDS = 2.0
GRACE_SECONDS = 4.0
"""So long may a job take to stop by itself."""

FENCE_SECONDS = queue.LEASE_MS / 1000 - 2.0
"""A worker that could not renew its lease for so long ends: another may have the job soon."""

CLEAN_SECONDS = 60.0
NICE = 10
GIVEN_BACK = "given_back"


class Worker:
    """Runs jobs until it is told to end.

    Args:
        types: of jobs that it knows.
    """

    def __init__(
        self,
        settings: ConsoleSettings,
        kafka: Settings,
        accounts: Database,
        types: Mapping[str, JobType] = TYPES,
    ) -> None:
        self._settings = settings
        self._kafka = kafka
        self._accounts = accounts
        self._types = types
        self._results = Results(settings.results_dir)
        self._log = logs.logger("worker")
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._ending = threading.Event()
        self._clean_at = 0.0

    def end(self) -> None:
        """Take no further job, and give back the one that runs."""
        self._ending.set()

    def run(self) -> None:
        """Take and run jobs until ``end``."""
        while not self._ending.is_set():
            try:
                self._clean()
                taken_at = monotonic()
                job = queue.take(self._accounts, self._name)
                if job is not None:
                    self._run(job, taken_at)
                    continue
            except DBAPIError as error:
                self._log.warning("store", detail=str(error).splitlines()[0])
            self._ending.wait(IDLE_SECONDS)

    def _clean(self) -> None:
        """Delete the data sets whose time is over, now and then."""
        if monotonic() < self._clean_at:
            return
        self._clean_at = monotonic() + CLEAN_SECONDS
        blobs = Blobs(self._settings.data_dir)
        expire(self._accounts, blobs, queue.now_ms())
        held = organizations.c.topic_prefix
        with self._accounts.read() as connection:
            prefixes = list(connection.execute(select(held).where(held.is_not(None))).scalars())
        for prefix in prefixes:
            space = self._accounts.beside(prefix)
            try:
                if space.current() == head():
                    expire(space, blobs, queue.now_ms())
            finally:
                space.close()

    def _run(self, job: Taken, taken_at: float) -> None:
        log = self._log.bind(job_id=job.id, type=job.type, attempt=job.attempt)
        job_type = self._types.get(job.type)
        refused = _refused(job, job_type)
        if job_type is None or refused is not None:
            queue.finish(self._accounts, job.id, self._name, End(FAILED, refused))
            log.warning("job refused", detail=refused)
            return
        context = self._context(job)
        watch = _Watch(self, job, job_type, context, taken_at)
        log.info("job begins")
        watch.start()
        try:
            result = dict(run_of(job_type)(context))
            end = self._written(job, result, SUCCEEDED)
        except Stopped:
            end = self.stopped(job, job_type, context, watch.why or CANCELLED)
        except LostLease:
            log.warning("job lost", detail="another worker has it, or it has ended")
            return
        except JobError as error:
            end = self._written(job, context.kept, FAILED, str(error))
        except Exception:
            log.error("job failed", exc_info=True)
            told = f"something went wrong in the worker; its log has it under job_id {job.id}"
            end = self._written(job, context.kept, FAILED, told)
        finally:
            watch.done.set()
            if context.database is not self._accounts:
                context.database.close()
        self.conclude(job, end)
        log.info("job ends", state=end.state)

    def conclude(self, job: Taken, end: End) -> None:
        """Write how a job ended; tried again while the store is away and the lease holds."""
        deadline = monotonic() + FENCE_SECONDS
        while True:
            try:
                if end.state == GIVEN_BACK:
                    queue.give_back(self._accounts, job.id, self._name)
                else:
                    queue.finish(self._accounts, job.id, self._name, end)
                return
            except DBAPIError:
                if monotonic() > deadline:
                    raise
                self._ending.wait(IDLE_SECONDS)

    def stopped(self, job: Taken, job_type: JobType, context: Context, why: str) -> End:
        """The end of a job that was told to stop."""
        if why == GIVEN_BACK and job_type.repeatable:
            return End(GIVEN_BACK)
        told = {
            GIVEN_BACK: "its worker was stopped, and a job of this type is not begun twice",
            TIMED_OUT: f"it took longer than TELLTALE_JOB_SECONDS ({self._settings.job_seconds:g})",
        }.get(why)
        state = FAILED if why == GIVEN_BACK else why
        return self._written(job, context.kept, state, told)

    def renew(self, job: Taken) -> bool:
        """Hold the job; whether it is to be cancelled."""
        return queue.renew(self._accounts, job.id, self._name)

    @property
    def ending(self) -> bool:
        return self._ending.is_set()

    @property
    def job_seconds(self) -> float:
        return self._settings.job_seconds

    def again(self, detail: str) -> None:
        """Give up the process, and with it a job that does not stop; it begins anew."""
        self._log.warning("worker begins anew", detail=detail)
        sys.stderr.flush()
        if self.ending:
            os._exit(0)
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  (this very command once more)

    def _written(
        self, job: Taken, result: Mapping[str, Any], state: str, error: str | None = None
    ) -> End:
        try:
            path = self._results.write(job.id, job.attempt, result)
        except (OSError, TypeError) as wrong:
            told = f"its results could not be written to TELLTALE_RESULTS_DIR: {wrong}"
            return End(FAILED, error or told)
        return End(state, error, path, result.get("mlflow_run_id"))

    def _context(self, job: Taken) -> Context:
        prefix, database, kafka = job.owner.topic_prefix, self._accounts, self._kafka
        if prefix:
            database = self._accounts.beside(prefix)
            kafka = kafka.model_copy(update={"topic_prefix": prefix})
        send = partial(queue.report, self._accounts, job.id, self._name)
        return Context(
            job.id,
            job.attempt,
            job.config,
            job.owner,
            self._settings,
            kafka,
            self._accounts,
            database,
            send,
        )


@dataclass
class _Watch:
    """Renews the lease of a job that runs, and has it stop.

    Attributes:
        why: the state that the job is to end in; None while it may go on.
    """

    worker: Worker
    job: Taken
    job_type: JobType
    context: Context
    renewed: float
    why: str | None = None

    def __post_init__(self) -> None:
        self.done = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    def _watch(self) -> None:
        deadline = monotonic() + self.worker.job_seconds
        cancelled, asked, tried = False, 0.0, 0.0
        while not self.done.wait(LOOK_SECONDS):
            now = monotonic()
            if now - tried > RENEW_SECONDS:
                tried = now
                cancelled = self._renew(now) or cancelled
            if self.why is None:
                if cancelled:
                    self.why = CANCELLED
                elif now > deadline:
                    self.why = TIMED_OUT
                elif self.worker.ending:
                    self.why = GIVEN_BACK
                if self.why is not None:
                    asked = now
                    self.context.stop.set()
            elif now - asked > GRACE_SECONDS:
                end = self.worker.stopped(self.job, self.job_type, self.context, self.why)
                if not self.done.is_set():
                    self.worker.conclude(self.job, end)
                    self.worker.again("a job did not stop when it was told to")

    def _renew(self, now: float) -> bool:
        try:
            cancelled = self.worker.renew(self.job)
        except LostLease:
            if not self.done.is_set():
                self.worker.again("another worker has the job")
            return False
        except DBAPIError:
            if now - self.renewed > FENCE_SECONDS and not self.done.is_set():
                self.worker.again("the lease could not be renewed")
            return False
        self.renewed = now
        return cancelled


def _refused(job: Taken, job_type: JobType | None) -> str | None:
    """Why a job is not begun."""
    if job_type is None:
        return f"this version's workers do not know jobs of type {job.type}"
    if job.attempt > 1 and not job_type.repeatable:
        return "its worker ended without a word, and a job of this type is not begun twice"
    if job.attempt > queue.MOST_ATTEMPTS:
        return f"its worker ended without a word {queue.MOST_ATTEMPTS} times"
    return None
