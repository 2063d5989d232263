"""What every detector keeps to, and that each scores by its own definition."""

import io
import warnings
from collections.abc import Callable

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.utils.estimator_checks import check_estimator

from models import DETECTORS, Blend, Detector, Deviation, Forest, Gaussian, Neighbors, make
from models.detectors.robust_scaling import CONSTANT, NOISE, robust

Floats = np.ndarray

MAD = 1.482602218505602
ALL_PARTS = ("forest", "deviation", "neighbors", "clipped", "recent", "whitened")
EVERY = {
    **{name: lambda name=name: make(name) for name in DETECTORS},
    "every part": lambda: Blend(tuple((part, 1.0) for part in ALL_PARTS), n_estimators=10),
    "clipped": lambda: Neighbors(clip=3.0),
    "whitened": lambda: Neighbors(soft=1.0, recency=1.0, whitened=True),
}
every_detector = pytest.mark.parametrize("new", EVERY.values(), ids=EVERY.keys())


def normal(seed: int, rows: int, width: int, absent: float = 0.0) -> Floats:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, width)) @ (np.eye(width) + 0.3) + 50.0
    X[random.random(X.shape) < absent] = np.nan
    return X


# A budget of 1 % of 300 training samples is below what the samples themselves reach in sample,
# and the checks want both answers among them.
@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS.keys())
def test_passes_the_checks_of_scikit_learn(detector: type[Detector]) -> None:
    check_estimator(detector(alert_budget=0.1))


@every_detector
def test_normal_is_normal_and_ten_deviations_in_all_features_are_not(
    new: Callable[[], Detector],
) -> None:
    detector = new().fit(normal(0, 200, 5))
    usual = normal(1, 200, 5)

    assert np.mean(detector.predict(usual) == -1) < 0.06
    if not isinstance(detector, Forest):
        assert (detector.predict(usual + 10.0 * usual.std(axis=0)) == -1).all()


@every_detector
@settings(max_examples=40, deadline=None)
@given(
    X=hnp.arrays(
        np.float64,
        st.tuples(st.integers(3, 12), st.just(3)),
        elements=st.one_of(
            st.sampled_from([0.0, 1.0, 1.0, np.nan, 1e100, -1e100, 1e-300, 1.7e308]),
            st.floats(-1e3, 1e3),
        ),
    )
)
def test_any_samples_are_learnt_and_scored_without_infinities_or_warnings(
    new: Callable[[], Detector], X: Floats
) -> None:
    seen = ~np.isnan(X).all(axis=0)
    judged = np.vstack([X, [[np.nan] * 3, [5.0, np.nan, np.nan], [1.7e308, -1.7e308, 0.0]]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector = new().fit(X)
        scores = detector.score_samples(judged)
        shares = detector.contributions(judged)
        detector.blocked_scores(X)

    evidence = ~np.isnan(judged[:, seen]).all(axis=1) if seen.any() else np.zeros(len(judged), bool)
    assert not np.isinf(scores).any()
    assert np.isnan(scores[~evidence]).all()
    assert np.allclose(shares.sum(axis=1), np.where(evidence, 1.0, 0.0))
    assert (shares >= 0.0).all()


@every_detector
def test_fitting_twice_gives_equal_bits(new: Callable[[], Detector]) -> None:
    X = normal(2, 120, 4, absent=0.1)

    first, second = new().fit(X), new().fit(X)

    assert first.block_.tobytes() == second.block_.tobytes()
    assert first.score_samples(X).tobytes() == second.score_samples(X).tobytes()


@pytest.mark.parametrize("absent", [0.0, 0.1])
@every_detector
def test_a_row_scores_the_same_alone_and_among_others(
    new: Callable[[], Detector], absent: float
) -> None:
    detector = new().fit(normal(3, 61, 6, absent=absent))
    rows = normal(4, 400, 6, absent=absent / 2)

    together = detector.score_samples(rows)
    alone = np.array([detector.score_samples(row[None, :])[0] for row in rows])

    assert together.tobytes() == alone.tobytes()


@every_detector
def test_a_fitted_detector_survives_joblib(new: Callable[[], Detector]) -> None:
    X = normal(5, 40, 3)
    detector = new().fit(X)
    buffer = io.BytesIO()

    joblib.dump(detector, buffer)
    buffer.seek(0)
    restored = joblib.load(buffer)

    assert restored.score_samples(X).tobytes() == detector.score_samples(X).tobytes()
    assert restored.nbytes == detector.nbytes == detector.block_.nbytes


@every_detector
def test_units_lie_between_0_and_1_and_fall_with_the_score(new: Callable[[], Detector]) -> None:
    detector = new().fit(normal(6, 60, 3))
    scores = np.unique(detector.score_samples(normal(7, 200, 3) * 1.5))

    units = detector.unit(scores)

    assert ((units >= 0.0) & (units <= 1.0)).all()
    assert (np.diff(units) < 0.0).all()


@every_detector
def test_a_constant_feature_does_not_drown_the_others(new: Callable[[], Detector]) -> None:
    X = normal(8, 100, 3)
    X[:, 1] = 7.0

    detector = new().fit(X)
    same, other = detector.score_samples(np.array([[50.0, 7.0, 50.0], [50.0, 8.0, 50.0]]))

    assert np.isfinite(other)
    if not isinstance(detector, Forest):
        assert other < same


def test_deviation_is_the_mean_of_capped_robust_deviations() -> None:
    X, judged = normal(9, 31, 4, absent=0.1), normal(10, 20, 4, absent=0.1) * 1.2
    centre = np.nanmedian(X, axis=0)
    scale = MAD * np.nanmedian(abs(X - centre), axis=0)

    scores = Deviation(cap=2.0).fit(X).score_samples(judged)

    expected = np.nanmean(np.minimum(abs(judged - centre) / scale, 2.0), axis=1)
    assert scores == pytest.approx(-expected, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    X=hnp.arrays(
        np.float64,
        st.tuples(st.integers(4, 15), st.integers(1, 3)),
        elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-9, 9), st.just(np.nan)),
    )
)
def test_left_out_deviations_are_those_of_a_detector_fitted_without_the_sample(X: Floats) -> None:
    expected = [
        Deviation().fit(np.delete(X, row, axis=0)).score_samples(X[row : row + 1])[0]
        for row in range(X.shape[0])
    ]

    left_out = Deviation()._fit(X)

    assert left_out == pytest.approx(np.array(expected), rel=1e-6, abs=1e-6, nan_ok=True)


