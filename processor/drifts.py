"""Drift as the scorer follows it: verdict by verdict, told with a mark that has it retrained."""

from __future__ import annotations

from models import drift
from models.drift import Drift
from processor.announcements import lifecycle, mark
from processor.draft import Draft
from processor.records import Outgoing, ProfileKey
from processor.state import Active
from processor.verdicts import Judgement


def follow(before: Active, judgement: Judgement, since_anomaly: int | None) -> Drift:
    """What is known of a profile's drift after one more verdict; see ``models.drift.follow``."""
    return drift.follow(
        before.drift,
        judgement.p_values[judgement.worst],
        samples=len(judgement.p_values),
        since_anomaly=since_anomaly,
        trained_on=before.record.trained_on,
    )


def tell(draft: Draft, key: ProfileKey, active: Active, offset: int) -> tuple[Outgoing, Active]:
    """Say that a profile drifts: the mark that has it retrained, and the profile once it is told.

    The mark belongs behind the accepted sample of the record that brought it.

    Args:
        offset: of that record, by which the mark is known from others.
    """
    found, version = active.drift, active.record.version
    draft.step.count("drifts", key[1])
    lifecycle(
        draft,
        key,
        "drifting",
        f"p-values are too low for version {version}, {found.records} records counted: "
        "its normal has moved; to be retrained",
        generation=active.record.generation,
        version=version,
        figures={
            "wealth": (found.gentle + found.bold) / 2.0,
            "bound": drift.BOUND,
            "records": found.records,
            "since_anomaly": active.since_anomaly,
        },
    )
    told = active.judged(active.since_anomaly, drift.told(found))
    command_id = f"drift-{offset}"
    asked = mark(draft, key, "retrain", trigger="drift", version=version, command_id=command_id)
    return asked, told
