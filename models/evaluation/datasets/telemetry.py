"""Telemetry streams with labels: records of the product's own form, brought to vectors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from models.evaluation.datasets.tasks import Floats, Integers, RecordingError, read_rows
from models.features import behavior
from schemas.telemetry.behavior import BehaviorTelemetry


@dataclass(frozen=True)
class Labelled:
    """The vectors of one profile by what they are for; groups number the sessions."""

    name: str
    train: Floats
    genuine: Floats
    abnormal: Floats
    genuine_groups: Integers
    abnormal_groups: Integers


def behavior_profiles(path: Path) -> Iterator[Labelled]:
    """Profiles of a behaviour stream ``<path>`` and its ``.labels.csv.gz``, in order of appearance.

    Raises:
        RecordingError: a file is missing, or labels and records do not belong together.
    """
    labels = list(read_rows(path.with_name(path.name.removesuffix(".jsonl.gz") + ".labels.csv.gz")))
    vectors = _vectors(path)
    if len(labels) != vectors.shape[0]:
        raise RecordingError(f"{path}: {vectors.shape[0]} records, but {len(labels)} labels")
    keys = np.array([label["key"] for label in labels])
    train = np.array([label["phase"] == "train" for label in labels])
    genuine = np.array([label["label"] == "genuine" for label in labels])
    sessions = np.array([label.get("session") or str(row) for row, label in enumerate(labels)])
    usable = ~np.isnan(vectors).all(axis=1)
    for name in dict.fromkeys(keys.tolist()):
        own = (keys == name) & usable
        normal, abnormal = own & ~train & genuine, own & ~train & ~genuine
        yield Labelled(
            name,
            vectors[own & train],
            vectors[normal],
            vectors[abnormal],
            np.unique(sessions[normal], return_inverse=True)[1],
            np.unique(sessions[abnormal], return_inverse=True)[1],
        )


def _vectors(path: Path) -> Floats:
    """One row a record, shape (records, 52)."""
    try:
        with gzip.open(path, "rb") as file:
            records = [
                BehaviorTelemetry.model_validate(orjson.loads(line)["value"]) for line in file
            ]
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or error}") from error
    return np.concatenate([behavior.extract_behavior(record).rows for record in records])
