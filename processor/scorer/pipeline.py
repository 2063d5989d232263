"""The way of a batch through the scorer: read → route → (learn | score) → Step.

Reading is decoding and extracting, of runs of active profiles all at once. Pure but for opening
models and knowing layouts again: the same state, batch, clock and settings give the same Step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from models.artifacts import Model
from models.features import KINDS, Mismatch, align, with_new
from processor.columnar.columnar_records import ColumnarRecords
from processor.columnar.feature_reader import UnknownTemplates
from processor.columnar.profile_lookup import Reader
from processor.record_batch import RecordBatch
from processor.records import ConsumerRecord, DeadLetter, Partition, ProducerRecord, ProfileKey
from processor.scorer import versions
from processor.scorer.cold_start import learn
from processor.scorer.commands import execute
from processor.scorer.decode import Decoded, decode_all
from processor.scorer.forget import begin_expired, complete_expired
from processor.scorer.regime.adoption import adopt_due
from processor.scorer.regime.names import follow_names
from processor.scorer.scoring import load_models, open_models, score_active
from processor.scorer.sequential.timed import score_timed
from processor.scorer.step_builder import (
    SINGLE_ROW,
    AwaitingScore,
    Floats,
    ScorerContext,
    StepBuilder,
)
from processor.scorer.verdicts import unscored
from processor.state.profiles import (
    ActiveProfile,
    Delta,
    LearningProfile,
    Profile,
    State,
)
from processor.stream.step import Step

EXPIRED_PER_STEP = 20
"""Profiles that are forgotten in one Step because they were silent for too long, at most."""

CHUNK_BYTES = 4 * 2**20
"""Values decoded together, unless one alone is larger."""


def compute(
    state: State,
    batch: Sequence[ConsumerRecord],
    now: int,
    context: ScorerContext,
    refused: frozenset[ProfileKey] = frozenset(),
) -> Step[Delta]:
    """The Step of a batch.

    Args:
        state: what is known before the batch; it is not changed.
        batch: records in the order of each partition, of telemetry, commands and candidates.
        now: epoch milliseconds.
        context: settings, topics, and how models are opened.
        refused: profiles whose artefact could not be written: they go on learning.
    """
    builder = StepBuilder(state, context, now, refused)
    if state.forgettings:
        complete_expired(builder)
    telemetry, controls = split_inputs(RecordBatch.of(batch), context.topics.kind_of)
    for position, record in enumerate(controls):
        if not apply_control_record(builder, record):
            builder.step.stop_before(record)
            builder.step.unprocessed = [*controls[position:], *telemetry]
            return builder.step
        builder.step.consume(record)
    runs, left, missed = context.fast_path.read(columnar_reader(builder), telemetry)
    builder.telemetry = telemetry
    builder.answers = [[]] * len(telemetry)
    held_up: dict[Partition, int] = {}
    for positions in chunks(telemetry, sorted(left)):
        wanted = [at for at in positions if telemetry.place(at) not in held_up]
        for position, value in decode_left(builder, telemetry, wanted, missed):
            place = telemetry.place(position)
            if place in held_up:
                continue
            answer = route(builder, telemetry[position], value)
            if answer is None:
                held_up[place] = position
            elif isinstance(answer, AwaitingScore):
                builder.waiting[position] = answer
            else:
                builder.answers[position] = answer
    if held_up:
        waits = behind(telemetry, held_up)
        builder.step.unprocessed, telemetry = telemetry.filter(waits), telemetry.filter(~waits)
        kept = [read.filter(~waits[read.positions]) for read in runs]
        runs = [read for read in kept if len(read.positions)]
    ends = telemetry.last_offsets().items()
    builder.step.offsets |= {place: offset + 1 for place, offset in ends}
    count_values(builder, runs)
    timed = [read for read in runs if KINDS[read.kind].timed]
    others = [read for read in runs if not KINDS[read.kind].timed]
    normal = []
    if timed or any(KINDS[item.decoded.kind].timed for item in builder.waiting.values()):
        normal.append(score_timed(builder, timed))
    normal.append(score_active(builder, others))
    if builder.renamed or builder.state.names:
        follow_names(builder, others)
    if builder.delta.shifts:
        adopt_due(builder)
    expired = context.expired(EXPIRED_PER_STEP)
    if expired:
        begin_expired(builder, expired)
    for (kind, status, severity), answered in builder.verdict_counts.items():
        builder.count("records", kind, status, by=answered)
        builder.count("verdicts", kind, status, severity, by=answered)
    # What else there is to tell of a normal record comes behind its accepted sample.
    answers = chain.from_iterable(zip(*normal, builder.answers, strict=True))
    builder.step.outputs += chain.from_iterable(answers)
    return builder.step


def split_inputs(batch: RecordBatch, kinds: Mapping[str, str]) -> tuple[RecordBatch, RecordBatch]:
    """Telemetry, and commands and candidates."""
    if kinds.keys() >= set(batch.topics):
        return batch, batch[:0]
    ours = np.fromiter(map(kinds.__contains__, batch.topics), np.bool_, len(batch))
    return batch.filter(ours), batch.filter(~ours)


def columnar_reader(builder: StepBuilder) -> Reader:
    """What the fast path needs to know of the Step at hand."""
    profiles = builder.state.profiles

    def open_of(rows: Sequence[int]) -> Mapping[str, Model]:
        # Records of those that are lost are left: the plain path says so if they are valid.
        load_models(builder, [(profiles.rows.keys[row], *profiles.at(row)) for row in rows])
        return builder.models

    return Reader(
        profiles.rows,
        profiles.ensure_row,
        open_of,
        builder.delta.profiles,
        builder.context.columnar_kinds,
        builder.context.limits.record_bytes,
    )


Read = tuple[int, Decoded | DeadLetter]
"""A place in the batch, and what is read there."""


def decode_left(
    builder: StepBuilder, telemetry: RecordBatch, positions: Sequence[int], missed: UnknownTemplates
) -> Sequence[Read]:
    """Decode some records of a batch, those that the fast path has left.

    Afterwards every profile that they need is at hand, and every model.
    """
    kinds = builder.context.topics.kind_of
    decoded = decode_all(
        [telemetry[position] for position in positions], kinds, builder.context.limits
    )
    found = list(zip(positions, decoded, strict=True))
    valid = {position for position, value in found if isinstance(value, Decoded)}
    builder.context.fast_path.learn(telemetry, missed, valid)
    profiles = dict.fromkeys(
        (telemetry[position].partition, value.kind, value.profile_id)
        for position, value in found
        if isinstance(value, Decoded)
    )
    builder.recall(profiles)
    held = ((key, builder.profile(key)) for key in profiles)
    open_models(
        builder,
        [(key, *each.with_constants()) for key, each in held if isinstance(each, ActiveProfile)],
    )
    return found


def chunks(telemetry: RecordBatch, positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """Positions in runs of about ``CHUNK_BYTES``: what is held up meanwhile is not decoded."""
    begin, size = 0, 0
    for at, position in enumerate(positions, start=1):
        size += len(telemetry.values[position] or b"")
        if size >= CHUNK_BYTES or at == len(positions):
            yield positions[begin:at]
            begin, size = at, 0


def behind(telemetry: RecordBatch, held_up: Mapping[Partition, int]) -> NDArray[np.bool_]:
    """Which records wait for the next Step.

    Args:
        held_up: position of the first record of each partition that does.
    """
    waits = np.zeros(len(telemetry), dtype=np.bool_)
    for (topic, partition), position in held_up.items():
        here = np.flatnonzero(telemetry.partitions[position:] == partition) + position
        waits[[at for at in here.tolist() if telemetry.topics[at] == topic]] = True
    return waits


def apply_control_record(builder: StepBuilder, record: ConsumerRecord) -> bool:
    """Execute a command, or adopt a candidate, before the telemetry of the batch.

    False where the Step must end before it.
    """
    if record.topic == builder.context.topics.candidates:
        versions.adopt(builder, record)
        return True
    return execute(builder, record)


def route(
    builder: StepBuilder, record: ConsumerRecord, value: Decoded | DeadLetter
) -> list[ProducerRecord] | AwaitingScore | None:
    """The answer to a record, or that it waits for its score; None if its partition has to wait."""
    if isinstance(value, DeadLetter):
        return builder.dead_letter(record, value)
    key = (record.partition, value.kind, value.profile_id)
    profile = builder.profile(key)
    rows, names, unknown = value.extracted.rows, value.extracted.names, 0
    as_it_is = value.extracted.evident
    fixed = KINDS[value.kind].features
    # Of a kind with fixed columns a profile from before they were as many has fewer.
    if profile is not None and (fixed is None or len(feature_names(profile)) < len(fixed)):
        known = feature_names(profile)
        if isinstance(profile, LearningProfile) and not builder.suppressed(key):
            most = builder.context.settings.max_features if fixed is None else len(fixed)
            known = with_new(known, value.extracted, most)
        # Asked here, too: nearly every record has the profile's own names.
        if names != known:
            fitted = align(value.extracted, known)
            if isinstance(fitted, Mismatch):
                return builder.dead_letter(record, DeadLetter("feature_mismatch", fitted.detail))
            rows, names = fitted.rows, known
            unknown = fitted.unknown if fixed is None else 0
            if isinstance(profile, ActiveProfile):
                builder.renamed.add(key)
            as_it_is = False
    usable, indices = (rows, SINGLE_ROW) if as_it_is else rows_with_evidence(rows)
    answer: list[ProducerRecord] | AwaitingScore | None
    if not len(usable):
        answer = unscored(builder, record, value, "abstained", profile)
    elif isinstance(profile, ActiveProfile):
        answer = AwaitingScore(record, value, key, profile, usable, indices)
    elif builder.suppressed(key):
        answer = unscored(builder, record, value, "learning", profile)
    else:
        times = value.extracted.times
        times = None if times is None else times[indices]
        answer = learn(builder, record, value, key, names, usable, times)
    if answer is not None:
        builder.rows.setdefault(value.kind, []).append(rows)
        if unknown:
            builder.count("unknown_features", value.kind, by=unknown)
    return answer


def rows_with_evidence(rows: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """The rows that hold any evidence, and their places."""
    if len(rows) == 1 and rows[0, 0] == rows[0, 0]:
        return rows, SINGLE_ROW
    usable = ~np.isnan(rows).all(axis=1)
    return rows[usable], np.flatnonzero(usable)


def feature_names(profile: Profile) -> tuple[str, ...]:
    """Names of a profile's features, in order."""
    return (
        profile.ring.names
        if isinstance(profile, LearningProfile)
        else tuple(profile.record.features)
    )


def count_values(builder: StepBuilder, runs: Iterable[ColumnarRecords]) -> None:
    """Count the values of the batch's samples, and those of them that are absent."""
    for read in runs:
        builder.rows.setdefault(read.kind, []).append(read.values)
    for kind, rows in builder.rows.items():
        values = np.concatenate(rows, axis=None)
        builder.count("values", kind, by=values.size)
        builder.count("missing_values", kind, by=int(np.isnan(values).sum()))
