"""Names of features that change: told, and learnt as a new normal.

What a record's names are is looked at behind the verdicts of a batch, in the order of its records,
and only of profiles whose records had other names than their own lately.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import comb

import numpy as np

from models.errors import ArtifactError
from models.features import KINDS, Mismatch, align, with_new
from processor.columnar.columnar_records import ColumnarRecords
from processor.records import ProfileKey
from processor.scorer.columns.scoring import pending
from processor.scorer.regime.watch import ShiftChange, outlook, take_over
from processor.scorer.step_builder import AwaitingScore, StepBuilder
from processor.scorer.verdicts import verdict_id
from processor.scorer.versions import model_in_force
from processor.state import ring
from processor.state.profiles import ActiveProfile
from processor.state.ring import Ring
from processor.state.shifts import NameWatch, Shift
from processor.topics import OUTPUT_LIMIT
from schemas import ModelRecord

WINDOW = 50
"""Records of a profile whose names are held against those that it learnt."""

MOST_UNKNOWN = 100
"""Unknown names of a record that are kept for that, the first ones."""

LOOK_EVERY = 10
"""They are counted after so many more records."""

CHANCE = 1e-4
"""A name is gone if so few of the records would have it by chance with no more probability."""

NAMED, MAX_NAME = 20, 100
"""Names that an event lists of each sort, and so much of each."""


def follow_names(builder: StepBuilder, runs: Sequence[ColumnarRecords]) -> None:
    """Follow the names of the batch's records, of profiles whose names differed lately."""
    known = {**builder.state.names, **builder.delta.names}
    followed = builder.renamed | known.keys()
    for key, items in records_of(builder, runs, followed).items():
        if builder.suppressed(key):
            continue
        watch = known.get(key) or NameWatch()
        for item in items:
            watch = follow_record(builder, item, watch)
        clean = len(watch.recent) == WINDOW and not any(map(any, watch.recent))
        builder.delta.names[key] = None if clean else watch


def records_of(
    builder: StepBuilder, runs: Sequence[ColumnarRecords], keys: set[ProfileKey]
) -> dict[ProfileKey, list[AwaitingScore]]:
    """The scored records of some profiles, in their order."""
    found: dict[ProfileKey, list[tuple[int, AwaitingScore]]] = {}
    for position, item in builder.waiting.items():
        if item.key in keys:
            found.setdefault(item.key, []).append((position, item))
    for position, item in read_in_columns(builder, runs, keys):
        found.setdefault(item.key, []).append((position, item))
    ordered = {key: sorted(items, key=lambda one: one[0]) for key, items in found.items()}
    return {
        key: [item for _, item in items]
        for key, items in sorted(ordered.items(), key=lambda of_key: of_key[1][0][0])
    }


def read_in_columns(
    builder: StepBuilder, runs: Sequence[ColumnarRecords], keys: set[ProfileKey]
) -> Iterator[tuple[int, AwaitingScore]]:
    """Those of them that the fast path has read, which had the very names of their profile."""
    for read in runs:
        firsts, begins = read.firsts, read.begins
        for at in (at for at in range(len(read.rows)) if read.key(at) in keys):
            for row in range(int(firsts[at]), int(firsts[at] + read.counts[at])):
                yield int(read.positions[row]), pending(builder, read, at, row, int(begins[row]))


def follow_record(builder: StepBuilder, item: AwaitingScore, watch: NameWatch) -> NameWatch:
    """The watch behind one more record; what it tells and learns is the builder's."""
    key, extracted = item.key, item.decoded.extracted
    profile = builder.profile(key)
    if not isinstance(profile, ActiveProfile) or extracted.positional:
        return watch
    known = profile.record.features
    held = set(extracted.names)
    own = set(known)
    unknown = tuple(name for name in extracted.names if name not in own)[:MOST_UNKNOWN]
    missing = tuple(name for name in known if name not in held)
    watch = NameWatch((*watch.recent, (unknown, missing))[-WINDOW:], watch.records + 1)
    shift = builder.shift(key)
    if shift is not None and shift.renamed:
        if len(watch.recent) == WINDOW and not any(map(any, watch.recent)):
            take_back(builder, key, profile.record, shift)
        else:
            learn_names(builder, item, shift)
    elif len(watch.recent) == WINDOW and watch.records % LOOK_EVERY == 0:
        new, gone = changed_names(builder, profile, watch)
        if new or gone:
            tell_change(builder, item, shift, new, gone)
    return watch


