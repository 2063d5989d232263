"""Pairs of attributes: cells against the rest, with small cells hidden and not derivable.

Sizes of groups are shown beside the cells. So a hidden cell must not follow from its row's or
column's sum: further cells are hidden until every hidden one lies on a cycle of hidden cells of
the table (as a graph of rows and columns), which is when no sum tells it (Gusfield, 1988).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.governance.bias.fleet import LEAST_SHOWN, Booleans, Fleet, Groups, Integers
from models.governance.bias.measures import rate_columns, ratio_of
from models.governance.bias.resampling import benjamini_hochberg, permutation_p_value, permuted_sums

LEAST_COMPARED = 10
"""A cell of fewer units is not compared."""

MOST_CELLS = 256
"""Of a pair of attributes; a larger table is not shown."""


def hidden_cells(sizes: Integers) -> Booleans:
    """Which cells of a table of sizes may not be shown, shape as given.

    Those of 1 to ``LEAST_SHOWN`` − 1 units, and the next smallest ones, until neither a row's nor
    a column's sum tells a hidden cell, or a hidden sum of fewer than ``LEAST_SHOWN``.
    """
    small: Booleans = (sizes > 0) & (sizes < LEAST_SHOWN)
    hidden = small.copy()
    while True:
        exposed = _exposed(sizes, hidden)
        candidates = exposed & (sizes > 0) & ~hidden
        if not candidates.any():
            # No cell is left that would help: the rest of those lines goes too.
            lines = _lines_exposed(sizes, hidden)
            candidates = lines & (sizes > 0) & ~hidden
        if not candidates.any():
            return hidden
        at = int(np.where(candidates, sizes, np.iinfo(np.int64).max).argmin())
        hidden.flat[at] = True


def _lines_exposed(sizes: Integers, hidden: Booleans) -> Booleans:
    """Cells of rows and columns whose hidden units are few, but not none."""
    found = np.zeros_like(hidden)
    for axis in (0, 1):
        total = np.where(hidden, sizes, 0).sum(axis=axis, keepdims=True)
        found |= np.broadcast_to((total > 0) & (total < LEAST_SHOWN), hidden.shape)
    return found


def _exposed(sizes: Integers, hidden: Booleans) -> Booleans:
    """Cells of the rows and columns of hidden cells that follow from the sums, or of few units."""
    found = _lines_exposed(sizes, hidden)
    for row, column in zip(*np.nonzero(hidden), strict=True):
        if _is_bridge(hidden, int(row), int(column)):
            found[row, :] = True
            found[:, column] = True
    return found


def _is_bridge(hidden: Booleans, row: int, column: int) -> bool:
    """Whether without this cell no way of hidden cells leads from its row to its column."""
    rows, columns = {row}, set[int]()
    frontier = [row]
    while frontier:
        at = frontier.pop()
        for near in np.flatnonzero(hidden[at]):
            if (at == row and near == column) or int(near) in columns:
                continue
            if near == column:
                return False
            columns.add(int(near))
            for other in np.flatnonzero(hidden[:, near]):
                if int(other) not in rows:
                    rows.add(int(other))
                    frontier.append(int(other))
    return True


def intersections(
    fleet: Fleet,
    groups: Sequence[Groups],
    *,
    weighting: str,
    times: int,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The alert rate of each pair of groups of two attributes against all other units.

    Tested by permutation, with Benjamini–Hochberg at 5 % over all cells.
    """
    columns = rate_columns(fleet, weighting)
    cells: list[dict[str, Any]] = []
    hidden = 0
    for first, second in combinations(groups, 2):
        shape = (len(first.names), len(second.names))
        both = (first.index >= 0) & (second.index >= 0)
        if min(shape) == 0 or shape[0] * shape[1] > MOST_CELLS or not both.any():
            continue
        place = np.where(both, first.index * shape[1] + second.index, -1)
        sizes = np.bincount(place[both], minlength=shape[0] * shape[1]).reshape(shape)
        secret = hidden_cells(sizes.astype(np.int64))
        hidden += int(secret.sum())
        p_values = _cell_p_values(columns, place, sizes.size, times, generator)
        sums = _sums(columns[both], place[both], sizes.size)
        for at in np.flatnonzero((sizes > 0).ravel() & ~secret.ravel()):
            row, column = divmod(int(at), shape[1])
            rest = sums.sum(axis=0) - sums[at]
            size = int(sizes[row, column])
            rate = float(ratio_of(sums[at, :1], sums[at, 1:])[0])
            others = float(ratio_of(rest[:1], rest[1:])[0])
            enough = size >= LEAST_COMPARED and rest[1] > 0
            cells.append(
                {
                    "cell": {
                        first.attribute: first.names[row],
                        second.attribute: second.names[column],
                    },
                    "size": size,
                    "alert_rate": rate,
                    "alert_rate_diff": rate - others if enough else None,
                    "alert_rate_ratio": rate / others if enough and others > 0 else None,
                    "p_value": float(p_values[at]) if enough else None,
                }
            )
    tested = [cell for cell in cells if cell["p_value"] is not None]
    for cell, rejected in zip(
        tested, benjamini_hochberg([cell["p_value"] for cell in tested]), strict=True
    ):
        cell["differs"] = bool(rejected)
    return {
        "cells": cells,
        "hidden": hidden,
        "note": (
            f"Cells of fewer than {LEAST_COMPARED} are not compared, of fewer than {LEAST_SHOWN} "
            "not shown; further ones are hidden so that these cannot be worked out."
        ),
    }


def _sums(columns: NDArray[np.float64], place: Integers, cells: int) -> NDArray[np.float64]:
    return np.stack(
        [np.bincount(place, weights=column, minlength=cells) for column in columns.T], axis=1
    )


def _cell_p_values(
    columns: NDArray[np.float64],
    place: Integers,
    cells: int,
    times: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Of each cell: how often, of shuffled units, its rate is as far from the rest's."""

    def far(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        rest = sums.sum(axis=-2, keepdims=True) - sums
        return np.abs(ratio_of(sums[..., 0], sums[..., 1]) - ratio_of(rest[..., 0], rest[..., 1]))

    both = place >= 0
    observed = far(_sums(columns[both], place[both], cells))
    permuted = far(permuted_sums(columns, place, cells, times, generator))
    return np.array(
        [permutation_p_value(float(observed[at]), permuted[:, at]) for at in range(cells)]
    )
