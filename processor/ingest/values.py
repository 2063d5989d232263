"""Values: numbers and times of a record as telemetry has them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from schemas.base import MAX_EPOCH_MS, SECONDS
from schemas.times import rfc3339_ms

_NUMERIC: Final = re.compile(
    r"[+-]?(\d{1,400}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,4})?", re.ASCII
)
_MS_OF: Final[Mapping[str, float]] = {"s": 1000, "ms": 1, "us": 1e-3, "ns": 1e-6}
_FACTOR: Final[Mapping[str, tuple[int, int]]] = {
    "s": (1000, 1),
    "ms": (1, 1),
    "us": (1, 1000),
    "ns": (1, 1_000_000),
}


class InvalidTime(ValueError):
    """What is no time in its unit; the message says why."""


def as_number(found: Any, *, coerce: bool) -> float | int | None:
    """A finite number, or None for what counts as absent.

    Args:
        coerce: numeric strings are numbers, booleans are 0 and 1.
    """
    if isinstance(found, bool):
        return int(found) if coerce else None
    if isinstance(found, int):
        if -(2**63) <= found < 2**64:
            return found
        return _finite(float(found)) if found.bit_length() < 1024 else None
    if isinstance(found, float):
        return found if isfinite(found) else None
    if isinstance(found, Decimal):
        return _finite(float(found)) if found.is_finite() else None
    if coerce and isinstance(found, str) and len(found) <= 400:
        text = found.strip()
        if _NUMERIC.fullmatch(text):
            return _finite(float(text))
    return None


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def epoch_ms(found: Any, unit: str) -> int:
    """Epoch milliseconds of a time in its unit; digits below 1 ms are cut off.

    Raises:
        InvalidTime: it is none, or lies outside 1970 to 9999, or between 2000 and 2100 in seconds.
    """
    ms = _of_rfc3339(found) if unit == "rfc3339" else _of_number(found, unit)
    if not 0 <= ms <= MAX_EPOCH_MS:
        raise InvalidTime(f"expected {unit} since 1970, up to 9999, got {short_repr(found)}")
    if SECONDS[0] <= ms <= SECONDS[1]:
        told = short_repr(found)
        raise InvalidTime(f"expected {unit} since 1970, got {told}, which looks like seconds")
    return ms


def _of_rfc3339(found: Any) -> int:
    if not isinstance(found, str):
        raise InvalidTime(f"expected a text of RFC 3339, got {short_repr(found)}")
    try:
        return rfc3339_ms(found)
    except ValueError as error:
        raise InvalidTime(f"expected RFC 3339 with zone: {short_repr(found)} {error}") from None


def _of_number(found: Any, unit: str) -> int:
    if isinstance(found, str) and _NUMERIC.fullmatch(found):
        found = int(found) if found.isdigit() else float(found)
    if type(found) is int:
        times, by = _FACTOR[unit]
        return found * times // by
    if type(found) is float and isfinite(found * _MS_OF[unit]):
        return int(found * _MS_OF[unit])
    raise InvalidTime(f"expected a number of {unit}, got {short_repr(found)}")


def short_repr(found: Any) -> str:
    """A value in a message: short, ASCII."""
    if isinstance(found, int) and found.bit_length() > 128:
        return f"an integer of {found.bit_length()} bits"
    text = repr(found)[:60] if isinstance(found, str | int | float | bool | None) else ""
    return (text or type(found).__name__).encode("ascii", "backslashreplace").decode()
