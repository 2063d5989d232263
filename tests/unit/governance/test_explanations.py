"""Explanations: S4-63, S4-84 (SHAP), S4-85 (LIME), S4-86 (permutation), S4-87, S4-88 (global)."""

from time import perf_counter

import numpy as np
import pytest
import shap
from hypothesis import given, settings
from hypothesis import strategies as st

from models.detectors.blend import Blend
from models.explanation.importance import (
    agreement,
    permutation_importance,
    reasons_in_all,
    surrogate,
)
from models.explanation.lime import lime
from models.explanation.shapley import NothingToExplain, shapley
from models.explanation.single import abnormality, explain_sample, most_abnormal

NUMBERS = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 3))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def fitted() -> tuple[Blend, np.ndarray]:
    samples = rng(1).normal(size=(300, 12))
    return Blend().fit(samples), samples


def odd(features: int = 12) -> np.ndarray:
    x = rng(2).normal(size=features)
    x[3] = 8.0
    return x


def test_shapley_values_sum_to_what_the_sample_is_beyond_the_mean(
    fitted: tuple[Blend, np.ndarray],
) -> None:
    detector, samples = fitted
    found = shapley(abnormality(detector), odd(), samples, rng())

    assert found.values.sum() == pytest.approx(found.value - found.base_value, abs=1e-9)
    assert int(np.argmax(found.values)) == 3
    assert found.permutations <= 512
    assert found.errors.max() <= 0.01 * (found.value - found.base_value) or found.permutations > 300


@pytest.mark.parametrize("features", [4, 8])
def test_shapley_values_are_those_of_the_shap_package(features: int) -> None:
    samples = rng(1).normal(size=(80, features))
    detector = Blend().fit(samples)
    f = abnormality(detector)
    x = odd(features)
    masker = shap.maskers.Independent(samples, max_samples=80)

    theirs = shap.explainers.Exact(f, masker)(x[None, :])
    ours = shapley(f, x, samples, rng())

    assert ours.base_value == pytest.approx(float(theirs.base_values[0]), abs=1e-9)
    slack = 1e-9 + 6 * ours.errors
    assert (np.abs(ours.values - theirs.values[0]) <= slack).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(NUMBERS, min_size=4, max_size=4), st.integers(0, 2**16))
def test_a_feature_that_plays_no_part_has_no_value_and_twins_have_the_same(
    x: list[float], seed: int
) -> None:
    background = rng(seed).normal(size=(20, 4))
    background[:, 1] = background[:, 0]
    sample = np.array(x)
    sample[1] = sample[0]

    found = shapley(
        lambda r: np.abs(r[:, 0] + r[:, 1]) * (1 + r[:, 2] ** 2), sample, background, rng()
    )

    scale = 1e-9 * max(1.0, abs(found.value), abs(found.base_value))
    assert abs(found.values[3]) <= scale
    assert abs(found.values[0] - found.values[1]) <= scale
    assert found.values.sum() == pytest.approx(found.value - found.base_value, abs=scale)


def test_a_dummy_has_no_value_when_permutations_are_drawn() -> None:
    background = rng(3).normal(size=(30, 9))

    found = shapley(lambda r: r[:, 0] * r[:, 1] + r[:, 2], odd(9), background, rng())

    assert found.permutations > 0
    assert np.abs(found.values[3:]).max() == 0.0


def test_absent_features_have_no_part_and_all_absent_cannot_be_explained(
    fitted: tuple[Blend, np.ndarray],
) -> None:
    detector, samples = fitted
    x = odd()
    x[[0, 5]] = np.nan

    found = shapley(abnormality(detector), x, samples, rng())

    assert found.values[[0, 5]].tolist() == [0.0, 0.0]
    assert found.values.sum() == pytest.approx(found.value - found.base_value, abs=1e-9)
    with pytest.raises(NothingToExplain):
        shapley(abnormality(detector), np.full(12, np.nan), samples, rng())


