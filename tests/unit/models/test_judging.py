"""Judging a batch: what it says of each row is what the row's detector alone says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import Blend, Detector, Deviation, Forest, Gaussian, Neighbors, warm_up
from models.batch_scoring import CompiledModel, explain_batch, score_batch
from models.kernels import calibration as calibration_kernels
from models.kernels import score as score_kernels
from models.kernels.fit import grow as grow_forest
from models.kernels.fit import neighbors as fit_neighbors


def fitted(seed: int) -> Detector:
    random = np.random.default_rng(seed)
    X = random.normal(size=(random.integers(3, 40), random.integers(1, 6)))
    X[random.random(X.shape) < 0.1 * (seed % 2)] = np.nan
    kinds = (
        Forest(n_estimators=5),
        Gaussian(),
        Deviation(),
        Neighbors(),
        Blend(n_estimators=3),
        Blend((("forest", 0.5), ("deviation", 1.0)), n_estimators=3),
    )
    return kinds[seed % len(kinds)].fit(X)


BENCHES = [CompiledModel(fitted(seed)) for seed in range(18)]


@settings(max_examples=200, deadline=None)
@given(groups=st.lists(st.integers(0, len(BENCHES) - 1), max_size=6), seed=st.integers(0, 1000))
def test_a_row_is_judged_as_by_its_detector_alone(groups: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    benches = [BENCHES[group] for group in groups]
    rows = []
    for bench in benches:
        shape = (random.integers(0, 4), bench.detector.n_features_in_)
        rows.append(np.where(random.random(shape) < 0.1, np.nan, 3 * random.normal(size=shape)))
    counts = np.array([len(group) for group in rows], dtype=np.int64)
    budgets = random.choice([0.001, 0.01, 0.2], size=int(counts.sum()))

    found = score_batch(benches, counts, np.concatenate([np.empty(0), *rows], axis=None), budgets)

    begin = 0
    for bench, group in zip(benches, rows, strict=True):
        detector, part = bench.detector, slice(begin, begin + len(group))
        begin += len(group)
        if not len(group):
            continue
        scores = detector.score_samples(group)
        offsets = np.array([detector.calibration_.offset(float(b)) for b in budgets[part]])
        assert found.decisions[part].tobytes() == (scores - offsets).tobytes()
        assert found.p_values[part].tobytes() == detector.calibration_.p_values(scores).tobytes()
        assert found.unit[part].tobytes() == detector.unit(scores).tobytes()


@given(seed=st.integers(0, 1000), rows=st.integers(1, 6))
def test_a_row_is_explained_as_by_its_detector_alone(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    width = BENCHES[random.integers(len(BENCHES))].detector.n_features_in_
    equal = [bench for bench in BENCHES if bench.detector.n_features_in_ == width]
    benches = [equal[at] for at in random.integers(len(equal), size=rows)]
    shape = (rows, width)
    samples = np.where(random.random(shape) < 0.2, np.nan, 3 * random.normal(size=shape))

    found = explain_batch(benches, samples)

    alone = [bench.contributions(row[None])[0] for bench, row in zip(benches, samples, strict=True)]
    assert found.tobytes() == np.array(alone).tobytes()


def test_contributions_are_the_detectors_own() -> None:
    for bench in BENCHES:
        rows = np.random.default_rng(1).normal(size=(3, bench.detector.n_features_in_))

        found = bench.contributions(rows)

        assert found.tobytes() == bench.detector.contributions(rows).tobytes()


@pytest.mark.parametrize(("values", "budgets"), [(1, 2), (4, 1)])
def test_numbers_that_do_not_fit_the_groups_are_refused(values: int, budgets: int) -> None:
    bench = CompiledModel(Gaussian().fit(np.random.default_rng(0).normal(size=(9, 2))))

    with pytest.raises(ValueError, match="the groups need 4 and 2"):
        score_batch([bench], np.array([2]), np.zeros(values), np.full(budgets, 0.01))


def compiled() -> dict[str, list[object]]:
    modules = (score_kernels, calibration_kernels, fit_neighbors, grow_forest)
    kernels = [kernel for module in modules for kernel in vars(module).values()]
    return {k.__name__: list(k.signatures) for k in kernels if hasattr(k, "signatures")}


def test_nothing_is_compiled_after_the_warm_up() -> None:
    warm_up()
    before = compiled()
    X = np.asfortranarray(np.random.default_rng(0).normal(size=(30, 3)))
    X.flags.writeable = False

    for model in (Blend(), Forest(), Gaussian(), Deviation(cap=3), Neighbors(clip=2, recency=1)):
        fitted_model = model.fit(X)
        scores = fitted_model.score_samples(X)
        fitted_model.contributions(X[::2])
        fitted_model.blocked_scores(X)
        fitted_model.calibration_.p_values(scores)
        bench = CompiledModel(fitted_model)
        bench.contributions(X[:1])
        score_batch([bench], np.array([1]), X[0], np.full(1, 0.01))

    assert compiled() == before


def test_calibrations_of_few_samples_stand_between_others() -> None:
    random = np.random.default_rng(5)
    few = [CompiledModel(Gaussian().fit(random.normal(size=(n, 2)))) for n in (3, 19, 60, 5)]
    rows = random.normal(size=(8, 2))

    found = score_batch(few, np.full(4, 2), rows.reshape(-1), np.full(8, 0.01))

    alone = [
        bench.detector.calibration_.p_values(bench.detector.score_samples(rows[2 * g : 2 * g + 2]))
        for g, bench in enumerate(few)
    ]
    assert found.p_values.tobytes() == np.concatenate(alone).tobytes()
    assert np.isfinite(found.decisions).all()
