"""Functions of paths beyond JMESPath's own: objects from pairs, nested and chosen members, OTLP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from jmespath.functions import Functions, signature

DEEPEST: Final = 64
MOST: Final = 100_000
"""Members that ``flat`` gives, at most: beyond them no record has telemetry."""


class PathFunctions(Functions):  # type: ignore[misc]
    """What an expression may call."""

    @signature({"types": ["array", "null"]})  # type: ignore[untyped-decorator]
    def _func_from_items(self, items: list[Any] | None) -> dict[str, Any]:
        """``from_items(array)``: the object of pairs of name and value (JMESPath Community)."""
        return {
            pair[0]: pair[1]
            for pair in items or ()
            if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)
        }

    @signature({"types": ["object", "null"]}, {"types": ["string", "null"]})  # type: ignore[untyped-decorator]
    def _func_member(self, found: dict[str, Any] | None, name: str | None) -> Any:
        """``member(object, name)``: the member whose name stands in the record."""
        return None if found is None or name is None else found.get(name)

    @signature({"types": ["object", "null"]}, {"types": ["array-string"]})  # type: ignore[untyped-decorator]
    def _func_omit(self, found: dict[str, Any] | None, names: list[str]) -> Any:
        """``omit(object, names)``: the object without some members."""
        return found and {name: held for name, held in found.items() if name not in names}

    @signature({"types": ["object", "null"]})  # type: ignore[untyped-decorator]
    def _func_flat(self, found: dict[str, Any] | None) -> Any:
        """``flat(object)``: members of objects inside it under dotted names, without arrays."""
        if found is None:
            return None
        flat: dict[str, Any] = {}
        for name, held in _leaves(found, "", 1):
            if len(flat) >= MOST:
                break
            flat[name] = held
        return flat

    @signature({"types": ["array", "null"]})  # type: ignore[untyped-decorator]
    def _func_otlp_values(self, scopes: list[Any] | None) -> dict[str, Any]:
        """``otlp_values(scopeMetrics)``: number of each data point, named ``metric{attributes}``.

        Of histograms and summaries it is the mean of what they counted.
        """
        return {
            _point_name(metric["name"], point): held
            for scope in scopes or ()
            for metric in _objects(scope, "metrics")
            if isinstance(metric.get("name"), str)
            for sort in ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
            for point in _objects(metric.get(sort), "dataPoints")
            if (held := _point_value(point)) is not None
        }


def _leaves(found: dict[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, held in found.items():
        if isinstance(held, dict):
            if depth < DEEPEST:
                yield from _leaves(held, f"{prefix}{name}.", depth + 1)
        elif not isinstance(held, list):
            yield f"{prefix}{name}", held


def _objects(found: Any, name: str) -> list[dict[str, Any]]:
    held = found.get(name) if isinstance(found, dict) else None
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _point_name(metric: str, point: dict[str, Any]) -> str:
    told = sorted(
        f"{one.get('key')}={_scalar(one.get('value'))}" for one in _objects(point, "attributes")
    )
    return f"{metric}{{{','.join(told)}}}" if told else metric


def _scalar(value: Any) -> Any:
    """The value of an OTLP attribute; of an array or a list of pairs, nothing."""
    names = ("stringValue", "intValue", "doubleValue", "boolValue")
    return next((value[n] for n in names if isinstance(value, dict) and n in value), "")


def _point_value(point: dict[str, Any]) -> float | int | None:
    """The number of a data point; OTLP's JSON writes 64-bit integers as text."""
    if "count" in point:
        count, total = _number(point["count"]), _number(point.get("sum"))
        return None if not count or total is None else total / count
    return _number(point["asDouble"] if "asDouble" in point else point.get("asInt"))


def _number(found: Any) -> float | int | None:
    if isinstance(found, str):
        text = found.lstrip("-")
        return int(found) if text.isascii() and text.isdigit() and len(text) < 20 else None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None