def test_a_blends_verdict_is_explained_within_a_second(fitted: tuple[Blend, np.ndarray]) -> None:
    detector, samples = fitted
    names = [f"f{n}" for n in range(12)]
    explain_sample(detector, names, odd(), samples, "shap", generator=rng())

    began = perf_counter()
    told = explain_sample(detector, names, odd(), samples, "shap", generator=rng())
    took = perf_counter() - began

    assert took <= 1.0
    values = told["shap_values"]
    assert sum(values["values"].values()) == pytest.approx(
        values["value"] - values["base_value"], abs=1e-9
    )
    assert list(told["feature_importance"][0]) == ["f3"]
    assert len(told["feature_importance"]) == 10
    assert told["metadata"]["agreement"] > 0.3


def test_lime_of_a_linear_function_is_the_function_and_says_how_well_it_fits() -> None:
    weights = np.array([2.0, -1.0, 0.0, 0.5])
    training = rng(4).normal(size=(200, 4)) * 1e-3
    x = np.array([1.0, 1.0, 1.0, 1.0])

    local = lime(lambda rows: rows @ weights, x, training, rng())
    noise = lime(lambda rows: rng(5).normal(size=rows.shape[0]), x, training, rng())

    assert local.weights == pytest.approx(weights, abs=0.02)
    assert local.r2 > 0.99
    assert (local.trusted, noise.trusted) == (True, False)


def test_an_answer_says_that_a_linear_model_is_not_to_be_trusted() -> None:
    samples = rng(1).normal(size=(200, 30))
    detector = Blend().fit(samples)
    names = [f"f{n}" for n in range(30)]

    told = explain_sample(
        detector, names, samples[0], samples, "lime", generator=rng(), num_features=3
    )["lime_explanation"]

    assert ("warning" in told) == (told["r2"] < 0.5)
    assert told["trusted"] == (told["r2"] >= 0.5)


def test_shuffling_what_counts_changes_most_and_labels_tell_by_the_auc() -> None:
    rows = rng(6).normal(size=(200, 3))
    labels = (rows[:, 1] > 1.0).astype(np.float64)

    plain = permutation_importance(lambda r: 3 * r[:, 1] + r[:, 0], rows, rng())
    told = permutation_importance(lambda r: r[:, 1], rows, rng(), labels, np.ones(200))

    assert (plain.of, int(np.argmax(plain.mean))) == ("abs_change", 1)
    assert plain.mean[2] == 0.0
    assert (told.of, int(np.argmax(told.mean))) == ("auc", 1)
    assert told.mean[1] > 0.3
    assert (told.deviation >= 0).all()


def test_reasons_of_many_are_means_and_shares_by_severity() -> None:
    one = {"severity": "high", "reasons": [{"feature": "a", "contribution": 0.8}]}
    two = {
        "severity": "low",
        "reasons": [
            {"feature": "b", "contribution": 0.6},
            {"feature": "a", "contribution": 0.4},
        ],
    }

    told = reasons_in_all([one, two])

    assert told["mean_contribution"] == pytest.approx({"a": 0.6, "b": 0.3})
    assert told["first_reason"] == {"a": 0.5, "b": 0.5}
    assert told["by_severity"] == {"high": {"a": 1.0}, "low": {"b": 1.0}}


def test_a_tree_imitates_verdicts_and_is_measured_on_profiles_it_has_not_seen() -> None:
    rows = rng(7).normal(size=(600, 3))
    profiles = np.repeat(np.arange(20), 30)

    told = surrogate(rows, rows[:, 2] > 1.0, profiles, ["a", "b", "c"])

    assert told is not None
    assert told["balanced_accuracy"] > 0.95
    assert next(iter(told["importance"])) == "c"
    assert "c" in told["rules"]
    assert surrogate(rows, np.zeros(600, dtype=bool), profiles, ["a", "b", "c"]) is None


def test_the_most_abnormal_of_several_samples_is_explained(
    fitted: tuple[Blend, np.ndarray],
) -> None:
    detector, samples = fitted

    assert most_abnormal(detector, np.stack([samples[0], odd(), samples[1]])) == 1


def test_agreement_is_spearmans() -> None:
    assert agreement(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])) == pytest.approx(1.0)
    assert agreement(np.ones(3), np.arange(3.0)) is None
