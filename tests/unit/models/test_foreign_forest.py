"""A forest of scikit-learn becomes a candidate: same scores, own calibration, a judgement."""

from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.tree import DecisionTreeClassifier

from models.artifacts import Model, pack, unpack
from models.learning.foreign import UnfitForest, detector_from_sklearn, judge_foreign, tree_fault
from models.learning.training import train

RNG = np.random.default_rng(3)
SAMPLES = RNG.normal(size=(200, 4))
OTHERS = RNG.normal(size=(300, 4))
BUDGET = 0.01


@pytest.fixture(scope="module")
def current() -> Model:
    return train(
        "blend",
        SAMPLES,
        ("a", "b", "c", "d"),
        alert_budget=BUDGET,
        seed=1,
        provenance={"cold_start": 150, "trigger": "samples"},
    )


def proposed(current: Model, forest: Any) -> Any:
    detector = detector_from_sklearn(forest, BUDGET)
    return judge_foreign(current, detector, cold_start=150, provenance={"upload": "u"})


def test_a_forest_that_knows_the_profiles_normal_passes_with_figures(current: Model):
    forest = IsolationForest(random_state=0).fit(OTHERS)

    candidate = proposed(current, forest)

    assert candidate.outcome.passed, candidate.outcome.why
    figures = candidate.outcome.figures
    assert (figures["impostors"], figures["held_back_samples"]) == (100, 10)
    assert figures["rejected_share"] > figures["rejected_first_share"] - 0.02
    assert all(np.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("scale", [0.0, 50.0])
def test_a_forest_of_something_else_is_refused_and_the_gate_says_why(current: Model, scale: float):
    other = OTHERS + 3 if scale == 0.0 else RNG.uniform(-scale, scale, size=(300, 4))

    outcome = proposed(current, IsolationForest(random_state=0).fit(other)).outcome

    assert not outcome.passed
    assert "stand-in impostors" in outcome.why
    assert outcome.figures["rejected_share"] < outcome.figures["rejected_first_share"]


def test_a_forest_that_is_blind_in_one_feature_is_refused_and_the_feature_named(current: Model):
    other = OTHERS + np.array([0.0, 90.0, 0.0, 0.0])

    outcome = proposed(current, IsolationForest(random_state=0).fit(other)).outcome

    assert not outcome.passed
    assert outcome.why.endswith("does not see 'b' go astray")
    assert outcome.figures["blind_features"] == 1


def test_the_candidate_scores_as_the_upload_and_its_threshold_is_the_profiles(current: Model):
    forest = IsolationForest(random_state=0).fit(OTHERS)
    model = proposed(current, forest).model
    artifact = pack(model, kind="features", profile_id="p", partition=0, generation=0)

    opened = unpack(artifact.payload, artifact.sha256)

    assert np.abs(opened.detector.score_samples(OTHERS) - forest.score_samples(OTHERS)).max() < 1e-9
    assert opened.detector.predict(SAMPLES).tolist().count(-1) <= 8
    assert opened.detector.predict([[9.0, 9.0, 9.0, 9.0]]).tolist() == [-1]
    assert opened.provenance["detector"] == "forest"
    assert (opened.provenance["cold_start"], opened.provenance["upload"]) == (150, "u")
    assert np.array_equal(opened.learnt(), current.learnt())


@pytest.mark.parametrize(
    ("estimator", "word"),
    [
        (KMeans(2, n_init=1).fit(OTHERS), "KMeans"),
        (DecisionTreeClassifier().fit(OTHERS, OTHERS[:, 0] > 0), "DecisionTreeClassifier"),
        (IsolationForest(), "fitted"),
        (IsolationForest(n_estimators=1001, max_samples=2).fit(OTHERS[:10]), "1000 trees"),
    ],
)
def test_what_cannot_be_a_detector_is_refused_by_its_type(estimator: Any, word: str):
    with pytest.raises(UnfitForest, match=word):
        detector_from_sklearn(estimator, BUDGET)


class Tree:
    """A tree as a crafted file may hold it."""

    def __init__(self, tree: Any, **other: Any) -> None:
        names = ("node_count", "children_left", "children_right", "feature", "threshold")
        for name in (*names, "n_node_samples"):
            found = getattr(tree, name)
            setattr(self, name, found.copy() if isinstance(found, np.ndarray) else found)
        for name, value in other.items():
            getattr(self, name)[0] = value


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({}, None),
        ({"children_left": 0}, "below"),
        ({"children_left": 10_000_000}, "below"),
        ({"children_right": 1}, "below"),
        ({"feature": 4}, "splits"),
        ({"threshold": np.nan}, "finite"),
        ({"n_node_samples": 0}, "samples"),
    ],
)
def test_a_tree_that_the_kernels_could_not_follow_is_refused(other: dict[str, Any], word: Any):
    tree = IsolationForest(n_estimators=1, random_state=0).fit(OTHERS).estimators_[0].tree_

    fault = tree_fault(Tree(tree, **other), np.arange(4), 4)

    assert fault is None if word is None else word in str(fault)
