"""Silence is told by each profile's own rhythm, in records' time, a slice of profiles at a time."""

import numpy as np
import pytest

from models.calibration.drift import NONE
from processor.columnar.profile_table import ProfileTable
from processor.columnar.version_constants import CONSTANT_FIELDS, VersionConstants, feature_names_of
from processor.state import inactivity
from processor.state.inactivity import FACTOR, LEAST_MS, MIN_INTERVALS, SLICE, InactivityMonitor

START = 1_700_000_000_000
MINUTE = 60_000
KEY = (0, "features", "p")


def swept(silences: InactivityMonitor, held: bool = True) -> int:
    """Silent profiles of the kind ``features`` after a whole sweep."""
    for _ in range(2):
        silences.sweep(lambda _: held)
    return silences.silent["features"]


def heard_every(gap: int, times: int = MIN_INTERVALS + 1) -> tuple[InactivityMonitor, int]:
    """A profile that was heard with this gap, and when it was heard last."""
    silences = InactivityMonitor()
    for number in range(times):
        silences.hear([KEY], START + number * gap)
    return silences, START + (times - 1) * gap


def seated(rows: ProfileTable) -> np.ndarray:
    """The profile's row, given anew."""
    ends = np.zeros(len(CONSTANT_FIELDS), np.int64).tobytes()
    standing = VersionConstants("0" * 64, "a", feature_names_of(("x",)), b"", ends, 0.5, 100)
    return np.array([rows.add(("telemetry", 0, b"p"), KEY, standing, NONE, None)])


def test_who_has_a_row_is_heard_by_it_as_by_the_key():
    rows, by_row = ProfileTable(), InactivityMonitor()
    row = seated(rows)
    for number in range(MIN_INTERVALS + 1):
        by_row.hear_rows(rows, row, START + number * MINUTE)
    by_key, last = heard_every(MINUTE)

    for silences in (by_row, by_key):
        silences.passed(last + FACTOR * MINUTE)
        assert swept(silences) == 0
        silences.passed(last + FACTOR * MINUTE + 1)
        assert swept(silences) == 1
    by_row.hear([KEY], last + 20 * MINUTE)
    assert swept(by_row) == 0


def test_who_was_forgotten_and_has_a_row_again_begins_anew():
    rows, silences = ProfileTable(), InactivityMonitor()
    row = seated(rows)
    for number in range(MIN_INTERVALS + 1):
        silences.hear_rows(rows, row, START + number * MINUTE)
    silences.forget(KEY)
    rows.remove(KEY)
    other = (0, "features", "q")
    silences.hear([other], START)

    silences.hear_rows(rows, seated(rows), START + 20 * MINUTE)

    silences.passed(START + 1000 * MINUTE)
    assert swept(silences) == 0


@pytest.mark.parametrize("gap", [MINUTE, 60 * MINUTE])
def test_a_silence_of_ten_usual_gaps_is_longer_than_usual(gap):
    silences, last = heard_every(gap)

    silences.passed(last + FACTOR * gap)
    assert swept(silences) == 0
    silences.passed(last + FACTOR * gap + 1)
    assert swept(silences) == 1


def test_a_quick_profile_may_rest_for_a_minute():
    silences, last = heard_every(100)

    silences.passed(last + LEAST_MS)
    assert swept(silences) == 0
    silences.passed(last + LEAST_MS + 1)
    assert swept(silences) == 1


def test_who_is_heard_again_is_silent_no_longer():
    silences, last = heard_every(MINUTE)
    silences.passed(last + 60 * MINUTE)
    assert swept(silences) == 1

    silences.hear([KEY], last + 61 * MINUTE)

    assert swept(silences) == 0


def test_before_a_few_gaps_nothing_is_usual():
    silences, last = heard_every(MINUTE, times=MIN_INTERVALS)

    silences.passed(last + 1000 * MINUTE)

    assert swept(silences) == 0


def test_a_rhythm_that_changes_is_learnt():
    silences, last = heard_every(MINUTE)
    for number in range(1, 40):
        silences.hear([KEY], last + number * 60 * MINUTE)

    silences.passed(last + 39 * 60 * MINUTE + 100 * MINUTE)

    assert swept(silences) == 0


def test_time_never_goes_back():
    silences, last = heard_every(MINUTE)

    silences.hear([KEY], START)
    silences.passed(START)
    silences.passed(last + 5 * MINUTE)

    assert swept(silences) == 0


def test_a_profile_that_is_not_expected_or_forgotten_is_not_counted():
    silences, last = heard_every(MINUTE)
    silences.passed(last + 60 * MINUTE)
    assert swept(silences, held=False) == 0
    assert swept(silences) == 1

    silences.forget(KEY)

    assert swept(silences) == 0


def test_a_sweep_takes_a_slice_at_a_time_and_tells_when_it_is_through(monkeypatch):
    monkeypatch.setattr(inactivity, "SLICE", 10)
    silences = InactivityMonitor()
    keys = [(0, "features", str(number)) for number in range(35)]
    for number in range(MIN_INTERVALS + 1):
        silences.hear(keys, START + number * MINUTE)
    silences.passed(START + 1000 * MINUTE)
    looked: list[object] = []

    def seen(key):
        looked.append(key)
        return True

    told = []
    for _ in range(4):
        silences.sweep(seen)
        told.append((len(looked), silences.silent["features"]))

    assert told == [(10, 0), (20, 0), (30, 0), (35, 35)]
    assert SLICE > 10
