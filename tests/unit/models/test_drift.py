"""Drift is flagged, single anomalies are not, and false flags are as rare as promised."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import drift
from models.calibration.drift_batch import follow_all
from models.learning.training import train

p_values = st.floats(0.0, 1.0, exclude_min=True)


def after(values, state=drift.NONE):
    for value in values:
        state = drift.update(state, value)
    return state


def flagged_at(values):
    """How many records it took; None for never."""
    state = drift.NONE
    for count, value in enumerate(values, 1):
        state = drift.update(state, value)
        if drift.drifting(state):
            return count
    return None


@pytest.mark.parametrize("seed", range(10))
def test_a_model_that_fits_is_not_flagged_in_20000_records(seed):
    values = np.random.default_rng(seed).random(20_000)

    assert flagged_at(values.tolist()) is None


def test_the_bound_holds_at_the_edge_of_what_still_fits(monkeypatch):
    monkeypatch.setattr(drift, "ALARM_CAPITAL", 2000.0)
    generator = np.random.default_rng(0)
    edge = 1.0 / drift.NULL_MEAN - 1.0
    runs = [flagged_at((generator.random(200) ** edge).tolist()) for _ in range(400)]

    assert np.mean([run is not None for run in runs]) <= 200 / 2000


@given(st.lists(st.floats(1e-300, 1e-6), max_size=20))
def test_twenty_gross_anomalies_in_a_row_are_no_drift(values):
    assert not drift.drifting(after(values))


@given(st.lists(p_values, max_size=50), p_values)
def test_no_single_p_value_more_than_multiplies_by_the_boldest_stake(values, last):
    before = after(values)

    state = drift.update(before, last)

    most = 1.0 + 2.0 * drift.BOLD * drift.NULL_MEAN
    assert state.bold <= max(before.bold, 1.0) * most
    assert state.gentle <= max(before.gentle, 1.0) * most


def test_an_anomaly_in_every_twentieth_record_is_no_drift():
    values = np.random.default_rng(1).random(5000)
    values[::20] = 1e-9

    assert flagged_at(values.tolist()) is None


def test_a_jump_is_flagged_within_fifty_records():
    values = np.random.default_rng(2).random(500) * 0.1

    assert flagged_at(values.tolist()) <= 50


def test_a_slow_shift_is_flagged_though_few_of_its_records_are_anomalies():
    generator = np.random.default_rng(3)
    model = train(
        "blend",
        generator.normal(size=(200, 4)),
        ("a", "b", "c", "d"),
        alert_budget=0.01,
        seed=0,
        provenance={},
    )
    rows = generator.normal(size=(2000, 4)) + np.linspace(0.0, 2.0, 2000)[:, None]
    rarity = model.detector.calibration_.p_values(model.detector.score_samples(rows))

    at = flagged_at(rarity.tolist())

    assert at is not None
    assert (rarity[:at] < 0.01).mean() < 0.2


def test_drift_that_begins_late_is_found_as_soon_as_drift_that_begins_at_once():
    generator = np.random.default_rng(4)
    shifted = (generator.random(500) * 0.3).tolist()
    calm = generator.random(3000).tolist()

    assert flagged_at(calm + shifted) <= len(calm) + flagged_at(shifted)


def test_a_missing_p_value_tells_nothing():
    state = after([0.1, 0.2])

    assert drift.update(state, math.nan) == state


def test_wealth_stays_finite_however_long_drift_lasts():
    assert all(math.isfinite(wealth) for wealth in after([1e-300] * 10_000))


class TestFollowing:
    """What of a scorer's verdicts is counted."""

    def followed(self, values, budget=0.01, mean=drift.NULL_MEAN):
        state, since = drift.NONE, None
        for value in values:
            state, since = drift.follow(state, since, value, anomaly=value < budget, mean=mean)
            if drift.should_report(state):
                break
        return state

    def test_of_stationary_profiles_at_most_1_percent_is_flagged_within_5000_records(self):
        profiles = np.random.default_rng(0).random((200, 5000))

        flagged = sum(drift.should_report(self.followed(values)) for values in profiles.tolist())

        assert flagged <= 0.01 * 200

    @pytest.mark.parametrize("learnt", [5, 20, 200])
    def test_the_same_holds_for_calibrations_that_are_off_by_two_standard_errors(self, learnt):
        off = 2.0 * 0.29 / math.sqrt(learnt)
        power = 1.0 / (0.5 - off) - 1.0
        profiles = np.random.default_rng(learnt).random((50, 5000)) ** power

        flagged = [
            drift.should_report(self.followed(v, mean=drift.least_mean(learnt)))
            for v in profiles.tolist()
        ]

        assert np.mean(flagged) <= 0.01

    def test_p_values_that_are_all_in_the_lower_half_are_flagged_within_200_records(self):
        profiles = np.random.default_rng(1).random((50, 200)) * 0.5

        flagged = [drift.should_report(self.followed(values)) for values in profiles.tolist()]

        assert np.mean(flagged) == 1.0

    def test_of_an_attack_found_in_two_of_three_records_hardly_any_counts(self):
        generator = np.random.default_rng(2)
        values = np.where(generator.random(600) < 0.67, 1e-6, 0.05)

        state = self.followed(values.tolist())

        assert not drift.drifting(state)
        assert state.records < 0.1 * 600

    @given(st.lists(st.floats(1e-300, 0.009), max_size=200))
    def test_anomalies_alone_are_never_drift_however_many(self, values):
        assert self.followed(values) == drift.NONE

    def test_a_record_behind_an_anomaly_counts_from_the_third_on(self):
        state, since = drift.follow(drift.NONE, None, 1e-6, anomaly=True)
        counted = []
        for _ in range(4):
            state, since = drift.follow(state, since, 0.1, anomaly=False)
            counted.append((state.records, since))

        assert counted == [(0, 1), (0, 2), (1, 3), (2, 4)]

    def test_the_least_of_many_uniform_p_values_counts_as_one_uniform(self):
        values = np.random.default_rng(3).random((5000, 20)).min(axis=1)

        state = drift.NONE
        for value in values.tolist():
            state, _ = drift.follow(state, None, value, anomaly=False, samples=20)

        assert state.records == 5000
        assert not drift.drifting(state)

    @given(p_values, st.integers(1, 10_000))
    def test_a_record_of_many_samples_is_never_more_suspicious_than_one_of_one(self, value, many):
        one, _ = drift.follow(drift.NONE, None, value, anomaly=False)

        several, _ = drift.follow(drift.NONE, None, value, anomaly=False, samples=many)

        assert several.gentle <= one.gentle * (1 + 1e-12)

    def test_smaller_calibrations_are_given_more_slack_and_large_ones_the_least(self):
        means = [drift.least_mean(n) for n in (1, 5, 20, 50, 81, 200, 10_000)]

        assert means == sorted(means)
        assert (means[0], means[-1]) == (drift.MIN_NULL_MEAN, drift.NULL_MEAN)

    @given(st.lists(p_values, max_size=60), st.integers(1, 100))
    def test_wealth_is_never_negative_whatever_the_calibration(self, values, learnt):
        state, mean = drift.NONE, drift.least_mean(learnt)
        for value in values:
            state, _ = drift.follow(state, None, value, anomaly=False, mean=mean)
            assert min(state.gentle, state.bold) > 0.0

    def test_told_drift_is_due_again_only_after_so_many_records(self):
        flagged = after([0.01] * 100)
        assert drift.should_report(flagged)

        state = drift.after_report(flagged)
        rest = 0
        while not drift.should_report(state):
            state, _ = drift.follow(state, None, 0.01, anomaly=False)
            rest += 1

        assert rest == drift.QUIET


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([-1.0, 0.0, 1.0, math.nan]),
        st.one_of(p_values, st.just(math.nan), st.floats(1e-300, 1e-3)),
        st.integers(1, 30),
    ),
    max_size=30,
).map(lambda runs: [record for *record, times in runs for _ in range(times)])
PROFILES = st.lists(
    st.tuples(
        st.builds(
            drift.Drift,
            st.floats(0.01, 1e12),
            st.floats(0.01, 1e12),
            st.integers(0, 1000),
            st.integers(0, 1000),
        ),
        st.one_of(st.none(), st.integers(0, 5)),
        st.integers(1, 300),
        RECORDS,
    ),
    max_size=5,
)


