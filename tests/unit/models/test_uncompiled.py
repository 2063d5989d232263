"""A detector from a library is one module and one line; it scores in Python."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.neighbors import LocalOutlierFactor

from models import unpickling
from models.artifacts import Model, pack, unpack
from models.batch_scoring import CompiledModel, score_batch
from models.detectors.gaussian import Gaussian
from models.detectors.registry import DETECTORS, parameters_of
from models.detectors.uncompiled import Uncompiled
from models.errors import ArtifactError
from tests.unit.builders import GROSS, TOPICS, Scorer, normal, stream, verdicts

Floats = NDArray[np.float64]


class Library(Uncompiled):
    """scikit-learn's local outlier factor."""

    def __init__(self, n_neighbors: int = 10, *, alert_budget: float = 0.01) -> None:
        self.n_neighbors = n_neighbors
        self.alert_budget = alert_budget

    def learn(self, X: Floats) -> LocalOutlierFactor:
        return LocalOutlierFactor(min(self.n_neighbors, len(X) - 1), novelty=True).fit(X)

    def score(self, learnt: LocalOutlierFactor, X: Floats) -> Floats:
        return np.asarray(learnt.score_samples(X) + 1.0)


@pytest.fixture(autouse=True)
def in_the_table(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if its line stood in ``models.detectors``."""
    monkeypatch.setitem(DETECTORS, "forest", Library)
    known = unpickling.OF_TABLE | {(Library.__module__, "Library")}
    monkeypatch.setattr(unpickling, "OF_TABLE", known)
    for cached in (unpickling.found, parameters_of):
        cached.cache_clear()
    yield
    monkeypatch.undo()
    for cached in (unpickling.found, parameters_of):
        cached.cache_clear()


@pytest.fixture
def samples() -> Floats:
    return np.random.default_rng(1).normal(10.0, 1.0, (200, 3))


def test_a_batch_of_both_sorts_is_scored_as_each_alone(samples: Floats) -> None:
    models = [Library().fit(samples), Gaussian().fit(samples), Library(5).fit(samples)]
    rows = [samples[:4], samples[4:6] + 9.0, np.array([[np.nan, 10.0, 11.0], [np.nan] * 3])]

    found = score_batch(
        [CompiledModel(model) for model in models],
        np.array([len(each) for each in rows]),
        np.concatenate(rows).reshape(-1),
        np.full(8, 0.01),
    )

    alone = [model.decision_function(each) for model, each in zip(models, rows, strict=True)]
    assert np.allclose(found.decisions, np.concatenate(alone), equal_nan=True)
    assert np.isnan(found.decisions[-1])


def test_false_alarms_keep_the_budget_and_an_outlier_is_explained_by_its_feature() -> None:
    rng = np.random.default_rng(2)
    model = Library(alert_budget=0.05).fit(rng.normal(size=(400, 3)))
    flagged = (model.decision_function(rng.normal(size=(2000, 3))) < 0).mean()
    shares = model.contributions(np.array([[0.0, 9.0, 0.0], [np.nan] * 3]))

    assert 0.02 <= flagged <= 0.09
    assert shares[0].argmax() == 1
    assert shares[0].sum() == pytest.approx(1.0)
    assert (shares[1] == 0.0).all()


def test_an_artefact_of_it_opens_and_holds_no_class_of_the_library(samples: Floats) -> None:
    model = Model(Library().fit(samples), ("a", "b", "c"), samples.astype(np.float32), {})
    artifact = pack(model, kind="features", profile_id="p", partition=0, generation=0)

    opened = unpack(artifact.payload, artifact.sha256)

    assert b"sklearn.neighbors" not in artifact.payload
    assert np.array_equal(
        opened.detector.score_samples(samples), model.detector.score_samples(samples)
    )


def test_a_class_that_is_in_no_table_is_refused(
    samples: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(Library().fit(samples), ("a", "b", "c"), samples.astype(np.float32), {})
    artifact = pack(model, kind="features", profile_id="p", partition=0, generation=0)
    monkeypatch.setattr(unpickling, "OF_TABLE", frozenset())
    unpickling.found.cache_clear()

    with pytest.raises(ArtifactError, match="in no artefact of Telltale"):
        unpack(artifact.payload, artifact.sha256)


def test_the_scorer_learns_and_judges_with_it() -> None:
    scorer = Scorer(cold_start_samples=40, detector="forest")
    written = scorer.feed(stream([*normal(60), GROSS]))

    found = verdicts([out for out in written if out.topic == TOPICS.anomalies])
    assert [v.status for v in found] == ["learning"] * 40 + ["scored"] * 21
    assert found[-1].anomaly
    assert found[-1].reasons[0].feature in {"a", "b", "c"}
