"""What the forecast detector finds and says, and that its kernels keep to definitions."""

from itertools import combinations

import numpy as np
import pytest

from models.detectors.forecast import Forecast
from models.detectors.forecast.training import calibrated
from models.kernels.forecast import layout, rarity
from models.kernels.forecast.weights import robust_ridge

Floats = np.ndarray

DAY = 86_400.0
START = 1_700_000_000.0
STEP = 900.0


def daily(first: int, size: int, seed: int, noise: float = 0.2) -> tuple[Floats, Floats]:
    times = START + STEP * np.arange(first, first + size)
    wave = 10.0 + 3.0 * np.sin(2.0 * np.pi * times / DAY)
    return (wave + noise * np.random.default_rng(seed).normal(size=size))[:, None], times


@pytest.fixture(scope="module")
def of_days() -> Forecast:
    values, times = daily(0, 672, 0)
    return Forecast().fit(values, times=times)


@pytest.fixture(scope="module")
def of_noise() -> Forecast:
    return Forecast().fit(np.random.default_rng(1).normal(size=(400, 1)))


@pytest.mark.parametrize("shapes", [True, False])
def test_later_normal_keeps_near_the_budget(shapes: bool) -> None:
    shares = []
    for seed in range(8):
        random = np.random.default_rng(seed)
        model = Forecast(shapes=shapes).fit(random.normal(size=(300, 1)))
        shares.append(np.mean(model.predict(random.normal(size=(1000, 1))) == -1))

    assert 0.004 <= np.mean(shares) <= 0.02


def test_a_spike_is_outside_the_band_of_the_forecast(of_days: Forecast) -> None:
    values, times = daily(672, 60, 2)
    state = of_days.judge(values, times=times).state

    usual = of_days.update(state, times[-1] + STEP, float(values[-1, 0]))
    spike = of_days.update(state, times[-1] + STEP, float(values[-1, 0]) + 4.0)

    assert usual.reasons == []
    assert usual.p > 0.01
    assert spike.p < 0.01
    assert spike.reasons[0].statistic == "error"
    assert spike.reasons[0].text == "outside the band of the forecast"
    low, high = spike.band
    assert low < values[-1, 0] < high < values[-1, 0] + 4.0
    assert sum(reason.share for reason in spike.reasons) <= 1.0 + 1e-9


def test_a_value_of_another_time_of_day_is_an_anomaly() -> None:
    values, times = daily(0, 672, 3)
    model = Forecast().fit(values, times=times)
    later, at = daily(672, 96, 4)
    noon = int(np.argmax(later))
    later[noon] = values.min()

    assert model.judge(later, times=at).p_values[noon] < 0.001


def test_the_band_holds_as_many_as_the_budget_says(of_days: Forecast) -> None:
    values, times = daily(672, 900, 5)

    judged = of_days.judge(values, times=times)

    outside = np.abs(values[:, 0] - judged.expected) > of_days.band_width() * judged.deviation
    assert 0.002 <= outside.mean() <= 0.03


@pytest.mark.parametrize("budget", [0.2, 0.01, 0.001])
def test_a_band_is_the_inverse_of_the_calibration(of_days: Forecast, budget: float) -> None:
    width = of_days.band_width(budget)

    content = of_days.block_.view(np.uint8)
    tail = tuple(content[layout.TAILS_AT :][:16].view(np.float32).tolist())
    at = of_days.block_.ctypes.data + layout.KNOTS_AT
    assert rarity.nats(width, tail, at) == pytest.approx(-np.log(budget), rel=1e-5)


def test_a_new_level_is_told_and_then_followed_while_its_score_stays_abnormal(
    of_days: Forecast,
) -> None:
    values, times = daily(672, 300, 6)

    judged = of_days.judge(values + 8.0, times=times)

    assert (judged.p_values[:5] < 0.01).any()
    assert np.mean(judged.p_values[100:] < 0.01) < 0.03


def test_a_lasting_shift_to_one_side_is_named_with_its_side(of_days: Forecast) -> None:
    values, times = daily(672, 120, 7)
    values[60:, 0] += np.linspace(0.0, 4.0, 60)
    state, told = of_days.first_state(), set()

    for value, time in zip(values[:, 0], times, strict=True):
        update = of_days.update(state, time, value)
        state = update.state
        told |= {reason.text for reason in update.reasons}

    assert "for about 12 points above the forecast" in told
    assert not any("below the forecast" in text for text in told)


def test_a_metric_that_stands_still_is_named_with_how_long(of_noise: Forecast) -> None:
    values = np.append(np.random.default_rng(8).normal(size=30), np.full(40, 0.3))
    state, told = of_noise.first_state(), []

    for at, value in enumerate(values, 400):
        update = of_noise.update(state, float(at), float(value))
        state = update.state
        told += [reason for reason in update.reasons if reason.statistic == "flat"]

    assert told
    assert told[0].text.startswith("has not changed for ")
    assert 4 < int(told[0].text.split()[-2]) < 30


def test_a_shape_that_was_never_seen_is_found_only_with_shapes() -> None:
    random = np.random.default_rng(9)
    wave = np.sin(2 * np.pi * np.arange(1500) / 40) + 0.5 * np.sin(6 * np.pi * np.arange(1500) / 40)
    values = (wave + 0.02 * random.normal(size=1500))[:, None]
    values[1300:1340] = values[1300:1340][::-1].copy()

    full, light = (
        Forecast(shapes=shapes).fit(values[:1000]).judge(values[1000:]) for shapes in (True, False)
    )

    odd = slice(300, 350)
    assert full.columns[odd, layout.VALUES + layout.CYCLE].max() > 3 * np.nanmax(
        full.columns[100:290, layout.VALUES + layout.CYCLE]
    )
    assert np.isnan(light.columns[:, layout.VALUES + layout.CYCLE]).all()


