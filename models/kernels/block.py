"""Packs what a detector has learnt into one array of words: its form in artefact and memory."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels import block_format
from models.kernels import score as score_kernels
from models.kernels.fit.scales import CONSTANT_SHARE, NOTHING
from models.kernels.nearest import keep, padded

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

HUGE = block_format.HUGE
# A scaled value never exceeds this: sums of squares of it stay exact enough in float32.
LIMIT = 1e6
# Scores that differ by less than this, in units of a forest's score or of robust deviations, are
# the same.
MIN_STD = 0.01


def rounding(centre: Floats, noise: float) -> Floats:
    """Differences up to which values are the same, of features with these centres, shape (d,)."""
    return np.asarray(noise * np.maximum(np.abs(centre), noise))


def constant_scale(centre: Floats) -> Floats:
    """What counts as one deviation of features that never varied, a share of each, shape (d,)."""
    return np.asarray(CONSTANT_SHARE * np.where(np.abs(centre) < NOTHING, 1.0, np.abs(centre)))


@dataclass(frozen=True)
class Scaling:
    """How a detector sees its features: (x − centre) · inverse, bounded by ± limit; each (d,).

    A feature with centre NaN was never seen and is not used.
    """

    centre: Floats
    inverse: Floats
    limit: Floats

    @classmethod
    def of(cls, centre: Floats, scale: Floats, *, noise: float, constant: float) -> Scaling:
        """From centres and scales; where the scale is no more than rounding, it is constant.

        The scale of a constant feature is a share of its value, ``constant_scale``, and no value
        of it counts for more than ``constant`` scales.

        Args:
            noise: what is smaller than this share of the centre is rounding.
        """
        varies = scale > rounding(centre, noise)
        inverse = 1.0 / np.where(varies, scale, constant_scale(centre))
        return cls(centre, inverse, np.where(varies, LIMIT, constant))

    def apply(self, X: Floats) -> Floats:
        """Samples (n, d) in scaled units."""
        scaled = np.empty(X.shape)
        block_format.scale_all(flat(X), self.centre, self.inverse, self.limit, scaled)
        return scaled


@dataclass(frozen=True)
class ScorerPart:
    """One packed scorer: its kind, its numbers, its data, and the training samples' scores.

    Attributes:
        parameters: p0, p1, … of the block's part, integers or floats as the kernel reads them.
        out_of_sample: score of each training sample by a model that did not see it, (n,).
        same: scores that differ by less are the same: the floor of their standard deviation.
    """

    kind: int
    parameters: tuple[int | float, ...]
    data: Words
    out_of_sample: Floats
    same: float = MIN_STD


def pack_one(width: int, part: ScorerPart, scaling: Scaling | None) -> Words:
    """The block of a detector with one part: its score is the part's."""
    return _assemble(width, scaling, [(part, 0.0, 1.0, 1.0)])


def blend(
    width: int,
    parts: Sequence[tuple[ScorerPart, float]],
    scaling: Scaling,
    constant: bool = False,
) -> tuple[Words, Floats]:
    """The block of a weighted mean of standardised parts, and its out-of-sample scores (n,).

    Args:
        constant: all samples are the same: one deviation of a feature counts as one of a part.
    """
    standardised = [
        (part, *((_moments(part)[0], 1.0) if constant else _moments(part)), weight)
        for part, weight in parts
    ]
    total = np.zeros(parts[0][0].out_of_sample.shape[0])
    weights = np.zeros_like(total)
    for part, mean, inverse, weight in standardised:
        there = ~np.isnan(part.out_of_sample)
        np.add(total, weight * ((part.out_of_sample - mean) * inverse), out=total, where=there)
        np.add(weights, weight, out=weights, where=there)
    scores = np.divide(total, weights, out=np.full_like(total, np.nan), where=weights > 0)
    return _assemble(width, scaling, standardised), scores


def _moments(part: ScorerPart) -> tuple[float, float]:
    there = part.out_of_sample[~np.isnan(part.out_of_sample)]
    if there.size == 0:
        return 0.0, 1.0
    # As ``mean`` and ``std``, which take thrice the time for so few.
    mean = np.add.reduce(there) / there.size
    aside = there - mean
    deviation = np.sqrt(np.add.reduce(aside * aside) / there.size)
    return float(mean), 1.0 / max(float(deviation), part.same)


