"""The forecast detector as an estimator, its online state, and the times of its points."""

import io
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.validation import NotFittedError

from models.detectors.forecast import Forecast
from models.detectors.forecast.season import find_season
from models.detectors.forecast.state import STATE_BYTES, from_bytes, to_bytes
from models.detectors.forecast.times import unit_of
from models.kernels.forecast import layout, points

Floats = np.ndarray

DAY = 86_400.0
START = 1_700_000_000.0
STEP = 900.0
PER_DAY = 96


def daily(days: float, seed: int = 0, noise: float = 0.2) -> tuple[Floats, Floats]:
    """A metric with a daily wave every 15 minutes: values, shape (n, 1), and times in seconds."""
    times = START + STEP * np.arange(int(days * PER_DAY))
    wave = 10.0 + 3.0 * np.sin(2.0 * np.pi * times / DAY)
    return (wave + noise * np.random.default_rng(seed).normal(size=times.size))[:, None], times


def plain(size: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(size, 1))


@pytest.fixture(scope="module")
def of_days() -> Forecast:
    values, times = daily(7)
    return Forecast().fit(values, times=times)


@pytest.fixture(scope="module")
def of_noise() -> Forecast:
    return Forecast().fit(plain(300))


# --- An estimator ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_mixin_order,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
    ],
    ids=lambda check: check.__name__,
)
def test_passes_the_checks_of_scikit_learn_that_need_no_matrix(check: Any) -> None:
    check("Forecast", Forecast())


def test_a_clone_has_the_same_parameters_and_is_not_fitted(of_noise: Forecast) -> None:
    estimator = Forecast(alert_budget=0.05, shapes=False, seasonal=False, library=500)

    assert clone(estimator).get_params() == estimator.get_params()
    assert not hasattr(clone(of_noise), "block_")


def test_an_unfitted_one_judges_nothing() -> None:
    with pytest.raises(NotFittedError):
        Forecast().score_samples(plain(3))


@pytest.mark.parametrize(
    ("X", "times", "why"),
    [
        (np.zeros((5, 2)), None, "one metric"),
        (np.full((5, 1), np.nan), None, "0 sample"),
        (np.full((5, 1), np.inf), None, "infinity"),
        (np.zeros((5, 1)), [1, 2, 3], r"shape \(5,\)"),
        (np.zeros((2, 1)), [1.0, np.nan], "finite"),
        (np.zeros((3, 1)), [1.0, 3.0, 2.0], "ascending"),
    ],
)
def test_what_is_no_metric_is_refused(X: Floats, times: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Forecast().fit(X, times=times)


def test_a_fitted_one_survives_pickling(of_days: Forecast) -> None:
    values, times = daily(1, seed=1)
    buffer = io.BytesIO()

    joblib.dump(of_days, buffer)
    buffer.seek(0)
    restored = joblib.load(buffer)

    again, expected = (one.judge(values, times=times + 7 * DAY) for one in (restored, of_days))
    assert again.columns.tobytes() == expected.columns.tobytes()
    assert again.state.tobytes() == expected.state.tobytes()


def test_fitting_twice_gives_equal_bits() -> None:
    values, times = daily(4, seed=2)

    one, two = (Forecast().fit(values, times=times) for _ in range(2))

    assert one.block_.tobytes() == two.block_.tobytes()
    assert one.last_state_.tobytes() == two.last_state_.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.one_of(
            st.sampled_from([0.0, 1.0, 1.0, np.nan, 1e100, -1e100, 1e-300, 1.7e308]),
            st.floats(-1e3, 1e3),
        ),
        min_size=1,
        max_size=80,
    ).filter(lambda values: not np.isnan(values).all()),
    shapes=st.booleans(),
)
def test_any_values_are_learnt_and_judged(values: list[float], shapes: bool) -> None:
    learnt = np.array(values)[:, None]
    asked = np.array([*values, np.nan, 1.7e308, -1.7e308, 0.0])[:, None]

    judged = Forecast(shapes=shapes).fit(learnt).judge(asked)

    missing = np.isnan(asked[:, 0])
    assert np.isnan(judged.p_values[missing]).all()
    assert (judged.p_values[~missing] > 0.0).all()
    assert (judged.p_values[~missing] <= 1.0).all()
    assert (judged.scores[~missing] <= 0.0).all()
    assert (judged.scores[~missing] >= -layout.LARGEST).all()


