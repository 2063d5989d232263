"""Kinds: the fields of an observation's telemetry, built by the paths of its source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from models.features import KINDS
from processor.ingest.paths import (
    Getter,
    InvalidPath,
    Roots,
    compile_path,
    is_dotted,
    kind_of,
)
from processor.ingest.values import as_number
from processor.records import DeadLetter
from processor.settings import Limits
from schemas import explain
from schemas.base import names_fault
from schemas.sources import ALL, Source

MOST_SHAPES: Final = 1000
"""Sets of names that are remembered as valid."""

MOST_NAMES: Final = 100_000
"""Names in all sets that are remembered."""

UNMAPPED = "unmapped"


class Unmappable(Exception):
    """A record that is no telemetry by its source's mapping."""

    def __init__(self, detail: str, reason: str = UNMAPPED) -> None:
        super().__init__(detail)
        self.letter = DeadLetter(reason, detail)


class InvalidField(ValueError):
    """A field of a source that cannot be compiled."""

    def __init__(self, place: tuple[str | int, ...], why: str) -> None:
        super().__init__(why)
        self.place = place


Build = Callable[[Any, Roots, int], dict[str, Any]]
"""The fields of an observation: from the item, the roots, and its time in epoch ms."""


def compiled_path(field: str, text: str | None, *within: str | int) -> Any:
    """The getter of a field's path, None without one.

    Raises:
        InvalidField: it is no path.
    """
    if text is None:
        return None
    try:
        return compile_path(text)
    except InvalidPath as error:
        raise InvalidField((field, *within), f"expected {error}") from None


def telemetry_builder(source: Source, limits: Limits) -> Build:
    """What builds the fields of a source's kind.

    Raises:
        InvalidField: a path, or a feature's name, is none.
    """
    if source.kind == "features":
        return _features(source, limits)
    if source.kind == "series":
        return _series(source)
    if source.kind == "drowsiness":
        return _drowsiness(source, limits)
    return _behavior(source, limits)


def _features(source: Source, limits: Limits) -> Build:
    paths = source.values or {}
    named = [(n, compiled_path("values", text, n)) for n, text in paths.items() if n != ALL]
    fault = names_fault([name for name, _ in named])
    if fault is not None:
        raise InvalidField(("values",), f"expected names of features: {fault}")
    star = _Members(source)
    coerce, strict = source.coerce, source.format == "json"
    groups = grouped(paths)
    alone = [(name, get) for name, get in named if not any(name in of for _, of in groups)]

    def build(item: Any, roots: Roots, _: int) -> dict[str, Any]:
        values: dict[str, float | int] = {}
        for parent, members in groups:
            inner = parent(item, roots)
            if not isinstance(inner, dict):
                continue
            for name, member in members.items():
                found = inner.get(member)
                # JSON has no number that is not finite.
                if strict and type(found) is float:
                    values[name] = found
                elif found is not None:
                    held = as_number(found, coerce=coerce)
                    if held is not None:
                        values[name] = held
        for name, get in alone:
            held = as_number(get(item, roots), coerce=coerce)
            if held is not None:
                values[name] = held
        added = star.add(values, item, roots)
        if len(values) > limits.features:
            detail = f"values: {len(values)} features, expected at most {limits.features}"
            raise Unmappable(detail, "too_large")
        if added:
            star.check(tuple(values))
        if not values:
            raise Unmappable(f"values: nothing is present of {', '.join(paths.values())[:500]}")
        return {"values": values}

    return build


class _Members:
    """Adds every numeric member of an object that no path has taken."""

    def __init__(self, source: Source) -> None:
        self._path = (source.values or {}).get(ALL)
        self._get = compiled_path("values", self._path, ALL)
        self._coerce = source.coerce
        self._names_seen: set[tuple[str, ...]] = set()
        self._remembered = 0

    def add(self, values: dict[str, float | int], item: Any, roots: Roots) -> bool:
        """Add them; whether there was an object.

        Raises:
            Unmappable: it is no object.
        """
        if self._get is None:
            return False
        members = self._get(item, roots)
        if members is None:
            return False
        if not isinstance(members, dict):
            raise Unmappable(f"values: {self._path}: expected an object, got {kind_of(members)}")
        for name, found in members.items():
            held = as_number(found, coerce=self._coerce)
            if held is not None:
                values.setdefault(name, held)
        return True

    def check(self, names: tuple[str, ...]) -> None:
        """Check the names of a record, which are not more than are allowed.

        Raises:
            Unmappable: a name is none.
        """
        if names in self._names_seen:
            return
        fault = names_fault(names)
        if fault is not None:
            raise Unmappable(f"values: {fault}")
        self._remembered += len(names)
        if len(self._names_seen) >= MOST_SHAPES or self._remembered > MOST_NAMES:
            self._names_seen.clear()
            self._remembered = len(names)
        self._names_seen.add(names)


def _series(source: Source) -> Build:
    get: Getter = compiled_path("value", source.value)

    def build(item: Any, roots: Roots, at: int) -> dict[str, Any]:
        found = get(item, roots)
        held = as_number(found, coerce=source.coerce)
        if held is None:
            raise Unmappable(f"value: {source.value}: expected a number, got {kind_of(found)}")
        return {"timestamps": [at], "values": [held]}

    return build


def _drowsiness(source: Source, limits: Limits) -> Build:
    names = ("ear_value", "is_drowsy", "duration_ms")
    paths = [(name, compiled_path(name, getattr(source, name))) for name in names]

    def build(item: Any, roots: Roots, _: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, get in paths:
            found = get(item, roots)
            if name == "is_drowsy":
                held = as_number(found, coerce=True) if source.coerce else found
                fields[name] = bool(held) if source.coerce and held in (0, 1) else found
            else:
                fields[name] = as_number(found, coerce=source.coerce)
        return _valid(source, limits, fields)

    return build


def _behavior(source: Source, limits: Limits) -> Build:
    get: Getter = compiled_path("window", source.window)

    def build(item: Any, roots: Roots, _: int) -> dict[str, Any]:
        found = get(item, roots)
        if not isinstance(found, dict):
            raise Unmappable(f"window: {source.window}: expected an object, got {kind_of(found)}")
        own = ("profile_id", "kind", "observed_at")
        return _valid(source, limits, {n: held for n, held in found.items() if n not in own})

    return build


def _valid(source: Source, limits: Limits, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record of the kind, if they are valid by the contract."""
    kind = KINDS[source.kind or ""]
    held = fields.get(kind.bounded) if kind.bounded is not None else None
    if isinstance(held, list) and len(held) > limits.samples:
        detail = f"{kind.bounded}: {len(held)}, expected at most {limits.samples}"
        raise Unmappable(detail, "too_large")
    try:
        kind.telemetry.model_validate(fields)
    except ValidationError as error:
        raise Unmappable(explain(error)) from None
    return fields


def grouped(paths: Mapping[str, str]) -> list[tuple[Getter, dict[str, str]]]:
    """Plain dotted paths by the object that they end in, which is looked up once for all of them.

    Returns:
        Getter of the object, and the member of it that each name takes.
    """
    found: dict[str, dict[str, str]] = {}
    for name, path in paths.items():
        parent, _, member = path.rpartition(".")
        if name != ALL and parent and is_dotted(path):
            found.setdefault(parent, {})[name] = member
    return [(compile_path(parent), members) for parent, members in found.items()]