def _assemble(
    width: int, scaling: Scaling | None, parts: Sequence[tuple[ScorerPart, float, float, float]]
) -> Words:
    head = np.zeros(block_format.HEADER_WORDS, dtype=np.int64)
    head[:3] = width, len(parts), scaling is not None
    scale = (
        np.concatenate([scaling.centre, scaling.inverse, scaling.limit])
        if scaling is not None
        else np.empty(0)
    )
    rows = np.zeros((len(parts), block_format.PART_WORDS), dtype=np.uint64)
    offset = head.size + scale.size + rows.size
    for row, (part, mean, inverse, weight) in zip(rows, parts, strict=True):
        row[:2] = part.kind, offset
        row[2:5] = _words(mean, inverse, weight)
        row[5 : 5 + len(part.parameters)] = _words(*part.parameters)
        offset += part.data.size
    head[3] = offset
    data = [part.data for part, *_ in parts]
    return np.concatenate([head.view(np.uint64), scale.view(np.uint64), rows.ravel(), *data])


def _words(*numbers: float) -> Words:
    """Integers as int64, floats as float64, each in one word."""
    form = "".join("q" if isinstance(number, int) else "d" for number in numbers)
    return np.frombuffer(struct.pack(f"={form}", *numbers), dtype=np.uint64)


def to_words(array: NDArray[Any]) -> Words:
    """Any flat numeric array as words, padded with zeros to a whole one."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = np.zeros(-(-flat.size // 8) * 8, dtype=np.uint8)
    whole[: flat.size] = flat
    return whole.view(np.uint64)


def to_half(samples: NDArray[Any]) -> tuple[Words, NDArray[np.float32]]:
    """Samples (d, n) in robust units as a block keeps them, and what is kept of them, (d, n).

    Half precision, NaN stays NaN.
    """
    rounded = np.zeros(padded(samples.size), dtype=np.float32)
    rounded[: samples.size].reshape(samples.shape)[...] = samples
    halves = np.empty(rounded.size, dtype=np.uint16)
    keep(rounded.ctypes.data, samples.size, halves.ctypes.data)
    return to_words(halves[: samples.size]), rounded[: samples.size].reshape(samples.shape)


def upgrade_block(block: Words) -> Words:
    """The block of any version as the kernels read it now: once, samples had single precision."""
    integers = block.view(np.int64)
    width, count = int(integers[0]), int(integers[1])
    begin = block_format.HEADER_WORDS + (3 * width if integers[2] == 1 else 0)
    end = begin + count * block_format.PART_WORDS
    parts = block[begin:end].reshape(count, block_format.PART_WORDS).copy()
    if not (parts[:, 0] == block_format.SINGLE_NEIGHBORS).any():
        return block
    head, rows = block[:begin].copy(), parts.view(np.int64)
    ends = [*rows[1:, 1].tolist(), block.size]
    data, offset = [], end
    for row, last in zip(rows, ends, strict=True):
        own = block[row[1] : last]
        row[1] = offset
        if row[0] == block_format.SINGLE_NEIGHBORS:
            row[0] = block_format.NEIGHBORS
            # Whitening's features, scales and axes stand before the samples.
            samples, known = int(row[5]), max(int(row[9]), 0)
            first = 2 * known + (known * known + 1) // 2
            values = own[first:].view(np.float32)[: (known or width) * samples]
            own = np.concatenate([own[:first], to_half(values[None])[0]])
        data.append(own)
        offset += own.size
    head.view(np.int64)[3] = offset
    return np.concatenate([head, parts.ravel(), *data])


def flat(X: Floats) -> Floats:
    """Rows as the kernels take them: one after another, writable, so that they compile once."""
    return np.require(X, np.float64, ["C", "W"]).reshape(-1)


def score_rows(block: Words, X: Floats) -> Floats:
    """Scores of rows (n, d) by one block, (n,): the same numbers as in any larger batch."""
    out = np.empty(X.shape[0])
    score_kernels.score_block(np.require(block, requirements="W"), flat(X), X.shape[0], out)
    return out


def explain_rows(block: Words, X: Floats) -> Floats:
    """Share of each feature in each row's abnormality, (n, d): rows sum to 1, or 0 without any."""
    out = np.empty(X.size)
    score_kernels.explain_block(np.require(block, requirements="W"), flat(X), X.shape[0], out)
    return out.reshape(X.shape)
