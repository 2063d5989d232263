"""Values as people read them: times, numbers, and why a record is an anomaly."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10
from typing import Any

from markupsafe import Markup, escape

from console.answers import rfc3339

DASH = "–"
TINY = 1e-4
"""Smaller shares are not told apart."""


def when(ms: int | str | None, style: str = "time") -> Markup:
    """A time that the page's script shows in the viewer's zone; without it, in UTC.

    Args:
        ms: epoch milliseconds, or RFC 3339.
        style: ``time``, or ``ago`` for how long it is since.
    """
    told = ms if isinstance(ms, str) else rfc3339(ms)
    if told is None:
        return escape(DASH)
    shown = told[:19].replace("T", " ") + " UTC"
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(told, style, shown)


def number(value: Any) -> str:
    """A number with as many digits as say something.

    >>> number(182.9412), number(1234567), number(0.000123456), number(None), number(True)
    ('182.9', '1,234,567', '0.000123', '–', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, int | float):
        return DASH if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size == 0 or size != size or size == float("inf"):
        return f"{value:g}"
    if size >= 1e15 or size < 1e-6:
        return f"{value:.3g}"
    digits = max(0, (3 if size >= 100 else 2) - floor(log10(size)))
    if size >= 1000:
        return f"{value:,.0f}"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(share: float | None) -> str:
    """A share as percent.

    >>> percent(0.0123), percent(2.8e-8), percent(0.0), percent(None)
    ('1.23\\xa0%', '<\\xa00.01\\xa0%', '0\\xa0%', '–')
    """
    if share is None:
        return DASH
    tiny = 0 < share < TINY
    return f"<\u00a0{number(100 * TINY)}\u00a0%" if tiny else f"{number(share * 100)}\u00a0%"


def count(many: int, one: str, more: str | None = None) -> str:
    """A count with its noun.

    >>> count(1, "record"), count(2000, "record"), count(2, "entry", "entries")
    ('1 record', '2,000 records', '2 entries')
    """
    return f"{many:,} {one if many == 1 else more or one + 's'}"


def reason(given: Mapping[str, Any]) -> Markup:
    """A reason as a sentence has it; names of features come from the wire.

    >>> str(reason({"feature": "memory", "value": 182.94, "typical": [129, 148.2]}))
    '<bdi>memory</bdi> 182.9, usually 129–148.2'
    """
    return Markup("<bdi>{}</bdi> {}").format(str(given.get("feature", "")), seen(given))


def seen(given: Mapping[str, Any]) -> Markup:
    """The same without the name of the feature."""
    typical, value = given.get("typical"), given.get("value")
    text = escape("missing" if value is None else number(value))
    if isinstance(typical, list | tuple) and len(typical) == 2:
        text += usually(typical[0], typical[1])
    if given.get("text"):
        text += Markup(": <bdi>{}</bdi>").format(str(given["text"]))
    return text


def sentence(given: Mapping[str, Any]) -> str:
    """A reason as plain text.

    >>> sentence({"feature": "<b>", "value": 2, "typical": [1, 1]})
    '<b> 2, usually 1'
    """
    return reason(given).striptags()


def usually(low: Any, high: Any) -> str:
    """What is usual, as the end of a sentence; an end may be open.

    >>> usually(129, 148), usually(None, 3), usually(2, 2), usually(None, None)
    (', usually 129–148', ', usually at most 3', ', usually 2', '')
    """
    if low is None and high is None:
        return ""
    if low is None:
        return f", usually at most {number(high)}"
    if high is None:
        return f", usually at least {number(low)}"
    ends = (number(low), number(high))
    return f", usually {ends[0]}" if ends[0] == ends[1] else f", usually {ends[0]}–{ends[1]}"
