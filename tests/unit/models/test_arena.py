"""The arena: what it says of a batch is what each detector alone says."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models import (
    Arena,
    Blend,
    Detector,
    Deviation,
    Forest,
    Gaussian,
    Neighbors,
    _kernels,
    _kernels_fit,
    _kernels_grow,
    warm_up,
)


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


MODELS = [fitted(seed) for seed in range(18)]


class ArenaMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.arena = Arena()
        self.held: dict[int, Detector] = {}

    @rule(model=st.sampled_from(range(len(MODELS))))
    def add(self, model: int) -> None:
        handle = self.arena.add(MODELS[model])
        assert handle not in self.held
        self.held[handle] = MODELS[model]

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.held:
            handle = data.draw(st.sampled_from(sorted(self.held)))
            self.arena.remove(handle)
            del self.held[handle]

    @rule(data=st.data(), seed=st.integers(0, 1000))
    def score(self, data: st.DataObject, seed: int) -> None:
        if not self.held:
            return
        random = np.random.default_rng(seed)
        handles = data.draw(st.lists(st.sampled_from(sorted(self.held)), max_size=5))
        rows = []
        for handle in handles:
            shape = (random.integers(0, 4), self.held[handle].n_features_in_)
            rows.append(np.where(random.random(shape) < 0.1, np.nan, random.normal(size=shape)))
        batch = (
            np.array(handles, dtype=np.int64),
            np.array([len(group) for group in rows], dtype=np.int64),
            np.concatenate([np.empty(0), *(group.ravel() for group in rows)]),
        )
        groups = [(self.held[h], r) for h, r in zip(handles, rows, strict=True) if len(r)]
        alone = [model.score_samples(r) for model, r in groups]
        reasons = [model.contributions(r).ravel() for model, r in groups]
        nothing = np.empty(0)

        assert self.arena.score(*batch).tobytes() == np.concatenate([nothing, *alone]).tobytes()
        shares = self.arena.contributions(*batch)
        assert shares.tobytes() == np.concatenate([nothing, *reasons]).tobytes()

    @invariant()
    def holds_what_was_added_in_bounded_room(self) -> None:
        packed = sum(model.nbytes for model in self.held.values())
        assert len(self.arena) == len(self.held)
        assert packed <= self.arena.nbytes <= max(4 * packed, 8 * 1024 * 4)


TestArena = ArenaMachine.TestCase
TestArena.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_handle_without_a_model_is_refused() -> None:
    arena = Arena()
    handle = arena.add(MODELS[1])
    arena.remove(handle)

    with pytest.raises(KeyError, match="holds no model"):
        arena.score(np.array([handle]), np.array([1]), np.zeros(MODELS[1].n_features_in_))
    with pytest.raises(KeyError, match="holds no model"):
        arena.remove(handle)
    with pytest.raises(KeyError, match="holds no model"):
        arena.score(np.array([10**6]), np.array([1]), np.zeros(1))


def test_values_that_do_not_fit_the_groups_are_refused() -> None:
    arena = Arena()
    handle = arena.add(MODELS[1])

    with pytest.raises(ValueError, match="the groups need"):
        arena.score(np.array([handle]), np.array([2]), np.zeros(1))
    with pytest.raises(ValueError, match="not as many"):
        arena.score(np.array([handle]), np.array([1, 1]), np.zeros(1))


def compiled() -> dict[str, list[object]]:
    modules = (_kernels, _kernels_fit, _kernels_grow)
    kernels = [kernel for module in modules for kernel in vars(module).values()]
    return {k.__name__: list(k.signatures) for k in kernels if hasattr(k, "signatures")}


def test_nothing_is_compiled_after_the_warm_up() -> None:
    warm_up()
    before = compiled()
    X = np.asfortranarray(np.random.default_rng(0).normal(size=(30, 3)))
    X.flags.writeable = False

    for model in (Blend(), Forest(), Gaussian(), Deviation(cap=3), Neighbors(clip=2, recency=1)):
        fitted_model = model.fit(X)
        fitted_model.score_samples(X)
        fitted_model.contributions(X[::2])
        fitted_model.blocked_scores(X)
        arena = Arena()
        handle = arena.add(fitted_model)
        arena.score(np.array([handle], dtype=np.int32), np.array([1]), X[0])

    assert compiled() == before
