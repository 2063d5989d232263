"""Fields of verdicts that do not change while a model version is in force."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import orjson

from models.calibration.drift import least_mean
from models.naming import misnamed
from schemas import ModelRecord

NUMBER_BYTES, OTHER_BYTES = 25, 16_384
"""At most: a number as JSON and what parts it from the next, and all of an answer but the names."""

CONSTANT_FIELDS = ("profile_id", "kind", "version", "generation", "learned")
"""Fields of the announcement that stand in each normal answer, beside the names."""


class FeatureNames:
    """The names of a profile's columns, one object for all profiles that have the same.

    Attributes:
        columns: the names, in order.
        text: as JSON.
        answer_bytes: what the answer to a normal record of one sample takes, at most.
    """

    __slots__ = ("__weakref__", "answer_bytes", "columns", "text")

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.text = orjson.dumps(columns)
        self.answer_bytes = OTHER_BYTES + NUMBER_BYTES * len(columns) + len(self.text)

    def __reduce__(
        self,
    ) -> tuple[Callable[[tuple[str, ...]], FeatureNames], tuple[tuple[str, ...]]]:
        return feature_names_of, (self.columns,)


_names: WeakValueDictionary[tuple[str, ...], FeatureNames] = WeakValueDictionary()


def feature_names_of(columns: tuple[str, ...]) -> FeatureNames:
    """The one object for these names."""
    found = _names.get(columns)
    if found is None:
        found = _names[columns] = FeatureNames(columns)
    return found


class VersionConstants(NamedTuple):
    """The fields that all verdicts of a profile share.

    Attributes:
        sha256, artifact: of the version, as announced.
        text: the ``CONSTANT_FIELDS`` fields as JSON, one after another.
        ends: where each of them ends in ``text``, int64.
        mean: least mean of p-values that still fits the version, see ``drift.least_mean``.
        trained_on: samples of the version.
        misnamed: why the artefact is not one that Telltale names; None if it is.
    """

    sha256: str
    artifact: str
    names: FeatureNames
    text: bytes
    ends: bytes
    mean: float
    trained_on: int
    misnamed: str | None = None


def version_constants(announced: ModelRecord) -> VersionConstants:
    """The constants of the announcement in force."""
    names = feature_names_of(tuple(announced.features))
    texts = [orjson.dumps(getattr(announced, field)) for field in CONSTANT_FIELDS]
    ends = np.fromiter(accumulate(map(len, texts)), np.int64, len(texts)).tobytes()
    mean = least_mean(announced.trained_on)
    wrong = misnamed(
        announced,
        kind=announced.kind,
        profile_id=announced.profile_id,
        partition=announced.partition or 0,
        generation=announced.generation,
    )
    return VersionConstants(
        announced.sha256,
        announced.artifact,
        names,
        b"".join(texts),
        ends,
        mean,
        announced.trained_on,
        wrong,
    )
