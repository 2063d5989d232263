"""Answering: the scored records of one profile, one by one; what is normal but for its text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import isnan
from typing import NamedTuple

import numpy as np

from models.artifacts import Model
from models.batch_scoring import BatchScores
from models.calibration import drift
from models.calibration.conformal import sample_budget
from models.calibration.drift import UNKNOWN, Drift
from models.calibration.severity import severity
from models.explanation.reasons import Reasons
from models.kernels.text.byte_strings import StringColumn, append
from processor.columnar.json_columns import encode_numbers
from processor.columnar.verdict_writer import NormalRecords, NormalVerdictWriter
from processor.columnar.version_constants import VersionConstants
from processor.records import DeadLetter, ProducerRecord, ProfileKey
from processor.scorer import verdicts
from processor.scorer.regime import followed, watch
from processor.scorer.step_builder import AwaitingScore, StepBuilder
from processor.scorer.verdicts import Judgement, unscored
from processor.state.profiles import ActiveProfile
from processor.topics import OUTPUT_LIMIT

SAFE_BYTES = OUTPUT_LIMIT // 2
"""A value up to here fits, whatever its key (256 bytes) and the headers of a verdict add."""


class ProfileRecords(NamedTuple):
    """Records of one profile in their order.

    Attributes:
        positions: their places in the batch.
        observed: epoch milliseconds of each.
        sizes: samples of each.
        ruled: which of them have a severity by rule.
        pending: one of them, as any record that waits for its score.
    """

    key: ProfileKey
    active: ActiveProfile
    standing: VersionConstants
    model: Model
    positions: Sequence[int]
    observed: Sequence[int]
    sizes: Sequence[int]
    ruled: Sequence[bool]
    pending: Callable[[int], AwaitingScore]


Judge = Callable[[AwaitingScore, slice], Judgement | None]
"""What the rows of a record of one profile, in the slice, come to; None if all is no evidence."""


def can_defer(builder: StepBuilder, key: ProfileKey, standing: VersionConstants) -> bool:
    """Whether normal records of one sample may be answered together."""
    plain = not builder.suppressed(key) and not builder.shifted(key)
    return plain and standing.names.answer_bytes <= SAFE_BYTES


def defer_to_writer(
    builder: StepBuilder, normals: NormalVerdictWriter, kind: str, part: NormalRecords
) -> None:
    """Have normal records of one kind, of one sample each, answered together."""
    builder.step.timestamps += normals.add(part)
    builder.verdict_counts[kind, "scored", "none"] += len(part.positions)


def write_normal(
    builder: StepBuilder,
    writer: NormalVerdictWriter | None,
    parts: Sequence[tuple[BatchScores, StringColumn]],
    times: StringColumn | None = None,
) -> Sequence[Sequence[ProducerRecord]]:
    """What the writer answers, by position in the batch.

    Args:
        parts: scores of rows, and the rows as JSON without brackets.
        times: of each row, if the writer's templates have them.
    """
    if not parts or writer is None:
        return [()] * len(builder.telemetry)
    judged = BatchScores(*map(np.concatenate, zip(*(part for part, _ in parts), strict=True)))
    vectors = reduce(append, (texts for _, texts in parts))
    numbers = encode_numbers(np.array([judged.unit, judged.decisions, judged.p_values]))
    return writer.write((numbers, vectors), times)


def judge_of_rows(
    builder: StepBuilder, numbers: RowNumbers, model: Model, explained: Mapping[int, Reasons]
) -> Judge:
    """What judges the records of one profile whose detector judges rows.

    Args:
        numbers: of the profile's rows.
        explained: reasons that are known already, of records of one sample, by their row.
    """

    def judge(item: AwaitingScore, part: slice) -> Judgement | None:
        judgement = judgement_of(item, numbers, part, builder, model)
        if judgement is not None:
            judgement.explained = explained.get(part.start)
        return judgement

    return judge


def answer_in_turn(
    builder: StepBuilder,
    group: ProfileRecords,
    numbers: RowNumbers,
    drift_p_values: Sequence[float],
    judge: Judge,
    writer: NormalVerdictWriter | None,
    begin: int,
) -> ActiveProfile:
    """Answer the records of one profile; the profile behind them, with the online state of before.

    Args:
        numbers: of the group's rows, the first of which has the number ``begin``.
        drift_p_values: by which drift is followed, of each row.
    """
    key, known, mean = group.key, group.active, group.standing.mean
    suppressed = builder.suppressed(key)
    together = writer is not None and can_defer(builder, key, group.standing)
    since, wealth = known.since_anomaly, known.drift
    end = 0
    taken: list[DeferredRecord] = []
    for at, position in enumerate(group.positions):
        start, end = end, end + group.sizes[at]
        outputs: list[ProducerRecord] = []
        if together and not group.ruled[at] and end - start == 1 and numbers.decisions[start] >= 0:
            p_value = drift_p_values[start]
            wealth, since = drift.follow(wealth, since, p_value, anomaly=False, mean=mean)
            count = UNKNOWN if since is None else since
            taken.append((position, count, group.observed[at], begin + start))
            if builder.watched(key):
                watch.follow_normal(builder, key, known.record)
        else:
            item = group.pending(at)
            judgement = judge(item, slice(start, end))
            before = known.after_verdict(since, wealth)
            outputs, after = build_verdict(builder, item, before, judgement, group.model)
            since, wealth = after.since_anomaly, after.drift
            together = writer is not None and can_defer(builder, key, group.standing)
        builder.answers[position] = outputs
        due = drift.should_report(wealth) and not suppressed
        if due and not followed.is_held_back(builder, key):
            offset = group.pending(at).record.offset
            asked, told = report_drift(builder, key, known.after_verdict(since, wealth), offset)
            outputs.append(asked)
            wealth = told.drift
    if taken and writer is not None:
        defer_to_writer(builder, writer, key[1], normal_records(group.standing, taken))
        builder.delta.touched_profiles.add(key)
    return known.after_verdict(since, wealth)


def normal_records(standing: VersionConstants, taken: Sequence[DeferredRecord]) -> NormalRecords:
    """Normal records of one profile for the writer."""
    ends = np.frombuffer(standing.ends, np.int64)[np.newaxis]
    columns = np.array(taken, dtype=np.int64).T
    names = [standing.names], np.zeros(1, np.int64)
    return NormalRecords(*names, [standing.text], ends, np.array([len(taken)]), *columns)


class RowNumbers(NamedTuple):
    """What the samples of a group come to, as Python's numbers; in the order of ``BatchScores``."""

    decisions: list[float]
    p_values: list[float]
    unit: list[float]