def test_a_decision_is_negative_exactly_if_p_is_below_the_budget(of_noise: Forecast) -> None:
    asked = plain(500, seed=3) * 2.0

    decisions, p_values = of_noise.decision_function(asked), of_noise.judge(asked).p_values

    assert ((decisions < 0.0) == (p_values < of_noise.alert_budget)).all()
    assert ((of_noise.predict(asked) == -1) == (decisions < 0.0)).all()
    assert 0 < (decisions < 0.0).sum() < 500


def test_units_lie_between_0_and_1_and_fall_with_the_score(of_noise: Forecast) -> None:
    scores = np.unique(of_noise.score_samples(plain(200, seed=4) * 2.0))

    units = of_noise.unit(scores)

    assert ((units >= 0.0) & (units < 1.0)).all()
    assert (np.diff(units) < 0.0).all()


# --- The online state -----------------------------------------------------------------------------


def test_a_state_takes_about_a_kilobyte_and_with_a_model_of_750_points_less_than_six() -> None:
    values, times = daily(750 / PER_DAY)

    model = Forecast().fit(values, times=times)

    assert STATE_BYTES == 1216
    assert model.nbytes + STATE_BYTES <= 6_000


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_points_give_the_same_bits_alone_and_together(of_days: Forecast, data: Any) -> None:
    size = data.draw(st.integers(1, 60))
    steps = data.draw(
        st.lists(
            st.sampled_from([STEP, STEP, STEP, 700.0, 40_000.0, 0.0, -STEP]),
            min_size=size,
            max_size=size,
        )
    )
    values = data.draw(
        st.lists(st.sampled_from([7.0, 10.0, 10.5, 99.0, np.nan]), min_size=size, max_size=size)
    )
    times = START + 7 * DAY + np.cumsum(steps)
    column = np.array(values)[:, None]

    together = of_days.judge(column, times=times)
    state, alone = of_days.first_state(), []
    for at in range(size):
        one = of_days.judge(column[at : at + 1], times=times[at : at + 1], state=state)
        state = one.state
        alone.append(one.columns)

    assert np.concatenate(alone).tobytes() == together.columns.tobytes()
    assert state.tobytes() == together.state.tobytes()


def test_an_update_leaves_the_state_it_is_given_and_replays_to_the_same_bits(
    of_days: Forecast,
) -> None:
    state = of_days.first_state()
    before = state.tobytes()

    first = of_days.update(state, START + 7 * DAY, 10.0)
    again = of_days.update(from_bytes(to_bytes(state)), START + 7 * DAY, 10.0)

    assert state.tobytes() == before
    assert first.state.tobytes() == again.state.tobytes() != before
    assert first[1:] == again[1:]


def test_an_update_says_what_judging_a_batch_says(of_days: Forecast) -> None:
    values, times = daily(1, seed=5)
    values[50] += 4.0
    state, p_values, scores = of_days.first_state(), [], []

    for value, time in zip(values[:, 0], times + 7 * DAY, strict=True):
        update = of_days.update(state, time, value)
        state = update.state
        p_values.append(update.p)
        scores.append(update.score)

    judged = of_days.judge(values, times=times + 7 * DAY)
    assert p_values == judged.p_values.tolist()
    assert scores == judged.scores.tolist()


def test_profiles_judged_in_one_call_give_what_each_gives_alone(
    of_days: Forecast, of_noise: Forecast
) -> None:
    values, times = daily(1, seed=6)
    models, counts = [of_days, of_noise, of_days], np.array([40, 0, 56])
    states = [model.first_state() for model in models]
    out = np.empty((96, layout.COLUMNS))

    points.run_many(
        np.array([model.block_.ctypes.data for model in models]),
        np.array([state.ctypes.data for state in states]),
        counts,
        times + 7 * DAY,
        values[:, 0].copy(),
        out,
    )

    ends = np.cumsum(counts)
    for model, state, end, count in zip(models, states, ends, counts, strict=True):
        if count == 0:
            assert state.tobytes() == model.first_state().tobytes()
            continue
        own = slice(end - count, end)
        alone = model.judge(values[own], times=times[own] + 7 * DAY)
        assert out[own].tobytes() == alone.columns.tobytes()
        assert state.tobytes() == alone.state.tobytes()


