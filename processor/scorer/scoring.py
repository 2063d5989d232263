"""Scoring: the records of active profiles, those of one profile together, to their answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import orjson
from numpy.typing import NDArray

from models.artifacts import Model
from models.batch_scoring import BatchScores, score_batch
from models.calibration.conformal import sample_budget
from models.errors import ArtifactError
from models.features.vectors import Extracted
from models.kernels.text.byte_strings import Integers, StringColumn
from processor.columnar.fast_path import encode_rows
from processor.columnar.feature_reader import ColumnarRecords
from processor.columnar.verdict_writer import (
    PLACEHOLDERS,
    NormalTemplates,
    NormalVerdictWriter,
    parse_template,
    placeholder,
)
from processor.columnar.version_constants import VersionConstants
from processor.records import ProducerRecord, ProfileKey
from processor.scorer.decode import Decoded
from processor.scorer.judgement import (
    SAFE_BYTES,
    ProfileRecords,
    RowNumbers,
    answer_profile,
    build_verdict,
    by_profile,
    defer_to_writer,
    judgement_of,
    write_normal,
)
from processor.scorer.regime import watch
from processor.scorer.step_builder import (
    SINGLE_ROW,
    AwaitingScore,
    StepBuilder,
    Waiting,
)
from processor.scorer.verdicts import (
    Reasons,
    accepted_fields,
    reasons,
    scored_fields,
    timed_fields,
    verdict_headers,
)
from processor.scorer.versions import recover_lost_model
from processor.state.profiles import COLUMNAR_KIND, ActiveProfile
from schemas import ModelRecord

NO_TEXTS = StringColumn(np.zeros(0, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))


def score_active(
    builder: StepBuilder, runs: ColumnarRecords | None
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
    if runs is not None:
        parts.append(score_columns_of(builder, runs, writer))
    if builder.waiting:
        groups = by_profile(builder.waiting)
        begin = 0 if runs is None else len(runs.positions)
        parts.append(score_records(builder, groups, writer, begin))
    return write_normal(builder, writer, parts)


def score_columns_of(
    builder: StepBuilder, runs: ColumnarRecords, writer: NormalVerdictWriter | None
) -> tuple[BatchScores, StringColumn]:
    """Score records that were read together; the first has the row 0.

    Returns:
        What the rows come to, and the rows as JSON without brackets.
    """
    budget = builder.context.settings.alert_budget
    fit = columnar_mask(builder, runs) if writer is not None else np.zeros(len(runs.rows), np.bool_)
    watched = runs.among([*builder.state.shifts, *builder.delta.shifts], builder.watched)
    found = builder.context.fast_path.score(
        runs, budget, lambda at: model_of(builder, runs, at), fit, watched
    )
    judged, firsts, begins, profile = found.judged, runs.firsts, runs.begins, runs.profile
    explained = explain_rows(builder, runs, np.flatnonzero(judged.decisions < 0))
    for at in found.one_by_one:
        part = slice(int(firsts[at]), int(firsts[at] + runs.counts[at]))
        of_profile = BatchScores(*(numbers[part] for numbers in judged))
        answer_profile(
            builder,
            records_of_profile(builder, runs, at, part, begins[part]),
            of_profile,
            writer,
            part.start,
            explained,
        )
    for row in found.abnormal:
        at = int(profile[row])
        item = pending(builder, runs, at, row, int(begins[row]))
        numbers = RowNumbers(*([float(of_all[row])] for of_all in judged))
        model = model_of(builder, runs, at)
        judgement = judgement_of(item, numbers, slice(0, 1), builder, model)
        if judgement is not None:
            judgement.explained = explained[row]
        # The fast path leaves profiles whose anomalies are close to one another: no watch begins.
        before = item.active.after_verdict(None, item.active.drift)
        outputs, _ = build_verdict(builder, item, before, judgement, model)
        builder.answers[runs.positions[row]] = outputs
    for at in found.watched:
        count = int(runs.counts[at])
        watch.follow_normal(builder, runs.key(at), announced(builder, runs, at), count)
    builder.delta.drift_updates = found.changes
    if writer is not None:
        defer_to_writer(builder, writer, COLUMNAR_KIND, found.normal)
    return judged, found.vectors


def pending(
    builder: StepBuilder, runs: ColumnarRecords, profile: int, at: int, begin: int
) -> AwaitingScore:
    """The record ``at`` of one profile as any other that waits for its score.

    Args:
        begin: where its sample begins in ``values``.
    """
    key, columns = runs.key(profile), runs.columns(profile)
    row = runs.values[begin : begin + len(columns)][np.newaxis]
    extracted = Extracted(columns, row, False, True)
    decoded = Decoded(COLUMNAR_KIND, key[2], int(runs.observed[at]), extracted)
    record = runs.batch[int(runs.positions[at])]
    active, _ = builder.state.profiles.at(int(runs.rows[profile]))
    return AwaitingScore(record, decoded, key, active, row, SINGLE_ROW)


def columnar_mask(builder: StepBuilder, runs: ColumnarRecords) -> NDArray[np.bool_]:
    """Of which profiles normal records may be answered together."""
    small = np.array([each.answer_bytes <= SAFE_BYTES for each in runs.names], dtype=np.bool_)
    fit: NDArray[np.bool_] = small[runs.name]
    state, delta = builder.state, builder.delta
    fit &= ~runs.among([*state.suppressions, *delta.suppressions], builder.suppressed)
    fit &= ~runs.among([*state.shifts, *delta.shifts], builder.shifted)
    return fit


def announced(builder: StepBuilder, runs: ColumnarRecords, at: int) -> ModelRecord:
    """The announcement in force of one profile."""
    active, _ = builder.state.profiles.at(int(runs.rows[at]))
    return active.record


def explain_rows(
    builder: StepBuilder, runs: ColumnarRecords, wanted: Integers
) -> dict[int, Reasons]:
    """Why some rows are abnormal, by their number, all at once."""
    profile, begins = runs.profile[wanted], runs.begins[wanted]
    widths = runs.widths[profile]
    found: dict[int, Reasons] = {}
    for width in np.unique(widths):
        those = widths == width
        rows = runs.values[begins[those, np.newaxis] + np.arange(width)]
        models = [model_of(builder, runs, at) for at in profile[those].tolist()]
        found |= zip(wanted[those].tolist(), reasons(models, rows), strict=True)
    return found


def model_of(builder: StepBuilder, runs: ColumnarRecords, at: int) -> Model:
    """The model of one profile."""
    row = runs.table[at]
    held = builder.models.get(runs.profiles.standings[runs.rows[at]].sha256)
    return held or builder.context.fast_path.cache.model(int(row["slot"]), int(row["serial"]))


def records_of_profile(
    builder: StepBuilder, runs: ColumnarRecords, at: int, rows: slice, begins: Integers
) -> ProfileRecords:
    """The records of one profile, which are those of some rows.

    Args:
        begins: where the sample of each begins.
    """
    count = rows.stop - rows.start
    return ProfileRecords(
        runs.key(at),
        *builder.state.profiles.at(int(runs.rows[at])),
        model_of(builder, runs, at),
        runs.positions[rows].tolist(),
        runs.observed[rows].tolist(),
        [1] * count,
        [False] * count,
        lambda number: pending(builder, runs, at, rows.start + number, int(begins[number])),
    )


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
