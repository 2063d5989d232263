"""Submit: telemetry in, the scorer's verdict out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Literal
from urllib.parse import quote

from fastapi.concurrency import run_in_threadpool

from console.auth.permissions import Caller
from console.gateway.producing import Producing
from console.gateway.words import message
from console.live.events import Refused, VerdictSeen
from console.live.profiles import ProfileState
from console.live.state import LiveState, now_ms
from console.live.waiting import Inbox
from console.problems import Problem
from console.store import tables as t
from console.store.database import Database
from console.store.rows import verdict_row
from processor.records import ConsumerRecord, DeadLetter
from processor.scorer.decode import decode_all
from processor.settings import Limits, Settings
from processor.topics import Topics

AWAITED_MS = 24 * 3600 * 1000
ANNOUNCED_SECONDS = 2.0
"""A profile that has learnt enough is announced in the same transaction, on another topic."""

LARGE = 100_000
"""Bytes beyond which records are decoded beside the event loop."""


@dataclass(frozen=True)
class Submission:
    """One telemetry record.

    Attributes:
        value: the record's value as it is produced.
        expect: ``active``: 404 without a model; ``learning``: 409 with one.
        partition: to be produced to; None finds the profile's own.
    """

    kind: str
    profile_id: str
    value: bytes
    expect: Literal["active", "learning"] | None = None
    partition: int | None = None


@dataclass(frozen=True)
class Answer:
    """What a submission is answered with."""

    status: int
    body: dict[str, Any]
    location: str | None = None


class Gateway:
    """Takes telemetry and waits for verdicts. It never scores."""

    def __init__(
        self, settings: Settings, database: Database, state: LiveState, producing: Producing
    ) -> None:
        self._topics = Topics(settings.topic_prefix)
        self._limits = Limits(
            settings.max_record_bytes, settings.max_features, settings.max_samples
        )
        self._cold_start = settings.cold_start
        self._database = database
        self._state = state
        self._producing = producing

    async def submit(
        self, caller: Caller, submissions: Sequence[Submission], seconds: float
    ) -> list[Answer | Problem]:
        """Submit records; an answer for each, in order.

        Args:
            seconds: to wait for verdicts; 0 does not wait.
        """
        names = {(s.kind, s.profile_id) for s in submissions}
        with self._state.waiting.for_any(*names) as inbox:
            sent: list[asyncio.Future[tuple[int, int]] | Problem] = []
            faults = await self._check(submissions)
            for submission, fault in zip(submissions, faults, strict=True):
                try:
                    sent.append(await self._send(caller, submission, fault))
                except Problem as problem:
                    sent.append(problem)
            deadline = monotonic() + seconds
            found: list[Answer | Problem] = []
            later: list[tuple[str, Submission]] = []
            for future, submission in zip(sent, submissions, strict=True):
                if isinstance(future, Problem):
                    found.append(future)
                    continue
                try:
                    number, offset = await future
                except Problem as problem:
                    found.append(problem)
                    continue
                verdict_id = f"{self._topics.telemetry(submission.kind)}-{number}-{offset}"
                answer = await self._answer(inbox, verdict_id, deadline)
                if answer is None:
                    later.append((verdict_id, submission))
                    body = {"verdict_id": verdict_id, "status": "awaited"}
                    answer = Answer(202, body, f"/api/v1/verdicts/{quote(verdict_id)}")
                found.append(answer)
            if later:
                await run_in_threadpool(self._await_later, inbox, later)
        return found

    async def _send(
        self, caller: Caller, submission: Submission, fault: DeadLetter | None
    ) -> asyncio.Future[tuple[int, int]]:
        if not caller.sees(submission.profile_id):
            raise Problem(403, "forbidden", "profile_id: expected one of your organisation")
        if fault is not None:
            raise refusal(fault.reason, fault.detail)
        topic = self._topics.telemetry(submission.kind)
        partition = await self._partition(submission, topic)
        await self._expected(submission)
        return self._producing.send(
            topic, submission.profile_id.encode(), submission.value, partition
        )

    async def _check(self, submissions: Sequence[Submission]) -> list[DeadLetter | None]:
        """Decode as the scorer does: what it would refuse is never produced."""
        now = now_ms()
        records = [
            ConsumerRecord(
                self._topics.telemetry(submission.kind),
                0,
                0,
                submission.profile_id.encode("utf-8", "surrogatepass"),
                submission.value,
                (),
                now,
            )
            for submission in submissions
        ]
        kinds = {record.topic: s.kind for record, s in zip(records, submissions, strict=True)}
        if sum(len(submission.value) for submission in submissions) > LARGE:
            found = await run_in_threadpool(decode_all, records, kinds, self._limits)
        else:
            found = decode_all(records, kinds, self._limits)
        return [each if isinstance(each, DeadLetter) else None for each in found]

    async def _partition(self, submission: Submission, topic: str) -> int | None:
        if submission.partition is not None:
            count = await run_in_threadpool(self._producing.partitions, topic)
            if not 0 <= submission.partition < count:
                raise Problem(
                    422,
                    "invalid_request",
                    f"partition: expected 0 to {count - 1}, got {submission.partition}",
                )
            return submission.partition
        states = self._state.profiles.of(submission.kind, submission.profile_id)
        if len(states) > 1:
            places = ", ".join(str(state.partition) for state in states)
            raise Problem(
                409,
                "ambiguous_profile",
                f"the id has profiles on partitions {places}: say which, as ?partition=",
                partitions=[state.partition for state in states],
            )
        return states[0].partition if states else None

    async def _expected(self, submission: Submission) -> None:
        if submission.expect is None:
            return
        state = self._chosen(submission)
        if submission.expect == "learning":
            if state is not None and state.state == "active":
                raise Problem(
                    409, "already_active", "the profile has a model: send to be scored instead"
                )
            return
        deadline = monotonic() + ANNOUNCED_SECONDS
        while state is not None and state.state != "active":
            if state.samples_seen < state.samples_needed or monotonic() > deadline:
                break
            await asyncio.sleep(0.01)
            state = self._chosen(submission)
        if state is None or state.state != "active":
            raise Problem(
                404,
                "no_model",
                "the profile has no model yet",
                samples_seen=0 if state is None else state.samples_seen,
                samples_needed=self._cold_start(submission.kind)
                if state is None
                else state.samples_needed,
            )

    def _chosen(self, submission: Submission) -> ProfileState | None:
        states = self._state.profiles.of(submission.kind, submission.profile_id)
        if submission.partition is not None:
            states = tuple(s for s in states if s.partition == submission.partition)
        return states[0] if states else None

    async def _answer(
        self, inbox: Inbox, verdict_id: str, deadline: float
    ) -> Answer | Problem | None:
        """What the stream says of a record; None if it says nothing in time."""
        while (left := deadline - monotonic()) > 0 and not self._state.waiting.closing:
            found = self._found(inbox, verdict_id)
            if found is not None:
                return found
            await inbox.more(left)
        return None

    def _await_later(self, inbox: Inbox, later: Sequence[tuple[str, Submission]]) -> None:
        """Have verdicts kept when they come; those that came meanwhile are kept here."""
        until = now_ms() + AWAITED_MS
        rows = [
            {
                "verdict_id": verdict_id,
                "kind": submission.kind,
                "profile_id": submission.profile_id,
                "expires_at": until,
            }
            for verdict_id, submission in later
        ]
        with self._database.write() as connection:
            connection.execute(self._database.insert(t.awaited), rows)
        come = [(*each, inbox.verdicts[each[0]]) for each in later if each[0] in inbox.verdicts]
        if not come:
            return
        with self._database.write() as connection:
            for verdict_id, submission, body in come:
                told = (verdict_id, submission.kind, submission.profile_id)
                seen = VerdictSeen(body, *told, not body["anomaly"], body["scored_at"])
                partition = int(verdict_id.rsplit("-", 2)[1])
                connection.execute(
                    self._database.insert(t.verdicts)
                    .values(verdict_row(seen, partition, 0.0 if seen.normal else 1.0))
                    .on_conflict_do_nothing()
                )
                awaited = t.awaited.c
                connection.execute(t.awaited.delete().where(awaited.verdict_id == verdict_id))

    def _found(self, inbox: Inbox, verdict_id: str) -> Answer | Problem | None:
        body = inbox.verdicts.get(verdict_id)
        if body is not None:
            return Answer(200, answered(body))
        refused = inbox.refused.get(verdict_id)
        return None if refused is None else refused_problem(refused)


def answered(body: dict[str, Any]) -> dict[str, Any]:
    """A verdict, unchanged, with what an HTTP client is told beside."""
    learning = body["status"] == "learning" or body.get("model_version") is None
    learnt = learning and body["samples_seen"] >= body["samples_needed"]
    return body | {
        "is_anomaly": body["anomaly"],
        "message": message(body),
        "state": "learning" if learning and not learnt else "active",
    }


def refused_problem(refused: Refused) -> Problem:
    """The problem of a record that became a dead letter."""
    return refusal(refused.reason, refused.detail, verdict_id=refused.source)


def refusal(reason: str, detail: str, **more: Any) -> Problem:
    """The problem of a record that cannot be answered: 413 if too large, else 422."""
    field, _, told = detail.partition(" " if detail.startswith("$") else ": ")
    errors = [{"field": field, "detail": told}] if told else [{"detail": detail}]
    return Problem(413 if reason == "too_large" else 422, reason, detail, errors=errors, **more)
