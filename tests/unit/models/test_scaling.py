"""Scaled units: what NumPy gives, bit by bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from models.detectors.base import typical_ranges
from models.kernels.block import HUGE, Scaling

values = st.floats(-1e300, 1e300) | st.just(np.nan)
samples = npst.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(3)), elements=values)
three = npst.arrays(np.float64, 3, elements=st.floats(-1e6, 1e6) | st.just(np.nan))
bounds = npst.arrays(np.float64, 3, elements=st.floats(0.0, 1e6))


@given(samples, three, three, bounds)
def test_samples_are_shifted_scaled_and_bounded(X, centre, inverse, limit):
    found = Scaling(centre, inverse, limit).apply(X)

    with np.errstate(over="ignore", invalid="ignore"):
        wanted = np.clip((np.clip(X, -HUGE, HUGE) - centre) * inverse, -limit, limit)
    assert np.array_equal(found, wanted, equal_nan=True)


@given(samples)
def test_typical_ranges_are_the_quantiles_of_what_is_there(X):
    # NumPy's own quantiles overflow where values are as far apart as these.
    X = np.clip(X, -1e150, 1e150)

    found = typical_ranges(X)

    for feature, column in enumerate(X.T):
        known = column[~np.isnan(column)]
        wanted = np.quantile(known, [0.05, 0.95]) if known.size else [np.nan, np.nan]
        np.testing.assert_allclose(found[:, feature], wanted, rtol=1e-9, atol=1e-9)