@pytest.mark.parametrize("size", [0, 1, STATE_BYTES - 1, STATE_BYTES + 1])
def test_bytes_that_are_no_state_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes: expected {STATE_BYTES}"):
        from_bytes(bytes(size))


@pytest.mark.parametrize(
    ("name", "value"), [("tick", 32.0), ("tick", -1.0), ("probe", np.nan), ("points", 0.5)]
)
def test_a_state_whose_counts_are_none_is_refused(
    of_noise: Forecast, name: str, value: float
) -> None:
    state = of_noise.first_state()
    state[name] = value

    with pytest.raises(ValueError, match=f"{name} is"):
        from_bytes(to_bytes(state))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_state_that_is_accepted_reads_beyond_the_model(of_days: Forecast, seed: int) -> None:
    random = np.random.default_rng(seed)
    state = np.frombuffer(random.bytes(STATE_BYTES), layout.STATE).copy()
    for name in ("points", "since_gap", "equal", "late", "probe"):
        state[name] = random.integers(0, 10 ** random.integers(1, 15))
    state["tick"] = random.integers(0, layout.TICKS)
    values, times = daily(1)

    judged = of_days.judge(values, times=times, state=from_bytes(to_bytes(state)))

    assert judged.p_values.shape == (PER_DAY,)
    assert not (judged.p_values > 1.0).any()


@pytest.mark.parametrize("at", [layout.LAG, layout.BUCKETS, layout.LIBRARY, layout.PERIOD])
@pytest.mark.parametrize("value", [-1.0, 0.0, 0.5, 1e9, np.nan])
def test_a_pickled_model_that_does_not_fit_its_head_is_refused(
    of_days: Forecast, at: int, value: float
) -> None:
    broken = clone(of_days)
    broken.__dict__ |= of_days.__dict__
    broken.block_ = of_days.block_.copy()
    broken.block_[at : at + 1].view(np.float64)[:] = value
    buffer = io.BytesIO()
    joblib.dump(broken, buffer)
    buffer.seek(0)

    if at == layout.PERIOD and value > 0.0:
        assert joblib.load(buffer).judge(plain(3)).p_values.shape == (3,)
    else:
        with pytest.raises(ValueError, match="does not fit its head"):
            joblib.load(buffer)


def test_recent_surprise_is_forgotten_by_half_in_its_half_life(of_noise: Forecast) -> None:
    judged = of_noise.judge(plain(20_000, seed=7))

    state = judged.state[0]
    assert (state["surprise"].sum(axis=1) == state["total"]).all()
    ticked = 2.0 ** (int(state["tick"]) / layout.HALVES)
    counted = state["total"] / layout.UNITS / ticked
    assert counted == pytest.approx(1.0 / (1.0 - 2.0 ** (-1.0 / layout.HALVES)), rel=0.02)


def test_counts_of_surprise_never_overflow_if_every_point_is_alike() -> None:
    model = Forecast().fit(np.full((100, 1), 5.0))

    state = model.judge(np.full((20_000, 1), 5.0)).state[0]

    assert (state["surprise"].sum(axis=1) == state["total"]).all()


def test_a_new_model_goes_on_with_the_state_of_the_old_one() -> None:
    values, times = daily(14)
    old = Forecast().fit(values[:672], times=times[:672])
    new = Forecast().fit(values[336:1344] * 1.0, times=times[336:1344])
    behind = old.judge(values[672:1000], times=times[672:1000]).state

    carried = new.adopt(behind)

    centre, scale = (new.head[at] for at in (layout.MEDIAN, layout.SCALE))
    place = int(carried["points"][0]) - 1
    ring = carried["ring"][0].astype(np.float64)
    lately = [ring[(place - back) % layout.RING] for back in range(20)]
    assert centre + scale * np.array(lately) == pytest.approx(values[999:979:-1, 0], abs=0.02)
    assert carried["surprise"].tobytes() == behind["surprise"].tobytes()
    after = new.judge(values[1000:1100], times=times[1000:1100], state=carried)
    assert np.isfinite(after.expected).all()
    assert np.mean(after.p_values < 0.01) <= 0.05


