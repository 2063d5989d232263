"""Profiles: a mapping like any other, whose judged ones can be changed many at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.calibration.drift import UNKNOWN, Drift, Drifts
from processor.columnar.profile_table import NO_ROW, DriftUpdates
from processor.record_batch import RecordBatch
from processor.state.profiles import ActiveProfile, LearningProfile, Profiles
from processor.state.ring import Ring
from tests.unit.builders import Scorer, normal, record, stream

KEYS = [(0, "features", name) for name in "pqr"]
SOURCES = {key: ("telemetry", 0, key[2].encode()) for key in KEYS}
RECORD_FROM = {key: record(b"", topic="telemetry", key=key[2]) for key in KEYS}


def announcements() -> list[list]:
    """Two versions of each profile."""
    made = Scorer()
    made.feed([r for i in range(3) for r in stream(normal(5), key="pqr"[i], first=5 * i)])
    first = [made.current(key) for key in KEYS]
    return [[one, one.model_copy(update={"version": 2})] for one in first]


RECORDS = dict(zip(KEYS, announcements(), strict=True))

drifts = st.builds(
    Drift, st.floats(1, 1e12), st.floats(1, 1e12), st.integers(0, 10**6), st.integers(0, 10**6)
)
since = st.none() | st.integers(0, 10**6)
keys = st.sampled_from(KEYS)
deeds = st.one_of(
    st.tuples(st.just("judged"), keys, st.integers(0, 1), since, drifts),
    st.tuples(st.just("learns"), keys),
    st.tuples(st.just("forgotten"), keys),
    st.tuples(st.just("seated"), keys),
    st.tuples(st.just("changed"), st.dictionaries(keys, st.tuples(since, drifts))),
)


@given(st.lists(deeds))
def test_profiles_are_a_mapping_whether_they_have_a_row_or_not(done):
    profiles, expected = Profiles(), {}
    for what, key, *more in done:
        if what == "judged":
            version, *numbers = more
            expected[key] = profiles[key] = ActiveProfile(RECORDS[key][version], *numbers)
        elif what == "learns":
            expected[key] = profiles[key] = LearningProfile(Ring(1, ("x",)))
        elif what == "forgotten":
            profiles.pop(key, None)
            expected.pop(key, None)
        elif what == "seated":
            row = profiles.ensure_row(SOURCES[key], key)
            assert (row != NO_ROW) == isinstance(expected.get(key), ActiveProfile)
            found = profiles.rows.find(RecordBatch.of([RECORD_FROM[key]]))
            assert found.tolist() == [row]
        else:
            change(profiles, expected, key)
        assert {key: bare(profile) for key, profile in profiles.items()} == expected
        assert all(profiles.get(key) == profiles[key] for key in expected)
        assert [profiles.is_active(key) for key in KEYS] == [
            isinstance(expected.get(key), ActiveProfile) for key in KEYS
        ]


def change(profiles, expected, wanted):
    """Change those that have a row, and undo and repeat it."""
    seated = [key for key in wanted if profiles.rows.row(key) != NO_ROW]
    rows = np.array([profiles.rows.row(key) for key in seated], dtype=np.int64)
    known = [UNKNOWN if wanted[key][0] is None else wanted[key][0] for key in seated]
    numbers = np.array([wanted[key][1] for key in seated], dtype=np.float64).reshape(-1, 4)
    changes = DriftUpdates(rows, Drifts(*numbers.T), np.array(known, dtype=np.int64))

    before = profiles.rows.changes(rows)
    by = profiles.rows.put(changes)
    assert profiles.rows.put(before) == -by
    assert {key: bare(profile) for key, profile in profiles.items()} == expected
    assert profiles.rows.put(changes) == by

    for key in seated:
        expected[key] = expected[key].after_verdict(*wanted[key])


def bare(profile):
    """A profile without what only follows from its announcement."""
    return profile._replace(standing=None) if isinstance(profile, ActiveProfile) else profile


def test_a_row_is_given_again_and_is_the_next_profiles_alone():
    profiles = Profiles({key: ActiveProfile(records[0]) for key, records in RECORDS.items()})
    first = profiles.ensure_row(SOURCES[KEYS[0]], KEYS[0])

    profiles[KEYS[0]] = ActiveProfile(RECORDS[KEYS[0]][1], 7)

    assert profiles.rows.row(KEYS[0]) == NO_ROW
    assert profiles.ensure_row(SOURCES[KEYS[1]], KEYS[1]) == first
    found = profiles.rows.find(RecordBatch.of([RECORD_FROM[key] for key in KEYS[:2]]))
    assert found.tolist() == [NO_ROW, first]
    assert (bare(profiles[KEYS[0]]).since_anomaly, profiles[KEYS[1]].since_anomaly) == (7, None)
