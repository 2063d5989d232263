"""Features that never vary are named."""

import numpy as np
import pytest

from models.learning.data_quality import constant_features

NAN = np.nan


@pytest.mark.parametrize(
    ("column", "constant"),
    [
        ([1.0, 1.0, 1.0], True),
        ([1.0, 1.0, 2.0], False),
        ([1.0, NAN, 1.0], True),
        ([1.0, NAN, 2.0], False),
        ([NAN, NAN, NAN], True),
        ([NAN, NAN, 3.0], True),
        ([0.0, -0.0, 0.0], True),
    ],
)
def test_a_feature_is_constant_with_one_value_or_none(column, constant):
    samples = np.array([column, [1.0, 2.0, 3.0]]).T

    assert constant_features(samples, ("a", "b")) == (["a"] if constant else [])


def test_of_one_sample_every_feature_is_constant():
    assert constant_features(np.array([[1.0, NAN]]), ("a", "b")) == ["a", "b"]
