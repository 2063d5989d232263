"""Answers that take no score: verdicts of records that are learnt or say nothing, dead letters."""

from __future__ import annotations

from processor import verdicts
from processor.decode import Decoded, dead_letter
from processor.draft import Draft
from processor.records import DeadLetter, Incoming, Outgoing
from processor.state import Profile


def unscored(
    draft: Draft, record: Incoming, value: Decoded, status: str, profile: Profile | None
) -> list[Outgoing]:
    """The verdict of a record that was learnt from, or that holds no evidence."""
    key = (record.partition, value.kind, value.profile_id)
    said = verdicts.unscored(
        record,
        value,
        status,
        profile=profile,
        generation=draft.generation(key),
        needed=draft.rules.settings.cold_start(value.kind),
        suppressed=draft.suppressed(key),
        now=draft.now,
    )
    tell(draft, record, value.kind, status, "none")
    return [verdicts.verdict_record(record, said, draft.rules.topics.anomalies, draft.now)]


def rejection(draft: Draft, record: Incoming, why: DeadLetter) -> list[Outgoing]:
    """The dead letter of a record."""
    kind = draft.rules.topics.kinds()[record.topic]
    draft.step.count("records", kind, "dead_letter")
    draft.step.count("dead_letters", why.reason)
    return [dead_letter(record, why, draft.rules.topics.dead_letter)]


def tell(draft: Draft, record: Incoming, kind: str, status: str, severity: str) -> None:
    """Count a verdict."""
    draft.told[kind, status, severity] += 1
    draft.step.timestamps.append(record.timestamp)