DeferredRecord = tuple[int, int, int, int]
"""Position and numbers of a normal record, in the order of ``NormalRecords``."""


def build_verdict(
    builder: StepBuilder,
    item: AwaitingScore,
    before: ActiveProfile,
    judgement: Judgement | None,
    model: Model,
) -> tuple[list[ProducerRecord], ActiveProfile]:
    """The answer to any scored record, and its profile after it."""
    record, key, topics = item.record, item.key, builder.context.topics
    if judgement is None:
        return unscored(builder, record, item.decoded, "abstained", item.active), before
    suppressed = builder.suppressed(key)
    wealth, since = follow_drift(before, judgement)
    after = before.after_verdict(since, before.drift if suppressed else wealth)
    change = None
    if not suppressed and (judgement.anomaly or builder.watched(key)):
        change = watch.follow_shift(builder, item, judgement, before.since_anomaly, model)
    shift = builder.shift(key) if change is None else change.shift
    said = verdicts.scored(
        item,
        judgement,
        model,
        suppressed=suppressed,
        regime="shifted" if shift is not None and shift.shifted else "usual",
        late_before=builder.late_before,
        now=builder.now,
    )
    outputs = [verdicts.verdict_record(record, said, topics.anomalies, builder.now)]
    held_back = shift is not None and followed.is_held_back(builder, key)
    if not judgement.anomaly and not suppressed and not held_back:
        outputs.append(verdicts.accepted_record(item, since, judgement, topics.accepted))
    if any(out.size > OUTPUT_LIMIT for out in outputs if len(out.value or b"") > SAFE_BYTES):
        why = DeadLetter("unanswerable", f"value: its verdict exceeds {OUTPUT_LIMIT} bytes")
        return builder.dead_letter(record, why), before
    if change is not None:
        watch.take_over(builder, key, change)
    if judgement.anomaly and key in builder.renamed:
        builder.rejected.add((key, record.offset))
    builder.delta.touched_profiles.add(key)
    builder.count_verdict(record, said["kind"], said["status"], said["severity"])
    return outputs, after


def judgement_of(
    item: AwaitingScore, numbers: RowNumbers, part: slice, builder: StepBuilder, model: Model
) -> Judgement | None:
    """What the scores of one record come to; None where all is no evidence."""
    rows, indices = item.rows, item.indices
    decisions, p_values, unit = (of_all[part] for of_all in numbers)
    budget = sample_budget(builder.context.settings.alert_budget, len(rows))
    if isnan(sum(decisions)):
        evident = [at for at, decision in enumerate(decisions) if decision == decision]
        if not evident:
            return None
        rows, indices = rows[evident], indices[evident]
        decisions, p_values, unit = (
            [of_all[at] for at in evident] for of_all in (decisions, p_values, unit)
        )
    decision = min(decisions)
    worst = decisions.index(decision)
    anomaly = decision < 0
    grade = "none"
    if anomaly:
        spread = model.row_detector.calibration_.spread
        grade = severity(p_values[worst], budget, decision, spread)
    return Judgement(rows, indices, decisions, p_values, unit, worst, grade, anomaly)


def follow_drift(before: ActiveProfile, judgement: Judgement) -> tuple[Drift, int | None]:
    """Drift state and records since the last anomaly after one more verdict."""
    own, worst = judgement.drift_p, judgement.p_values[judgement.worst]
    p_value, n = (worst, len(judgement.p_values)) if own is None else (own, 1)
    mean = drift.least_mean(before.record.trained_on)
    return drift.follow(
        before.drift, before.since_anomaly, p_value, anomaly=judgement.anomaly, mean=mean, samples=n
    )


def report_drift(
    builder: StepBuilder, key: ProfileKey, active: ActiveProfile, offset: int
) -> tuple[ProducerRecord, ActiveProfile]:
    """Say that a profile drifts: the mark that has it retrained, and the profile once it is told.

    The mark belongs behind the accepted sample of the record that brought it.

    Args:
        offset: of that record, by which the mark is known from others.
    """
    found, version = active.drift, active.record.version
    builder.count("drifts", key[1])
    builder.emit_lifecycle(
        key,
        "drifting",
        f"p-values are too low for version {version}, {found.records} records counted: "
        "its normal has moved; to be retrained",
        generation=active.record.generation,
        version=version,
        figures={
            "wealth": (found.gentle + found.bold) / 2.0,
            "bound": drift.ALARM_CAPITAL,
            "records": found.records,
            "since_anomaly": active.since_anomaly,
        },
    )
    told = active.after_verdict(active.since_anomaly, drift.after_report(found))
    command_id = f"drift-{offset}"
    asked = builder.mark(key, "retrain", trigger="drift", version=version, command_id=command_id)
    return asked, told