@given(PROFILES)
def test_the_compiled_twin_gives_the_same_bits(profiles):
    """A decision of NaN is no evidence: the scorer passes no such record to ``follow``."""
    states = [state for state, *_ in profiles]
    found = follow_all(
        drift.Drifts(*np.array(states, dtype=np.float64).reshape(-1, 4).T.copy()),
        np.array([drift.UNKNOWN if s is None else s for _, s, *_ in profiles], dtype=np.int64),
        np.array([drift.least_mean(learnt) for _, _, learnt, _ in profiles], dtype=np.float64),
        np.array([len(records) for *_, records in profiles], dtype=np.int64),
        *np.array([r for *_, of in profiles for r in of], dtype=np.float64).reshape(-1, 2).T.copy(),
    )

    each = []
    for number, (state, since, learnt, records) in enumerate(profiles):
        quiet = True
        for decision, p_value in records:
            if decision == decision:
                state, since = drift.follow(
                    state, since, p_value, anomaly=decision < 0, mean=drift.least_mean(learnt)
                )
            each.append(drift.UNKNOWN if since is None else since)
            quiet = quiet and not drift.should_report(state)
        assert tuple(column[number] for column in found.drifts) == state
        assert found.since_anomaly[number] == (drift.UNKNOWN if since is None else since)
        assert found.plain[number] == quiet
    assert found.each.tolist() == each