def test_gaussian_is_the_largest_distance_in_deviations_of_prediction() -> None:
    X, judged = normal(11, 30, 3), normal(12, 20, 3)
    width = X.std(axis=0, ddof=1) * np.sqrt(1.0 + 1.0 / 30.0)

    scores = Gaussian().fit(X).score_samples(judged)

    assert scores == pytest.approx(-(abs(judged - X.mean(axis=0)) / width).max(axis=1))


def test_left_out_gaussian_scores_are_those_of_a_detector_fitted_without_the_sample() -> None:
    X = normal(13, 25, 3, absent=0.1)
    expected = [
        Gaussian().fit(np.delete(X, row, axis=0)).score_samples(X[row : row + 1])[0]
        for row in range(25)
    ]

    assert Gaussian()._fit(X) == pytest.approx(np.array(expected), rel=1e-9)


def robustly_scaled(X: Floats, by: Floats) -> Floats:
    centre = np.nanmedian(by, axis=0)
    return (X - centre) / (MAD * np.nanmedian(abs(by - centre), axis=0))


def kept(scaled: Floats) -> Floats:
    """As neighbours keep samples, and see rows: sixteenths in half precision."""
    return (scaled / 16).astype(np.float16).astype(np.float64) * 16


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("absent", [0.0, 0.2])
def test_neighbors_is_the_mean_distance_to_the_nearest(clip: float | None, absent: float) -> None:
    X, judged = normal(14, 40, 5, absent), normal(15, 20, 5, absent)
    bound = np.inf if clip is None else clip
    known = kept(np.clip(robustly_scaled(X, X), -bound, bound))
    rows = kept(np.clip(robustly_scaled(judged, X), -bound, bound))
    gaps = abs(rows[:, None, :] - known[None, :, :])
    shared = (~np.isnan(gaps)).sum(axis=2)
    enough = 2 * shared >= (~np.isnan(rows)).sum(axis=1)[:, None]
    distances = np.where(enough, np.nansum(gaps, axis=2) / np.maximum(shared, 1), np.inf)

    scores = Neighbors(n_neighbors=3, clip=clip).fit(X).score_samples(judged)

    assert scores == pytest.approx(-np.sort(distances, axis=1)[:, :3].mean(axis=1), rel=1e-5)


@pytest.mark.parametrize("wanted", [4, 5])
@pytest.mark.parametrize("recency", [0.0, 1.0])
@pytest.mark.parametrize(("rows", "every"), [(30, 1), (31, 1), (32, 3), (33, 40)])
def test_left_out_neighbors_are_the_other_samples(
    wanted: int, recency: float, rows: int, every: int
) -> None:
    X = normal(16, rows, 6)
    scaled, places = kept(robustly_scaled(X, X)), np.arange(rows)
    distances = abs(scaled[:, None, :] - scaled[None, :, :]).mean(axis=2)
    # Each is judged as if it came after all others: those behind it are the oldest.
    ages = (places[:, None] - places[None, :] - 1) % rows
    distances *= 1.0 + recency * ages / rows
    np.fill_diagonal(distances, np.inf)
    expected = -np.sort(distances, axis=1)[:, :wanted].mean(axis=1)
    asked = (rows - 1 - places) % every == 0

    left_out = Neighbors(n_neighbors=wanted, recency=recency)._fit(X, every)

    assert left_out[asked] == pytest.approx(expected[asked], rel=1e-5)
    assert np.isnan(left_out[~asked]).all()


