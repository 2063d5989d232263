"""A new level of a profile whose detector follows it by itself: told once, and when it has ended.

Such a detector soon takes a new level for normal, so that too few records are abnormal for
``watch``. What tells the level is what drift is told by: the values less their season, beside those
that a version has learnt, which follow nothing. Looked at behind the verdicts of a batch, in the
order of its points, and only of profiles with evidence of drift.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.calibration.drift import Drift
from models.detectors.forecast.batch import MetricPoints, levels_of, usual_level
from models.learning.shifts.levels import WITHIN, Level, LevelWatch, Move, follow_points
from processor.records import ProfileKey
from processor.scorer.regime.watch import ShiftChange, outlook, take_over, waits_for_command
from processor.scorer.step_builder import StepBuilder
from processor.state.profile_codec import ShiftNote, shift_key
from processor.state.profiles import ActiveProfile
from processor.state.shifts import Shift

EVIDENCE = 30.0
"""Wealth of the test of drift from which on the level of a profile is watched."""


def is_watched(builder: StepBuilder, key: ProfileKey, drift: Drift) -> bool:
    """Whether the level of a profile is to be followed: hardly any is.

    Args:
        drift: behind the records of the batch.
    """
    shift = builder.shift(key)
    known = shift is not None and (shift.level is not None or shift.shifted)
    return (known or evident(drift)) and not builder.suppressed(key)


def evident(drift: Drift) -> bool:
    """Whether there is evidence that a profile has moved."""
    return (drift.gentle + drift.bold) / 2.0 >= EVIDENCE


def is_held_back(builder: StepBuilder, key: ProfileKey) -> bool:
    """Whether normal records are not learnt: a held profile is at a level that its detector has
    followed.
    """
    shift = builder.shift(key)
    if shift is None or not shift.shifted or shift.level is None:
        return False
    return waits_for_command(builder, key, shift)


def follow_level(
    builder: StepBuilder,
    key: ProfileKey,
    active: ActiveProfile,
    points: MetricPoints,
    offsets: Sequence[int],
) -> None:
    """Follow the level of a profile that ``is_watched``; its events and state are the Step's.

    Args:
        active: the profile behind the points.
        points: of the batch.
        offsets: of the records that they came with.
    """
    learnt = usual_level(points.model, WITHIN)
    if learnt is None:
        return
    usual, values = Level(*learnt), levels_of(points)
    shift = builder.shift(key) or Shift.empty(active.record)
    watch = shift.level or LevelWatch(usual)
    if shift.shifted and shift.level is None:
        why = f"{active.record.detector} judges from here on"
        shift = end(builder, key, active, shift, offsets[0], why)
    at = 0
    while at < len(values):
        watch, move, taken = follow_points(watch, values[at:], offsets[at:])
        at += taken
        back = move is not None and usual.holds(move.level)
        if move is not None and (not back or (watch.learnt and not shift.shifted)):
            shift = tell(builder, key, shift, watch, move)
            watch = watch.beside(move.level)
        elif back:
            watch = watch.beside(usual)
        if shift.shifted and (back or watch.lies_in(usual)):
            why = f"the last points lie where version {active.record.version} has learnt them"
            shift = end(builder, key, active, shift, offsets[at - 1], why)
            watch = LevelWatch(usual)
    waits = shift.adopted and not usual.holds(watch.level)
    if shift.shifted or waits or evident(active.drift) or not watch.quiet:
        builder.delta.shifts[key] = replace(shift, level=watch)
    else:
        left = shift.only_held(active.record)
        if shift.adopted:
            note = None if left is None else ShiftNote.of(left)
            builder.emit_note(key, note, shift_key)
        builder.delta.shifts[key] = left


def tell(
    builder: StepBuilder, key: ProfileKey, shift: Shift, watch: LevelWatch, move: Move
) -> Shift:
    """Report a new level; the shift from here on."""
    before, since = watch.level, verdict_at(builder, key, move.since)
    low, high = before.center - before.width, before.center + before.width
    told = replace(shift, since=since, level=watch.beside(move.level), adopted=False)
    figures = {
        "since": since,
        "beyond": move.beyond,
        "records": move.seen,
        "on_shift": "hold" if waits_for_command(builder, key, told) else "follow",
        "moved": [{"feature": "value", "before": [low, high], "after": [move.low, move.high]}],
    }
    side = "above" if move.level.center > before.center else "below"
    detail = (
        f"{move.beyond} of the last {move.seen} points lie {side} the {low:.6g} to {high:.6g} of "
        f"before and at one level, since {since}; {outlook(builder, key, told)}"
    )
    take_over(builder, key, ShiftChange(told, [], ("shifted", detail, figures)))
    return told


def end(
    builder: StepBuilder,
    key: ProfileKey,
    active: ActiveProfile,
    shift: Shift,
    offset: int,
    why: str,
) -> Shift:
    """Report that a shift has ended; what is left of it.

    Args:
        offset: of the record that showed it.
    """
    until = verdict_at(builder, key, offset)
    cleared = builder.drop_shift(key, shift)
    left = shift.only_held(active.record)
    detail = f"{why}; it was shifted since {shift.since}"
    told = ("shift_ended", detail, {"since": shift.since, "until": until})
    take_over(builder, key, ShiftChange(left, cleared, told))
    return left or Shift.empty(active.record)


def learn_level(
    builder: StepBuilder, key: ProfileKey, active: ActiveProfile, shift: Shift, command: str | None
) -> None:
    """Let a profile that is held learn the level that its detector has followed.

    Args:
        command: id of the command that says so.
    """
    version = active.record.version
    builder.emit(builder.mark(key, "retrain", version=version, command_id=command))
    builder.emit(*builder.drop_shift(key, shift))
    # Beside that level from here on, also after a restart: it is not told again.
    adopted = replace(Shift.empty(active.record), level=shift.level, adopted=True)
    builder.emit_note(key, ShiftNote.of(adopted), shift_key)
    builder.delta.shifts[key] = adopted
    builder.count("shifts", key[1], "shift_ended")
    builder.emit_lifecycle(
        key,
        "shift_ended",
        f"adopted: what comes is learnt; it was shifted since {shift.since}",
        generation=active.record.generation,
        version=version,
        command_id=command,
        figures={"since": shift.since},
    )


def verdict_at(builder: StepBuilder, key: ProfileKey, offset: int) -> str:
    """Verdict id of the record of a profile at an offset."""
    return f"{builder.context.topics.telemetry(key[1])}-{key[0]}-{offset}"
