"""An uploaded table as a fleet: each row a unit, unless a profile has several rows."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.governance.bias.fleet import UNKNOWN, Fleet, Floats, Integers

PROFILE = "profile_id"
SEVERITIES = ("none", "low", "medium", "high", "critical")
_CONDITION = re.compile(r"\s*(\w[\w .-]*?)\s*(>=|<=|==|=|>|<)\s*([^\s<>=].*?)\s*")
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0", "anomaly", "abnormal", "positive"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0", "normal", "negative"))


class BadColumn(ValueError):
    """Which column is not as an analysis needs it, and what was expected."""


def fleet_of_table(
    columns: Mapping[str, Sequence[object]],
    attributes: Sequence[str],
    target: str | None,
    prediction: str,
) -> Fleet:
    """A fleet of the rows of a table.

    Args:
        columns: name → values, all as long.
        target: the column of labels: 1, true, anomaly; 0, false, normal; empty for none.
        prediction: a column of the same, or a condition such as ``severity>=high``.

    Raises:
        BadColumn: a column is missing, or holds neither yes nor no.
    """
    for name in attributes:
        if name not in columns:
            raise BadColumn(f"protected_attributes: expected columns of the table, got {name!r}")
    said = predicted(columns, prediction)
    there = ~np.isnan(said)
    unit = _units(columns, there.size)
    count = int(unit.max()) + 1 if unit.size else 0

    def summed(values: Floats) -> Floats:
        return np.asarray(
            np.bincount(unit[there], weights=values[there], minlength=count), dtype=np.float64
        )

    alarms, records = summed(np.nan_to_num(said)), summed(np.ones(said.size))
    confusion = None
    if target is not None and target in columns:
        truth = truth_flags(columns[target], target)
        cells = [
            ((said == p) & (truth == y)).astype(np.float64)
            for p, y in ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0))
        ]
        confusion = np.stack([summed(cell) for cell in cells], axis=1)
    elif target is not None:
        raise BadColumn(f"target_column: expected a column of the table, got {target!r}")
    first = np.zeros(count, dtype=np.int64)
    first[unit[::-1]] = np.arange(unit.size)[::-1]
    return Fleet(
        attributes={
            name: texts(columns[name])[first] if count else np.empty(0, dtype=np.str_)
            for name in attributes
        },
        alarms=alarms,
        records=records,
        confusion=confusion,
        labels=confusion,
        missed_known=confusion is not None,
    )


def _units(columns: Mapping[str, Sequence[object]], rows: int) -> Integers:
    held = columns.get(PROFILE)
    if held is None:
        return np.arange(rows)
    _, unit = np.unique(np.array([str(value) for value in held]), return_inverse=True)
    return np.asarray(unit, dtype=np.int64)


def texts(values: Sequence[object]) -> NDArray[np.str_]:
    """Values as text; what is not there is ``UNKNOWN``."""
    return np.array([UNKNOWN if value is None or value == "" else str(value) for value in values])


def truth_flags(values: Sequence[object], name: str) -> Floats:
    """1 for yes, 0 for no, NaN for nothing.

    Raises:
        BadColumn: a value is none of these.
    """
    return np.array([_flag(value, name) for value in values], dtype=np.float64)


def _flag(value: object, name: str) -> float:
    if value is None or value == "":
        return np.nan
    word = str(value).strip().lower()
    if word in _TRUE:
        return 1.0
    if word in _FALSE:
        return 0.0
    if word in ("nan", "unsure"):
        return np.nan
    raise BadColumn(f"{name}: expected true or false, 1 or 0, anomaly or normal, got {value!r}")


def predicted(columns: Mapping[str, Sequence[object]], prediction: str) -> Floats:
    """1 where a row is predicted abnormal, 0 where not, NaN where it is not known.

    Raises:
        BadColumn: as ``fleet_of_table``.
    """
    if prediction in columns:
        return truth_flags(columns[prediction], prediction)
    column, holds = condition(prediction)
    if column not in columns:
        raise BadColumn(f"prediction_column: expected a column of the table, got {column!r}")
    return np.array(
        [np.nan if v is None or v == "" else float(holds(v)) for v in columns[column]],
        dtype=np.float64,
    )


def condition(text: str) -> tuple[str, Callable[[object], bool]]:
    """A condition such as ``severity>=high`` or ``score>0.9``: its column, and its test.

    Raises:
        BadColumn: it is no condition.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise BadColumn(
            f"prediction_column: expected a column, or a condition as severity>=high, got {text!r}"
        )
    column, sign, wanted = match[1], match[2], match[3]
    compare = _COMPARE[sign]
    if wanted in SEVERITIES:
        rank = SEVERITIES.index(wanted)

        def by_severity(value: object) -> bool:
            return value in SEVERITIES and bool(compare(SEVERITIES.index(str(value)), rank))

        return column, by_severity
    try:
        number = float(wanted)
    except ValueError:
        return column, lambda value: bool(compare(str(value), wanted))

    def by_number(value: object) -> bool:
        try:
            return bool(compare(float(str(value)), number))
        except ValueError:
            return False

    return column, by_number