@pytest.mark.parametrize("rows", [1, 2, 5, 6])
def test_few_samples_have_fewer_neighbors(rows: int) -> None:
    X = np.arange(float(rows))[:, None] ** 2
    centre = np.median(X)
    scale = MAD * np.median(abs(X - centre)) or np.sqrt(np.mean((X - centre) ** 2)) or 1.0
    z = kept((X - centre) / scale)

    left_out = Neighbors(n_neighbors=5)._fit(X)

    for row in range(rows):
        others = np.sort(abs(np.delete(z, row) - z[row]))[:5]
        expected = -others.mean() if others.size else np.nan
        assert left_out[row] == pytest.approx(expected, rel=1e-5, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)), min_size=1, max_size=30
    )
)
def test_scales_are_medians_of_absolute_deviations(values: list[float]) -> None:
    X = np.array(values)[:, None]
    centre = np.median(X)
    mad = MAD * np.median(abs(X - centre))
    floor = NOISE * max(abs(centre), NOISE)
    spread = np.sqrt(np.mean((X - centre) ** 2))
    scale = mad if mad > floor else spread if spread > floor else 0.0

    scaling = robust(X).scaling

    assert scaling.centre[0] == pytest.approx(centre)
    if scale:
        assert 1.0 / scaling.inverse[0] == pytest.approx(scale, rel=1e-9)
    else:
        assert scaling.limit[0] == CONSTANT


def test_recency_makes_the_old_samples_count_as_further_away() -> None:
    X = np.repeat([[0.0], [1.0], [2.0]], 10, axis=0)

    plain = Neighbors().fit(X).score_samples(np.array([[-1.0], [3.0]]))
    recent = Neighbors(recency=1.0).fit(X).score_samples(np.array([[-1.0], [3.0]]))

    assert plain[0] == pytest.approx(plain[1])
    assert recent[0] < recent[1] < 0.0


def test_a_soft_bound_keeps_the_order_of_wild_values_and_clip_does_not() -> None:
    X = normal(17, 50, 1)
    wild = np.array([[1e4], [1e6]])

    soft = Neighbors(soft=1.0).fit(X).score_samples(wild)
    clipped = Neighbors(clip=1.0).fit(X).score_samples(wild)

    assert soft[1] < soft[0]
    assert clipped[1] == clipped[0]


def test_whitening_sees_what_breaks_a_correlation() -> None:
    random = np.random.default_rng(18)
    common = random.normal(size=(300, 1))
    X = common + 0.05 * random.normal(size=(300, 2))
    along, against = np.array([[2.0, 2.0]]), np.array([[2.0, -2.0]])

    whitened = Neighbors(whitened=True).fit(X)

    assert whitened.score_samples(against)[0] < 5.0 * whitened.score_samples(along)[0]


def test_whitened_neighbors_say_nothing_of_a_row_that_lacks_what_they_compare() -> None:
    X = normal(19, 50, 3)
    detector = Neighbors(whitened=True).fit(X)
    blend = Blend((("whitened", 1.0), ("recent", 1.0))).fit(X)
    row = np.array([[50.0, np.nan, 50.0]])

    assert np.isnan(detector.score_samples(row)[0])
    assert np.isfinite(blend.score_samples(row)[0])


def test_a_blend_is_the_weighted_mean_of_its_standardised_parts() -> None:
    X, judged = normal(20, 80, 4), normal(21, 10, 4)
    parts = [(Deviation(), 1.0), (Neighbors(), 0.5), (Neighbors(clip=3.0), 2.0), (Forest(), 0.5)]
    total = np.zeros(10)
    for part, weight in parts:
        own = part._fit(X)
        part.fit(X)
        total += weight * (part.score_samples(judged) - own.mean()) / own.std()

    blend = Blend((("deviation", 1.0), ("neighbors", 0.5), ("clipped", 2.0), ("forest", 0.5)))

    assert blend.fit(X).score_samples(judged) == pytest.approx(total / 4.0, rel=1e-9)


@pytest.mark.parametrize("parts", [(), (("nearest", 1.0),), (("forest", 0.0),)])
def test_a_blend_of_nothing_known_is_refused(parts: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"expected names|unknown"):
        Blend(parts).fit(np.zeros((5, 2)))


def test_two_bounds_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="one of them"):
        Neighbors(clip=1.0, soft=1.0).fit(np.zeros((5, 2)))


@every_detector
def test_blocked_scores_are_those_of_detectors_fitted_without_the_block(
    new: Callable[[], Detector],
) -> None:
    X = normal(22, 20, 3)

    blocked = new().blocked_scores(X, folds=4)

    expected = np.concatenate(
        [
            new().fit(np.delete(X, block, axis=0)).score_samples(X[block])
            for block in np.array_split(np.arange(20), 4)
        ]
    )
    assert blocked.tobytes() == expected.tobytes()


def test_make_passes_budget_and_seed_on() -> None:
    detector = make("forest", alert_budget=0.05, seed=7)

    assert (detector.alert_budget, detector.random_state) == (0.05, 7)


def test_make_names_the_detectors_it_knows() -> None:
    with pytest.raises(ValueError, match="blend, deviation, forest, gaussian, neighbors"):
        make("oracle")