def test_contributions_sum_to_one_for_all_that_anything_speaks_against(of_noise: Forecast) -> None:
    asked = np.random.default_rng(10).normal(size=(200, 1)) * 3.0

    shares = of_noise.contributions(asked)

    total = shares.sum(axis=1)
    assert shares.shape == (200, layout.COUNT)
    assert (shares >= 0.0).all()
    assert (np.isclose(total, 1.0) | (total == 0.0)).all()
    assert np.isclose(total, 1.0).sum() > 150


# --- Definitions ---------------------------------------------------------------------------------


def test_statistics_are_those_of_a_plain_reading_of_their_definition(of_days: Forecast) -> None:
    values, times = daily(672, 200, 11)
    model, state = of_days.head, of_days.first_state()[0]
    z = np.clip((values[:, 0] - model[layout.MEDIAN]) / model[layout.SCALE], -50, 50)
    judged = of_days.judge(values, times=times).columns
    level, mean, size, spread = (
        float(state[name]) for name in ("level", "mean_error", "volatility", "spread")
    )
    expected = np.empty((200, 4))
    for at in range(200):
        error = values[at, 0] - judged[at, layout.EXPECTED]
        deviation = max(
            np.sqrt(0.5 * model[layout.LONG] ** 2 + 0.5 * spread**2), model[layout.FLOOR]
        )
        error /= model[layout.SCALE]
        spread += 0.05 * (np.sqrt(np.pi / 2) * min(abs(error), 4 * deviation) - spread)
        u = np.clip(error / deviation, -6, 6)
        mean += (u - mean) / 12
        size += (abs(u) - size) / 32
        expected[at] = abs(error) / deviation, abs(mean), abs(z[at] - level), size
        level += model[layout.RATE] * np.clip(z[at] - level, -3, 3)

    found = judged[:, layout.VALUES : layout.VALUES + 4]
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_shapes_are_the_mean_distance_to_three_windows_near_the_nearest() -> None:
    random = np.random.default_rng(12)
    values = random.normal(size=(60, 1))
    model = Forecast(library=40, seasonal=False).fit(values)
    head = model.head
    assert (head[layout.LAG], head[layout.LIBRARY]) == (2.0, 40.0)
    # The 60 points are too few to be compared with themselves: switched on by hand.
    head[layout.SHAPES] = 1.0
    asked = random.normal(size=(80, 1))
    library = model.block_.view(np.uint8)[layout.SEASON_AT :][:80].view(np.float16)
    windows = np.array([library[end - 30 : end + 1 : 2] for end in range(30, 39)], np.float64)
    windows -= windows.mean(axis=1, keepdims=True)
    kept = ((asked[:, 0] - head[layout.MEDIAN]) / head[layout.SCALE]).astype(np.float16)

    judged = model.judge(asked).columns[:, layout.VALUES + layout.CYCLE]

    ratios = []
    for at in range(40, 80):
        own = kept[at - 30 : at + 1 : 2].astype(np.float64)
        distances = np.abs(windows - own + own.mean()).mean(axis=1)
        threes = np.array([sum(three) / 3 for three in combinations(distances, 3)])
        assert np.abs(threes - judged[at]).min() < 1e-5
        ratios.append(judged[at] / np.sort(distances)[:3].mean())
    assert min(ratios) > 1.0 - 1e-5
    assert np.mean(ratios) < 1.25


def test_a_calibration_gives_ranks_among_its_values_and_a_tail_beyond() -> None:
    values = np.sort(np.random.default_rng(13).exponential(size=500))
    column = np.full((500, layout.COUNT), np.nan)
    column[:, 0] = values
    knots, tails = calibrated(column)
    kept = knots[0].astype(np.float32)
    tail = tuple(tails[0].astype(np.float32).tolist())

    found = np.array([rarity.nats(value, tail, kept.ctypes.data) for value in values])

    ranks = np.arange(500, 0, -1)
    assert np.exp(-found) == pytest.approx(ranks / 501, rel=0.1, abs=0.01)
    beyond = [rarity.nats(value, tail, kept.ctypes.data) for value in (*values[-1:], 10.0, 20.0)]
    assert beyond[0] == pytest.approx(np.log(501), rel=1e-3)
    assert beyond[0] < beyond[1] < beyond[2] <= layout.LARGEST
    assert (np.diff(found) >= 0.0).all()


def test_fewer_than_ten_values_calibrate_nothing() -> None:
    knots, tails = calibrated(np.ones((9, layout.COUNT)))

    assert not knots.any()
    assert not tails.any()
    assert rarity.nats(99.0, (9.0, 5.0, 1.0, 1.0), knots.ctypes.data) == 0.0


def test_weights_are_those_of_reweighted_ridge_regression() -> None:
    random = np.random.default_rng(14)
    features = random.normal(size=(200, layout.WEIGHTS)) * np.arange(1.0, 9.0)
    target = features @ np.linspace(-1.0, 1.0, 8) + random.standard_t(2, size=200)
    scaled = features / np.sqrt((features**2).mean(axis=0))
    trust = np.ones(200)
    for _ in range(4):
        gram = (scaled.T * trust) @ scaled + np.eye(8) * (4.0 * trust.mean() + 1e-9)
        expected = np.linalg.solve(gram, scaled.T @ (trust * target))
        wrong = np.abs(target - scaled @ expected)
        trust = np.minimum(1.0, 2.0 * 1.4826 * np.median(wrong) / wrong)
    errors = np.empty(200)

    found = robust_ridge(features, target, 4.0, errors)

    assert found == pytest.approx(expected / np.sqrt((features**2).mean(axis=0)))
    assert errors == pytest.approx(target - features @ found)
