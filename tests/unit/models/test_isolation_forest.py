"""The compiled isolation forest answers as scikit-learn's does."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.ensemble import IsolationForest as Reference
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from models import IsolationForest
from models.detectors.sklearn_import import round_down

Floats = np.ndarray


def samples_with_gaps(
    seed: int, rows: int, width: int, absent: float, *, rounded: bool = False
) -> Floats:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, width)) * 10.0 ** random.integers(-6, 7, width)
    X = np.round(X, 1) if rounded else X
    X[random.random(X.shape) < absent] = np.nan
    return X


def test_passes_the_checks_of_scikit_learn() -> None:
    check_estimator(IsolationForest(n_estimators=10))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(2, 300),
    width=st.integers(1, 20),
    absent=st.sampled_from([0.0, 0.0, 0.1, 0.5]),
    rounded=st.booleans(),
    max_features=st.sampled_from([1.0, 0.5, 1]),
    bootstrap=st.booleans(),
)
def test_an_imported_forest_scores_as_the_original(
    seed: int,
    rows: int,
    width: int,
    absent: float,
    rounded: bool,
    max_features: float,
    bootstrap: bool,
) -> None:
    X = samples_with_gaps(seed, rows, width, absent, rounded=rounded)
    original = Reference(
        n_estimators=5, max_features=max_features, bootstrap=bootstrap, random_state=seed
    ).fit(X)
    judged = np.concatenate([X, samples_with_gaps(seed + 1, 40, width, absent)])

    imported = IsolationForest.from_sklearn(original)

    assert abs(imported.score_samples(judged) - original.score_samples(judged)).max() <= 1e-9
    assert np.array_equal(imported.predict(judged), original.predict(judged))


def test_an_imported_forest_compares_at_the_thresholds_as_the_original() -> None:
    X = samples_with_gaps(0, 100, 3, 0.0)
    original = Reference(n_estimators=20, random_state=0).fit(X)
    thresholds = np.concatenate([tree.tree_.threshold for tree in original.estimators_])
    near = thresholds.astype(np.float32)
    near = np.concatenate([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
    judged = np.repeat(near[:, None].astype(np.float64), 3, axis=1)

    imported = IsolationForest.from_sklearn(original)

    assert abs(imported.score_samples(judged) - original.score_samples(judged)).max() <= 1e-9


def test_a_forest_with_large_trees_is_imported_with_wide_nodes() -> None:
    X = np.random.default_rng(0).normal(size=(40_000, 2))
    X[::7, 0] = np.nan
    original = Reference(n_estimators=2, max_samples=1.0, random_state=0).fit(X)
    assert max(tree.tree_.node_count for tree in original.estimators_) < 2**16
    deep = Reference(n_estimators=1, max_samples=1.0, random_state=0).fit(np.tile(X, (3, 1)) ** 3)

    narrow, wide = IsolationForest.from_sklearn(original), IsolationForest.from_sklearn(deep)

    assert abs(narrow.score_samples(X[:200]) - original.score_samples(X[:200])).max() <= 1e-9
    assert abs(wide.score_samples(X[:200]) - deep.score_samples(X[:200])).max() <= 1e-9


def test_a_forest_of_very_many_features_gets_wide_nodes_and_scores() -> None:
    X = np.random.default_rng(0).normal(size=(8, 2**15 + 10))
    original = Reference(n_estimators=3, random_state=0).fit(X)

    imported = IsolationForest.from_sklearn(original)
    grown = IsolationForest(n_estimators=3, random_state=0).fit(X)

    assert abs(imported.score_samples(X) - original.score_samples(X)).max() <= 1e-9
    assert np.all((grown.score_samples(X) > -1.0) & (grown.score_samples(X) < 0.0))


def test_only_a_fitted_forest_is_imported() -> None:
    with pytest.raises(NotFittedError):
        IsolationForest.from_sklearn(Reference())


@given(st.floats(min_value=-1e38, max_value=1e38))
def test_thresholds_round_down_to_the_nearest_float32(threshold: float) -> None:
    rounded = round_down(np.array([threshold]))[0]

    assert float(rounded) <= threshold < float(np.nextafter(rounded, np.float32(np.inf)))


def test_own_forests_agree_with_the_originals_as_two_of_these_do() -> None:
    X = np.random.default_rng(3).normal(size=(200, 17))
    judged = np.random.default_rng(4).normal(size=(300, 17)) * 1.3
    theirs = [Reference(random_state=s).fit(X).score_samples(judged) for s in range(6)]
    ours = [IsolationForest(random_state=s).fit(X).score_samples(judged) for s in range(6)]

    among_theirs = [np.corrcoef(a, b)[0, 1] for a, b in pairwise(theirs)]
    between = [np.corrcoef(a, b)[0, 1] for a, b in zip(theirs, ours, strict=True)]

    assert np.mean(between) > np.mean(among_theirs) - 0.01


def test_scores_of_own_forests_are_distributed_as_the_originals() -> None:
    X = np.random.default_rng(5).normal(size=(128, 6)) ** 3
    rows = np.array([[0.5, -2.0, 0.0, 9.0, 1.0, 0.1], [0.0, 0.1, 0.0, 0.2, 0.0, -0.1]])
    theirs, ours = (
        np.array(
            [forest(n_estimators=20, random_state=s).fit(X).score_samples(rows) for s in seeds]
        )
        for forest, seeds in ((Reference, range(80)), (IsolationForest, range(400)))
    )

    p_values = [stats.ks_2samp(theirs[:, row], ours[:, row]).pvalue for row in range(2)]

    assert min(p_values) > 0.001


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    X = samples_with_gaps(7, 150, 5, 0.1)

    first, second = (IsolationForest(random_state=11).fit(X) for _ in range(2))
    other = IsolationForest(random_state=12).fit(X)

    assert np.array_equal(first.block_, second.block_)
    assert first.score_samples(X).tobytes() == second.score_samples(X).tobytes()
    assert not np.array_equal(first.score_samples(X), other.score_samples(X))


def test_a_row_without_a_feature_scores_the_mean_over_both_sides_of_its_splits() -> None:
    X = np.array([[0.0], [1.0], [1.0], [1.0]])
    forest = IsolationForest(n_estimators=50, max_samples=4, random_state=0).fit(X)
    outer, inner = forest.score_samples(np.array([[0.0], [1.0]]))
    depth = np.log2(-outer) * 0.25 + np.log2(-inner) * 0.75

    absent = forest.score_samples(np.array([[np.nan]]))[0]

    assert absent == pytest.approx(-(2.0**depth), abs=1e-12)


def test_absent_values_are_not_imputed() -> None:
    X = np.random.default_rng(0).normal(size=(200, 4)) + 100.0
    forest = IsolationForest(random_state=0).fit(X)
    row = X[:50].copy()
    row[:, 0] = np.nan
    zeros = np.nan_to_num(row)

    absent, imputed = forest.score_samples(row), forest.score_samples(zeros)

    assert abs(absent.mean() - forest.score_samples(X[:50]).mean()) < 0.02
    assert imputed.mean() < absent.mean() - 0.02


def test_contamination_sets_the_share_of_training_outliers() -> None:
    X = samples_with_gaps(9, 400, 5, 0.0)

    forest = IsolationForest(contamination=0.1, random_state=0).fit(X)

    assert np.mean(forest.predict(X) == -1) == pytest.approx(0.1, abs=0.005)
    assert IsolationForest(random_state=0).fit(X).offset_ == -0.5


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_estimators": 0},
        {"max_samples": 0},
        {"max_samples": 1.5},
        {"max_samples": "all"},
        {"max_features": 0.0},
        {"contamination": 0.7},
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"expected|neither"):
        IsolationForest(**parameters).fit(np.zeros((4, 2)))


def test_a_packed_forest_of_200_by_17_takes_at_most_96_kilobytes() -> None:
    X = np.random.default_rng(0).normal(size=(200, 17))

    assert IsolationForest(random_state=0).fit(X).nbytes <= 96 * 1024
