"""What a forecast learns from where the metric was another one, or a model missed anomalies."""

from __future__ import annotations

import numpy as np
import pytest

from models.detectors.forecast import Forecast
from models.detectors.forecast.regime import missed_from, regime_start
from models.kernels.forecast import layout

Floats = np.ndarray
FIRST_UNHEARD = int(layout.UNHEARD / layout.BIN_WIDTH)


def noise(size: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=size)


def standing_still(seed: int, share: float = 1.0) -> Floats:
    """200 values, of which a share are equal and the others noise."""
    return np.where(np.random.default_rng(seed).random(200) < share, 0.0, noise(200, seed + 1))


@pytest.mark.parametrize("share", [1.0, 0.95, 0.9])
def test_a_metric_that_hardly_varied_before_is_learnt_from_where_it_varies(share: float) -> None:
    still, varying = standing_still(0, share), noise(120, seed=2)
    values = np.concatenate([still, varying])
    begin = regime_start(values)

    model = Forecast().fit(values[:, None])
    alone = Forecast().fit(values[begin:, None], times=np.arange(begin, values.size))

    assert 190 <= begin <= 200
    assert model.block_.tobytes() == alone.block_.tobytes()


def test_what_varies_for_too_short_is_learnt_with_what_was_before() -> None:
    values = np.concatenate([standing_still(3), noise(99, seed=4)])

    assert regime_start(values) == 0


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(400),
        noise(400, seed=5),
        np.random.default_rng(6).poisson(0.3, size=400).astype(float),
        np.where(np.arange(600) % 250 < 110, 0.0, noise(600, seed=7)),
        np.repeat([0.0, 1.0], 200),
    ],
    ids=["constant", "noise", "counts", "nights", "another constant"],
)
def test_a_metric_that_stands_still_now_and_then_has_one_regime(values: Floats) -> None:
    assert regime_start(values) == 0


def test_one_gross_value_among_accepted_points_is_taken_for_a_missed_anomaly() -> None:
    values = noise(400, seed=8)
    values[250] = 10.0
    asked = np.append(noise(60, seed=9), 9.5)[:, None]

    accepted, original = (
        Forecast().fit(values[:, None], accepted=share).score_samples(asked)[-1]
        for share in (1.0, 0.0)
    )

    assert accepted < -layout.UNHEARD < original


def test_errors_are_missed_anomalies_if_they_are_few_and_far_apart_from_all_others() -> None:
    usual = np.abs(noise(400, seed=10))

    assert missed_from(usual, 0.02) == np.inf
    assert missed_from(np.append(usual, [9.0, 9.5, np.nan]), 0.02) == 9.0
    assert missed_from(np.append(usual, np.linspace(9.0, 12.0, 40)), 0.02) == np.inf
    assert missed_from(np.append(usual, np.linspace(3.5, 12.0, 12)), 0.02) == np.inf


def test_a_new_version_forgets_errors_that_its_predecessor_had_never_heard_of() -> None:
    old, new = (Forecast().fit(size * noise(200, seed=11)[:, None]) for size in (1.0, 100.0))
    behind = old.judge(100.0 * noise(60, seed=12)[:, None]).state

    carried = new.adopt(behind)

    error = layout.ERROR
    assert behind["surprise"][0, error, FIRST_UNHEARD:].any()
    assert not carried["surprise"][0, error, FIRST_UNHEARD:].any()
    assert (
        carried["surprise"][0, :, :FIRST_UNHEARD].tobytes()
        == behind["surprise"][0, :, :FIRST_UNHEARD].tobytes()
    )
    assert (carried["total"][0] == carried["surprise"][0].sum(axis=1)).all()
