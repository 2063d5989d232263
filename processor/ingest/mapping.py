"""Mapping: one source's way from a decoded record to observations, compiled from its fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from processor.ingest.formats.unwrap import NotWrapped, unwrap
from processor.ingest.kinds import InvalidField, Unmappable, compiled_path, telemetry_builder
from processor.ingest.paths import (
    ROOT,
    InvalidPath,
    PathFailed,
    Roots,
    compile_template,
    is_true,
    kind_of,
)
from processor.ingest.placing import Placing
from processor.ingest.values import InvalidTime, epoch_ms
from processor.records import ConsumerRecord
from processor.settings import Limits
from schemas.base import MAX_EPOCH_MS, SECONDS
from schemas.sources import Source


class Observation(NamedTuple):
    """What one observation of a record comes to.

    Attributes:
        at: epoch milliseconds.
        fields: of the telemetry record, all but the time.
    """

    profile: str
    key: bytes
    partition: int
    at: int
    fields: dict[str, Any]


class Mapper:
    """A source's mapping, compiled.

    Attributes:
        source: what was compiled.
        fallbacks: observations whose time was not where ``observed_at`` says.
    """

    def __init__(self, source: Source, limits: Limits, placing: Placing) -> None:
        """Compile.

        Raises:
            InvalidField: a path or template is none.
        """
        self.source = source
        self.fallbacks = 0
        self._limits = limits
        self._placing = placing
        self._each = compiled_path("each", source.each)
        self._where = compiled_path("where", source.where)
        time = source.observed_at
        self._time = None if time is None else compiled_path("observed_at", time.path, "path")
        try:
            self._identify = compile_template(source.profile_id or "")
        except InvalidPath as error:
            raise InvalidField(("profile_id",), f"expected {error}") from None
        self._build = telemetry_builder(source, limits)

    def observations(self, record: ConsumerRecord, document: Any) -> list[Observation]:
        """The observations of a record; none if all of them are filtered.

        Args:
            document: its value, decoded.

        Raises:
            NoData: it holds no data.
            Unmappable: it cannot be mapped, or breaks the contract: all of it or nothing.
        """
        source = self.source
        try:
            beside: Mapping[str, Any] = {}
            if source.unwrap or document is None:
                document, beside = unwrap(document, source.unwrap, record)
            roots = {ROOT: document, **beside}
            if self._each is None:
                wanted = self._wanted(document, roots)
                return [self._observation(document, roots, record)] if wanted else []
            items = self._items(self._each(document, roots))
            return [
                self._observation(item, roots, record)
                for item in items
                if self._wanted(item, roots)
            ]
        except (NotWrapped, PathFailed) as error:
            raise Unmappable(str(error)) from None

    def _items(self, found: Any) -> Sequence[Any]:
        """What ``each`` found, as observations."""
        if found is None:
            return ()
        if not isinstance(found, list):
            raise Unmappable(f"each: {self.source.each}: expected an array, got {kind_of(found)}")
        if len(found) > self._limits.samples:
            detail = f"each: {len(found)} observations, expected at most {self._limits.samples}"
            raise Unmappable(detail, "too_large")
        return found

    def _wanted(self, item: Any, roots: Roots) -> bool:
        return self._where is None or is_true(self._where(item, roots))

    def _observation(self, item: Any, roots: Roots, record: ConsumerRecord) -> Observation:
        profile = self._identify(item, roots, record)
        try:
            key, partition = self._placing.place(profile)
        except ValueError as error:
            raise Unmappable(f"profile_id: {self.source.profile_id}: {error}") from None
        at = self._at(item, roots, record)
        return Observation(profile, key, partition, at, self._build(item, roots, at))

    def _at(self, item: Any, roots: Roots, record: ConsumerRecord) -> int:
        time = self.source.observed_at
        if self._time is not None and time is not None:
            found = self._time(item, roots)
            if found is not None:
                try:
                    return epoch_ms(found, time.unit)
                except InvalidTime as error:
                    raise Unmappable(f"observed_at: {time.path}: {error}") from None
            self.fallbacks += 1
        own = min(max(0, record.timestamp), MAX_EPOCH_MS)
        if SECONDS[0] <= own <= SECONDS[1]:
            # The scorer would refuse it as observed_at.
            raise Unmappable(f"observed_at: the record's own timestamp looks like seconds: {own}")
        return own


def compiled(sources: Sequence[Source], limits: Limits, placing: Placing) -> Iterator[Mapper]:
    """The mappers of sources in their order.

    Raises:
        InvalidField: a path or template is none; its place begins with ``sources`` and the number.
    """
    for at, source in enumerate(sources):
        try:
            yield Mapper(source, limits, placing)
        except InvalidField as error:
            raise InvalidField(("sources", at, *error.place), str(error)) from None
