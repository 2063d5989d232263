"""Edges of the bins of features: deciles of what version 1 was trained on, or of first samples."""

from __future__ import annotations

from time import monotonic
from typing import Any

import numpy as np
from sqlalchemy import select

from console.days.features import FeatureOf, FeatureSums, deciles
from console.days.flush import profiles_with_edges
from console.store import tables as t
from console.store.database import Database
from processor.settings import Settings

OPEN_SECONDS = 0.5
"""So long may artefacts be opened for one flush; profiles that are left come with a later one."""


def new_edges(
    database: Database, settings: Settings, partition: int, sums: FeatureSums
) -> dict[FeatureOf, tuple[list[float], str]]:
    """Edges of features that have none yet, and their ``source``."""
    known = profiles_with_edges(database, partition, sums.profiles())
    found: dict[FeatureOf, tuple[list[float], str]] = {}
    deadline = monotonic() + OPEN_SECONDS
    opened: set[tuple[str, str]] = set()
    for kind, profile_id in sorted(sums.profiles() - known):
        if monotonic() > deadline:
            break
        for name, edges in _of_artefact(database, settings, kind, partition, profile_id).items():
            found[kind, profile_id, name] = (edges, "artefact")
            opened.add((kind, profile_id))
    left = sums.first_values(lambda of: of[:2] not in known and of[:2] not in opened)
    for of, values in left.items():
        told = deciles(values)
        if told is not None:
            found[of] = (told, "samples")
    return found


def _of_artefact(
    database: Database, settings: Settings, kind: str, partition: int, profile_id: str
) -> dict[str, list[float]]:
    """Feature → edges; nothing if the first version's artefact cannot be opened."""
    c = t.model_versions.c
    query = (
        select(c.artifact, c.sha256)
        .where(c.kind == kind, c.partition == partition, c.profile_id == profile_id)
        .where(c.version == 1)
        .order_by(c.generation.desc())
        .limit(1)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    model = None if row is None else _opened(settings, row)
    if model is None:
        return {}
    samples = np.asarray(model.samples, dtype=np.float64)
    found = {name: deciles(samples[:, at]) for at, name in enumerate(model.features)}
    return {name: edges for name, edges in found.items() if edges is not None}


def _opened(settings: Settings, row: Any) -> Any:
    # Here, not above: the console need not wait until scikit-learn is imported.
    from models.errors import ArtifactError
    from processor.artifacts.storage import uncached
    from processor.settings import SettingsError

    try:
        with uncached(settings) as store:
            return store.read(row.artifact, row.sha256)
    except (ArtifactError, SettingsError, OSError):
        return None
