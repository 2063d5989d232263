"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import numpy as np
import orjson

from models.artifacts import Model
from models.batch_scoring import BatchScores, score_batch
from models.calibration.conformal import sample_budget
from models.errors import ArtifactError
from models.kernels.text.byte_strings import StringColumn
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.json_columns import encode_rows
from processor.columnar.json_template import PLACEHOLDERS, parse_template, placeholder
from processor.columnar.verdict_writer import NormalTemplates, NormalVerdictWriter
from processor.columnar.version_constants import VersionConstants
from processor.records import ProducerRecord, ProfileKey
from processor.scorer.columns.scoring import score_columns_of
from processor.scorer.judgement import (
    ProfileRecords,
    RowNumbers,
    answer_in_turn,
    judge_of_rows,
    write_normal,
)
from processor.scorer.step_builder import (
    AwaitingScore,
    StepBuilder,
    Waiting,
)
from processor.scorer.verdicts import (
    accepted_fields,
    scored_fields,
    timed_fields,
    verdict_headers,
)
from processor.scorer.versions import recover_lost_model
from processor.state.profiles import ActiveProfile

NO_TEXTS = StringColumn(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))


def score_active(
    builder: StepBuilder, runs: Sequence[ColumnarRecords]
) -> Sequence[Sequence[ProducerRecord]]:
    """Score all rows of active profiles, those of one profile together.

    Returns:
        What the writer answers normal records with, by their position in the batch, and nothing
        for others: their verdicts are among the builder's answers.
    """
    fast_path, topics = builder.context.fast_path, builder.context.topics
    writer = fast_path.writer(
        builder.telemetry, topics, builder.now, normal_templates, builder.late_before
    )
    parts: list[tuple[BatchScores, StringColumn]] = []
    begin = 0
    for read in runs:
        parts.append(score_columns_of(builder, read, writer, begin))
        begin += len(read.positions)
    if builder.waiting:
        parts.append(score_records(builder, by_profile(builder.waiting), writer, begin))
    return write_normal(builder, writer, parts)


def by_profile(waiting: Mapping[int, AwaitingScore]) -> list[Waiting]:
    """Waiting records of each profile, in the order of the widths of their rows."""
    found: dict[ProfileKey, Waiting] = defaultdict(list)
    for position, item in waiting.items():
        found[item.key].append((position, item))
    return sorted(found.values(), key=lambda items: items[0][1].rows.shape[1])


def score_records(
    builder: StepBuilder,
    held: Sequence[Waiting],
    writer: NormalVerdictWriter | None,
    begin: int,
) -> tuple[BatchScores, StringColumn]:
    """Score records that wait, grouped by profile; the first row has the number ``begin``."""
    groups = [group_records(builder, items) for items in held]
    rows = [item.rows for items in held for _, item in items]
    sizes = [len(sample) for sample in rows]
    budget = builder.context.settings.alert_budget
    values = np.concatenate(rows, axis=None)
    judged = score_batch(
        [group.model.bench for group in groups],
        np.array([sum(group.sizes) for group in groups]),
        values,
        np.repeat([sample_budget(budget, size) for size in sizes], sizes),
    )
    start = 0
    for group in groups:
        end = start + sum(group.sizes)
        part = BatchScores(*(numbers[start:end] for numbers in judged))
        answer_profile(builder, group, part, writer, begin + start)
        start = end
    if writer is None:
        return judged, NO_TEXTS
    widths = np.repeat([sample.shape[1] for sample in rows], sizes)
    return judged, encode_rows(values, widths)


def answer_profile(
    builder: StepBuilder,
    group: ProfileRecords,
    judged: BatchScores,
    writer: NormalVerdictWriter | None,
    begin: int,
) -> None:
    """Answer the records of one profile one by one, the normal ones of one sample but for the text.

    Args:
        judged: of the group's rows, the first of which has the number ``begin``.
    """
    numbers = RowNumbers(*(of_all.tolist() for of_all in judged))
    judge = judge_of_rows(builder, numbers, group.model, {})
    after = answer_in_turn(builder, group, numbers, numbers.p_values, judge, writer, begin)
    if after != group.active:
        builder.delta.profiles[group.key] = after


def group_records(
    builder: StepBuilder, items: Sequence[tuple[int, AwaitingScore]]
) -> ProfileRecords:
    """The records of one profile, with their places in the batch."""
    waiting = [item for _, item in items]
    active, standing = waiting[0].active.with_constants()
    return ProfileRecords(
        waiting[0].key,
        active,
        standing,
        builder.models[active.record.sha256],
        [position for position, _ in items],
        [item.decoded.observed_at for item in waiting],
        [len(item.rows) for item in waiting],
        [item.decoded.rule_severity is not None for item in waiting],
        waiting.__getitem__,
    )


@cache
def normal_templates(*, timed: bool = False) -> NormalTemplates:
    """Verdict and accepted sample of a normal record, for the writer that fills in the numbers.

    Args:
        timed: of a kind whose samples have times.
    """
    identity = placeholder("place", "offset", form=b'%b"')
    verdict = scored_fields(
        PLACEHOLDERS,
        verdict_id=identity,
        anomaly=False,
        score=placeholder("score"),
        decision=placeholder("decision"),
        p_value=placeholder("p_value"),
        severity="none",
        reasons=[],
        rule_severity=None,
        suppressed=False,
        regime="usual",
        late=placeholder("late"),
        source=placeholder("source"),
        observed_at=placeholder("observed_at"),
        now=placeholder("now"),
    )
    accepted = accepted_fields(
        PLACEHOLDERS,
        vectors=placeholder("row", form=b"[[%b]]"),
        p_values=placeholder("p_value", form=b"[%b]"),
        since_anomaly=placeholder("since_anomaly"),
        observed_at=placeholder("observed_at"),
        verdict_id=identity,
    )
    if timed:
        accepted |= timed_fields(placeholder("time", form=b"[%b]"))
    return NormalTemplates(
        parse_template(orjson.dumps(verdict)),
        parse_template(orjson.dumps(accepted)),
        verdict_headers("scored", "none"),
    )


Needed = tuple[ProfileKey, ActiveProfile, VersionConstants]


def load_models(
    builder: StepBuilder, profiles: Iterable[Needed]
) -> list[tuple[ProfileKey, ActiveProfile, ArtifactError]]:
    """Have the models of some profiles at hand; those that are lost, with the reason."""
    lost: list[tuple[ProfileKey, ActiveProfile, ArtifactError]] = []
    needed = []
    for key, active, constants in profiles:
        if constants.misnamed is not None:
            # Not even from memory, where another profile's artefact may have the same digest.
            lost.append((key, active, ArtifactError(constants.misnamed)))
        elif constants.sha256 not in builder.models:
            needed.append((key, active, constants))
    opened = builder.context.open_models([constants for _, _, constants in needed])
    for key, active, constants in needed:
        model = opened[constants.sha256]
        if isinstance(model, Model):
            builder.models[constants.sha256] = model
        else:
            lost.append((key, active, model))
    return lost


def open_models(builder: StepBuilder, profiles: Iterable[Needed]) -> None:
    """Have every model that the batch needs at hand, or say that it is lost."""
    for key, active, error in load_models(builder, profiles):
        recover_lost_model(builder, key, active, error)