def changed_names(
    builder: StepBuilder, profile: ActiveProfile, watch: NameWatch
) -> tuple[list[str], list[str]]:
    """Names that most of the last records have and the profile has not, and the other way round."""
    unknown = Counter(name for names, _ in watch.recent for name in names)
    missing = Counter(name for _, names in watch.recent for name in names)
    new = [name for name, count in unknown.items() if 2 * count >= WINDOW]
    if not missing:
        return new, []
    model = model_in_force(builder, profile.record)
    if isinstance(model, ArtifactError):
        return new, []
    shares = (~np.isnan(model.samples)).mean(axis=0).tolist()
    learnt = dict(zip(model.features, shares, strict=True))
    gone = [
        name
        for name, count in missing.items()
        if is_gone(min(learnt.get(name, 0.0), 1.0), WINDOW - count)
    ]
    return new, gone


def is_gone(share: float, seen: int) -> bool:
    """Whether a name is much rarer than it was, beyond chance.

    Args:
        share: of the learning samples that had it.
        seen: how many of the last ``WINDOW`` records have it.
    """
    if seen / WINDOW >= share / 2.0:
        return False
    chances = (comb(WINDOW, n) * share**n * (1.0 - share) ** (WINDOW - n) for n in range(seen + 1))
    return sum(chances) <= CHANCE


def tell_change(
    builder: StepBuilder, item: AwaitingScore, known: Shift | None, new: list[str], gone: list[str]
) -> None:
    """Report that a profile's feature names have changed, and begin to learn the new ones."""
    key, announced = item.key, item.active.record
    begun = Shift(
        Ring(announced.generation, (*announced.features, *new)),
        since=verdict_id(item.record),
        held_until=None if known is None else known.held_until,
        renamed=True,
    )
    cleared = [] if known is None else builder.drop_shift(key, known)
    shown = [[name[:MAX_NAME] for name in names[:NAMED]] for names in (new, gone)]
    said = [
        f"{len(names)} {word}: {', '.join(of)}"
        for names, of, word in zip((new, gone), shown, ("new", "gone"), strict=True)
        if names
    ]
    detail = (
        f"the names of the last {WINDOW} records differ from those learnt, {'; '.join(said)}; "
        f"{outlook(builder, key, begun)}"
    )
    figures = {
        "new": shown[0],
        "gone": shown[1],
        "new_features": len(new),
        "gone_features": len(gone),
        "needed": builder.context.settings.shift_samples_for(key[1]),
    }
    take_over(builder, key, ShiftChange(begun, cleared, ("features_changed", detail, figures)))


def learn_names(builder: StepBuilder, item: AwaitingScore, shift: Shift) -> None:
    """Keep the samples of one more record under the new names.

    Columns of a kind are new because Telltale is: what is abnormal in the old ones is not learnt,
    as an impostor's records would be with them.
    """
    settings, key = builder.context.settings, item.key
    if (key, item.record.offset) in builder.rejected and KINDS[key[1]].features is not None:
        return
    needed = settings.shift_samples_for(key[1])
    most = max(settings.max_features, len(KINDS[key[1]].features or ()))
    names = with_new(shift.ring.names, item.decoded.extracted, most)
    fitted = align(item.decoded.extracted, names)
    if isinstance(fitted, Mismatch) or np.isnan(fitted.rows).all():
        return
    grown, place, slot = ring.append_sample(
        shift.ring, item.record.offset, fitted.rows, capacity=needed, names=names
    )
    stored = ring.changelog(builder.context.topics.cold_start, key, place, slot)
    if stored.size <= OUTPUT_LIMIT:
        builder.emit(stored)
        builder.delta.shifts[key] = replace(shift, ring=grown)


def take_back(builder: StepBuilder, key: ProfileKey, announced: ModelRecord, shift: Shift) -> None:
    """Report that a profile has its learnt feature names again, and stop learning others."""
    cleared = builder.drop_shift(key, shift)
    detail = f"the names of the last {WINDOW} records are those learnt"
    told = ("shift_ended", detail, {"since": shift.since})
    take_over(builder, key, ShiftChange(shift.only_held(announced), cleared, told))
