"""Blocks of earlier versions: neighbours that kept their samples in single precision."""

from __future__ import annotations

import hashlib
import pickle
from copy import copy

import numpy as np
import pytest

from models import artifacts
from models.detectors.base import Detector
from models.detectors.blend import Blend
from models.detectors.forest import Forest
from models.detectors.neighbors import Neighbors
from models.kernels import block as packing
from models.kernels import block_format
from models.learning.training import train

DETECTORS = [
    (Blend(), 0.0),
    (Blend(), 0.05),
    (Blend(parts=(("neighbors", 1.0), ("forest", 1.0), ("whitened", 1.0))), 0.0),
    (Neighbors(), 0.2),
    (Neighbors(whitened=True), 0.0),
    (Forest(n_estimators=5), 0.0),
]


def normal(seed: int, rows: int, absent: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 7)) * 3.0
    X[rng.random(X.shape) < absent] = np.nan
    return X


def as_it_was(block: np.ndarray) -> np.ndarray:
    """A block as version 1 laid it out: kind 3, and samples in float32, in units of 1."""
    numbers = block.view(np.int64)
    width, count = int(numbers[0]), int(numbers[1])
    begin = 4 + (3 * width if numbers[2] == 1 else 0)
    parts = block[begin : begin + 10 * count].reshape(count, 10).copy()
    rows = parts.view(np.int64)
    ends = [*rows[1:, 1].tolist(), block.size]
    data, offset = [], begin + parts.size
    for row, end in zip(rows, ends, strict=True):
        own = block[row[1] : end]
        row[1] = offset
        if row[0] == block_format.NEIGHBORS:
            row[0] = 3
            known = int(row[9])
            first = 2 * known + (known * known + 1) // 2
            samples = own[first:].view(np.float16)[: (known or width) * row[5]]
            single = samples.astype(np.float32) * np.float32(16)
            own = np.concatenate([own[:first], packing.to_words(single)])
        data.append(own)
        offset += own.size
    head = block[:begin].copy()
    head.view(np.int64)[3] = offset
    return np.concatenate([head, parts.ravel(), *data])


@pytest.mark.parametrize(("detector", "absent"), DETECTORS)
def test_a_block_of_an_earlier_version_becomes_the_one_that_is_learnt_now(
    detector: Detector, absent: float
) -> None:
    block = detector.fit(normal(0, 60, absent)).block_

    assert np.array_equal(packing.upgrade_block(as_it_was(block)), block)
    assert packing.upgrade_block(block) is block


def test_samples_that_are_between_those_that_can_be_kept_are_rounded() -> None:
    X, judged = normal(1, 60), normal(2, 30)
    detector = Neighbors().fit(X)
    scores = detector.score_samples(judged)
    block = as_it_was(detector.block_)
    # Each a little beside what half precision holds.
    block[-7 * 30 :].view(np.float32)[:] *= np.float32(1.0001)

    detector.block_ = packing.upgrade_block(block)

    assert np.array_equal(detector.score_samples(judged), scores)


def test_an_artefact_of_format_1_is_opened() -> None:
    names = [f"f{column}" for column in range(7)]
    model = train("blend", normal(3, 80), names, alert_budget=0.01, seed=0, provenance={})
    judged = normal(4, 20)
    wanted = model.detector.score_samples(judged)
    block = model.detector.block_
    old = copy(model.detector)
    old.block_ = as_it_was(block)
    content = {"format": 1, "detector": old, "features": names, "samples": model.samples}
    payload = pickle.dumps(content | {"provenance": {}}, protocol=artifacts.PROTOCOL)

    opened = artifacts.unpack(payload, hashlib.sha256(payload).hexdigest())

    assert np.array_equal(opened.detector.score_samples(judged), wanted)
    assert np.array_equal(opened.detector.block_, block)


def test_an_artefact_of_a_format_to_come_is_not() -> None:
    payload = pickle.dumps({"format": max(artifacts.READ) + 1}, protocol=artifacts.PROTOCOL)

    with pytest.raises(artifacts.ArtifactError, match="format 1 or 2 or 3"):
        artifacts.unpack(payload, hashlib.sha256(payload).hexdigest())
