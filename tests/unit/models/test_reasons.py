"""The reasons of a verdict name the feature that is to blame."""

from collections.abc import Callable

import numpy as np
import pytest

from models import Blend, Detector, Deviation, Forest, Gaussian, Neighbors

DETECTORS = {
    "blend": Blend,
    "forest": Forest,
    "gaussian": Gaussian,
    "deviation": Deviation,
    "neighbors": Neighbors,
    "clipped": lambda: Neighbors(clip=3.0),
    "whitened": lambda: Neighbors(whitened=True),
    "all parts": lambda: Blend((("forest", 1.0), ("deviation", 1.0), ("whitened", 1.0))),
}


@pytest.mark.parametrize("new", DETECTORS.values(), ids=DETECTORS.keys())
def test_a_planted_feature_comes_first_in_95_percent(new: Callable[[], Detector]) -> None:
    first = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        mixing = np.eye(17) + 0.3 * random.normal(size=(17, 17))
        X = random.normal(size=(200, 17)) @ mixing * np.exp(3.0 * random.normal(size=17))
        planted = random.integers(0, 17, 40)
        rows = X[random.integers(0, 200, 40)]
        sign = random.choice([-1.0, 1.0], 40)
        rows[np.arange(40), planted] = (X.mean(axis=0) + 8.0 * np.outer(sign, X.std(axis=0)))[
            np.arange(40), planted
        ]

        shares = new().fit(X).contributions(rows)

        first.append(shares.argmax(axis=1) == planted)

    assert np.mean(first) >= 0.95


def test_an_absent_feature_is_never_a_reason() -> None:
    X = np.random.default_rng(0).normal(size=(100, 4))
    rows = X[:20] * 5.0
    rows[:, 2] = np.nan

    for new in DETECTORS.values():
        shares = new().fit(X).contributions(rows)
        assert (shares[:, 2] == 0.0).all()


def test_typical_ranges_are_quantiles_of_the_training_samples() -> None:
    X = np.random.default_rng(1).normal(size=(57, 3))
    X[::5, 1] = np.nan
    X[:, 2] = np.nan

    low, high = Deviation().fit(X).typical_

    assert low[:2] == pytest.approx(np.nanquantile(X[:, :2], 0.05, axis=0))
    assert high[:2] == pytest.approx(np.nanquantile(X[:, :2], 0.95, axis=0))
    assert np.isnan(low[2])
