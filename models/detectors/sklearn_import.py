"""Trees grown by scikit-learn, rewritten as packed nodes that decide every comparison alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernels import block as packing
from models.kernels import block_format
from models.kernels import forest as forest_kernels

FLOAT32_MAX = np.finfo(np.float32).max


def import_trees(forest: Any) -> packing.ScorerPart:
    """The packed part of a fitted ``sklearn.ensemble.IsolationForest``."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    chosen = forest.estimators_features_
    wide = max(tree.node_count for tree in trees) > 2**16 or forest.n_features_in_ > 2**15 - 1
    firsts = np.cumsum([0, *(tree.node_count for tree in trees)])
    nodes = [_nodes(tree, features, wide) for tree, features in zip(trees, chosen, strict=True)]
    full_depth = float(forest_kernels.average_path(int(forest.max_samples_))) * len(trees)
    largest = max(tree.node_count for tree in trees)
    return packing.ScorerPart(
        block_format.FOREST,
        (len(trees), int(wide) + 4 * largest, full_depth),
        np.concatenate([firsts.astype(np.int64).view(np.uint64), *nodes]),
        np.empty(0),
    )


def _nodes(tree: Any, features: NDArray[np.int64], wide: bool) -> packing.Words:
    """Nodes breadth first, so that the two children of a node are neighbours."""
    order, depth = _breadth_first(tree)
    place = np.empty(tree.node_count, dtype=np.int64)
    place[order] = np.arange(tree.node_count)
    left = tree.children_left[order]
    leaf = left < 0
    feature = np.where(leaf, 0, np.asarray(features)[np.maximum(tree.feature[order], 0)])
    feature = np.where(tree.missing_go_to_left[order] != 0, ~feature, feature)
    child = np.where(leaf, depth, place[np.maximum(left, 0)])
    words = np.zeros(tree.node_count * (2 if wide else 1), dtype=np.uint64)
    stride = 4 if wide else 2
    words.view(np.float32)[::stride] = round_down(tree.threshold[order])
    words.view(np.int32)[::stride][leaf] = tree.n_node_samples[order][leaf]
    if wide:
        words.view(np.int32)[1::4] = np.where(leaf, forest_kernels.WIDE_LEAF, feature)
        words.view(np.int64)[1::2] = child
    else:
        words.view(np.int16)[2::4] = np.where(leaf, forest_kernels.LEAF, feature)
        words.view(np.uint16)[3::4] = child
    return words


def _breadth_first(tree: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    level = np.zeros(1, dtype=np.int64)
    order: list[NDArray[np.int64]] = []
    depths: list[NDArray[np.int64]] = []
    while level.size > 0:
        depths.append(np.full(level.size, len(depths)))
        order.append(level)
        inner = level[tree.children_left[level] >= 0]
        level = np.column_stack([tree.children_left[inner], tree.children_right[inner]]).ravel()
    return np.concatenate(order), np.concatenate(depths)


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 not above each float64: x ≤ threshold stays the same for float32 x."""
    nearest = np.clip(thresholds, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