# --- Time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (1.7e9, "seconds"),
        (1.7e12, "milliseconds"),
        (1.7e15, "microseconds"),
        (1.7e18, "nanoseconds"),
        (0.0, None),
        (5e7, None),
        (-1.7e9, None),
    ],
)
def test_the_unit_of_times_is_guessed_from_their_size(time: float, unit: str | None) -> None:
    assert unit_of(np.array([time, time + 1.0])) == unit


def test_times_of_two_units_have_none() -> None:
    assert unit_of(np.array([1.7e9, 1.7e12])) is None
    assert unit_of(np.empty(0)) is None


@pytest.mark.parametrize("unit", [1.0, 1e3, 1e6])
def test_a_unit_changes_nothing_that_is_told(unit: float) -> None:
    values, times = daily(5, seed=8)

    told = [
        Forecast().fit(values[:400], times=at[:400]).judge(values[400:], times=at[400:]).p_values
        for at in (times, times * unit)
    ]

    assert told[1] == pytest.approx(told[0], rel=1e-6)


def test_behind_a_gap_nothing_is_foretold_until_nine_points_are_known(of_days: Forecast) -> None:
    values, times = daily(1, seed=9)
    later = times + 7 * DAY + np.where(np.arange(PER_DAY) >= 40, 6 * STEP, 0.0)

    judged = of_days.judge(values, times=later)

    assert np.flatnonzero(np.isnan(judged.expected)).tolist() == list(range(40, 49))
    assert np.isfinite(judged.p_values).all()


@pytest.mark.parametrize("back", [0.0, STEP, 5 * DAY])
def test_a_late_or_repeated_point_leaves_the_forecast_as_it_is(
    of_days: Forecast, back: float
) -> None:
    state = of_days.first_state()
    last = float(state["last_time"][0])

    update = of_days.update(state, last - back, 500.0)

    changed = [
        name for name in layout.STATE.names or () if (update.state[name] != state[name]).any()
    ]
    assert changed == ["late"]
    assert update.score < np.log(0.01)
    assert np.isnan(update.band).all()


def test_a_clock_that_is_set_back_is_followed_after_twenty_points(of_days: Forecast) -> None:
    values, times = daily(1, seed=10)

    judged = of_days.judge(values, times=times)

    assert np.flatnonzero(np.isfinite(judged.expected)).tolist() == list(range(29, 96))


def test_irregular_times_are_forecast_by_their_own_phase() -> None:
    random = np.random.default_rng(11)
    times = START + np.cumsum(random.exponential(STEP, 2000) + 1.0)
    values = 10.0 + 3.0 * np.sin(2.0 * np.pi * times / DAY) + 0.2 * random.normal(size=2000)

    model = Forecast().fit(values[:1000, None], times=times[:1000])
    judged = model.judge(values[1000:, None], times=times[1000:])

    error = np.abs(values[1000:] - judged.expected)
    assert np.nanmedian(error) < 0.5
    assert np.mean(judged.p_values < 0.01) < 0.03


def test_a_day_is_found_by_the_clock_and_another_period_by_autocorrelation() -> None:
    values, times = daily(4, seed=12)
    wave = np.sin(2.0 * np.pi * np.arange(400) / 50.0)

    by_clock = find_season(values[:, 0] - 10.0, times, STEP, 1.0)
    by_itself = find_season(wave, np.arange(400.0), 1.0, 0.0)

    assert by_clock.period == DAY
    assert by_clock.table.size == PER_DAY
    assert by_itself.period == 50.0
    assert by_itself.table[12] == pytest.approx(1.0, abs=0.02)


def test_noise_has_no_season() -> None:
    season = find_season(plain(500, seed=13)[:, 0], np.arange(500.0), 1.0, 0.0)

    assert season.period == 0.0
    assert season.table.size == 0
