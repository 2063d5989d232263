"""Distances in vector registers: what NumPy gives, whatever the number of samples and features."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.kernels import block as packing
from models.kernels.fit.neighbors import leave_one_out_neighbors
from models.kernels.nearest import (
    KEPT_LIMIT,
    KEPT_UNIT,
    as_kept,
    distances,
    mean_of_five,
    padded,
    project,
    rotate,
    shared_distances,
)
from models.kernels.simd import LANES


@given(st.integers(LANES, 100), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_distances_are_those_of_numpy_and_nothing_else_is_written(samples, width, seed):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(width, samples)).astype(np.float16)
    row, weights = (rng.normal(size=n).astype(np.float32) for n in (width, samples))
    found = np.full(padded(samples), np.float32(np.inf))

    distances(
        columns.ctypes.data,
        samples,
        row.ctypes.data,
        width,
        weights.ctypes.data,
        found.ctypes.data,
        0,
        0,
    )

    wanted = abs(columns.astype(np.float64) - row[:, np.newaxis]).sum(axis=0) * weights
    np.testing.assert_allclose(found[:samples], wanted, rtol=1e-5)
    assert np.isinf(found[samples:]).all()


@given(
    st.integers(LANES, 100),
    st.integers(1, 40),
    st.floats(0, 0.9),
    st.integers(0, 2**32 - 1),
)
def test_shared_distances_are_over_what_both_have(samples, width, absent, seed):
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(width, samples)).astype(np.float16)
    row = rng.normal(size=width).astype(np.float32)
    for values in (columns, row):
        values[rng.random(values.shape) < absent] = np.nan
    found, shared = np.full((2, padded(samples)), np.float32(np.inf))

    shared_distances(
        columns.ctypes.data,
        samples,
        row.ctypes.data,
        width,
        found.ctypes.data,
        shared.ctypes.data,
    )

    gaps = abs(columns.astype(np.float64) - row[:, np.newaxis])
    np.testing.assert_allclose(found[:samples], np.nansum(gaps, axis=0), rtol=1e-5)
    assert np.array_equal(shared[:samples], (~np.isnan(gaps)).sum(axis=0))
    assert np.isinf([found[samples:], shared[samples:]]).all()


@pytest.mark.parametrize("bytes_left", [0, 1, 700, 100_000])
def test_memory_is_fetched_ahead_without_an_effect(bytes_left):
    rng = np.random.default_rng(0)
    columns, weights = rng.normal(size=(17, 200)).astype(np.float16), np.ones(200, np.float32)
    found, alone = np.empty((2, padded(200)), np.float32)
    row = columns[:, 0].astype(np.float32)
    at = columns.ctypes.data

    def ask(end: int, out: np.ndarray) -> int:
        arguments = (row.ctypes.data, 17, weights.ctypes.data, out.ctypes.data, at, end)
        return int(distances(at, 200, *arguments))

    assert ask(at, alone) == at
    assert ask(at + bytes_left, found) >= at + min(bytes_left, 7 * 512)
    assert np.array_equal(found[:200], alone[:200])


numbers = st.floats(0, 2.0**40, width=32) | st.just(np.inf) | st.just(np.nan)


@given(st.lists(numbers, min_size=1, max_size=120))
def test_five_least_are_those_that_sorting_finds(values):
    total = np.full(padded(len(values)), np.float32(np.inf))
    total[: len(values)] = values

    finite = np.sort(total[np.isfinite(total)])[:5].astype(np.float64)
    found = mean_of_five(total.ctypes.data, len(values))

    if len(finite):
        assert found == np.float64(sum(finite)) / len(finite)
    else:
        assert np.isnan(found)


in_robust_units = st.one_of(
    st.floats(-20, 20), st.floats(-1e7, 1e7), st.sampled_from([0.0, np.nan, -1e150, 1e150])
)


@given(st.lists(in_robust_units, min_size=1, max_size=40))
def test_a_row_is_seen_as_the_same_sample_is_kept(values):
    row = np.zeros(padded(len(values)))
    row[: len(values)] = values
    asked = np.empty(row.size, np.float32)

    as_kept(row.ctypes.data, len(values), asked.ctypes.data)

    with np.errstate(over="ignore"):
        words, rounded = packing.to_half(np.array([values]))
    samples = words.view(np.float16)[: len(values)].astype(np.float32)
    assert np.array_equal(asked[: len(values)], samples, equal_nan=True)
    assert np.array_equal(rounded[0], samples * np.float32(KEPT_UNIT), equal_nan=True)
    inside = abs(np.array(values)) < 1e6
    np.testing.assert_allclose(
        rounded[0][inside], np.array(values)[inside], rtol=2**-11, atol=2**-21
    )


@given(st.lists(in_robust_units, max_size=40))
def test_samples_are_kept_as_numpy_rounds_them(values):
    with np.errstate(over="ignore"):
        in_units = np.array(values, np.float32) * np.float32(1.0 / KEPT_UNIT)
        kept = packing.to_half(np.array([values]))[0].view(np.float16)[: len(values)]

    wanted = np.clip(in_units, -KEPT_LIMIT, KEPT_LIMIT).astype(np.float16)
    assert np.array_equal(kept, wanted, equal_nan=True)


@given(st.integers(1, 50), st.integers(0, 2**32 - 1))
def test_a_row_is_projected_in_place(width, seed):
    rng = np.random.default_rng(seed)
    matrix = np.full(width * width + LANES, np.float32(np.nan))
    upper = np.triu(rng.normal(size=(width, width))).astype(np.float32)
    matrix[: width * width] = upper.ravel()
    row = np.zeros(padded(width))
    row[:width] = rng.normal(size=width)
    wanted = row[:width] @ upper.astype(np.float64)

    project(matrix.ctypes.data, width, row.ctypes.data)

    np.testing.assert_allclose(row[:width], wanted, rtol=1e-9, atol=1e-12)


@given(
    st.integers(LANES, 90),
    st.integers(1, 20),
    st.integers(2, 7),
    st.sampled_from([0.0, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_a_sample_has_the_same_score_whether_all_are_asked_or_some(
    samples, width, every, recency, seed
):
    columns = np.random.default_rng(seed).normal(size=(width, samples)).astype(np.float32)
    each, some = np.empty(samples), np.empty(samples)

    leave_one_out_neighbors(columns, 5, recency, 1, each)
    leave_one_out_neighbors(columns, 5, recency, every, some)

    asked = np.arange((samples - 1) % every, samples, every)
    assert np.array_equal(some[asked], each[asked])
    assert np.isnan(np.delete(some, asked)).all()


@given(st.integers(LANES, 90), st.integers(1, 20), st.floats(0.0, 3.0), st.integers(0, 2**32 - 1))
def test_five_nearest_others_are_those_of_numpy(samples, width, recency, seed):
    columns = np.random.default_rng(seed).normal(size=(width, samples)).astype(np.float32)
    found = np.empty(samples)

    leave_one_out_neighbors(columns, 5, recency, 1, found)

    gaps = np.abs(columns[:, :, np.newaxis] - columns[:, np.newaxis, :]).mean(0, dtype=np.float64)
    # Each is scored as the next after the others, of which the one before it is the newest.
    place = np.arange(samples)
    older = (place[:, np.newaxis] - place - 1) % samples
    gaps *= 1.0 + recency / samples * older
    np.fill_diagonal(gaps, np.inf)
    np.testing.assert_allclose(found, np.sort(gaps)[:, :5].mean(axis=1), rtol=1e-5)


def test_samples_that_are_all_alike_have_no_distance():
    found = np.empty(40)

    leave_one_out_neighbors(np.ones((17, 40), np.float32), 5, 1.0, 1, found)

    assert np.array_equal(found, np.zeros(40))


@given(st.integers(1, 70), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_samples_are_rotated_and_what_is_behind_them_stays_no_number(samples, width, seed):
    rng = np.random.default_rng(seed)
    axes = np.tril(rng.normal(size=(width, width)))
    features = np.full((width, padded(samples)), np.nan)
    features[:, :samples] = rng.normal(size=(width, samples))
    seen = np.full((width, padded(samples) + 2 * LANES), np.float32(np.nan))

    rotate(features, axes, seen)

    wanted = axes @ features[:, :samples]
    np.testing.assert_allclose(seen[:, :samples], wanted, rtol=1e-5, atol=1e-6)
    assert np.isnan(seen[:, samples:]).all()
