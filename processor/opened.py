"""The models of a batch: each opened once, or said to be lost."""

from __future__ import annotations

from collections.abc import Iterable

from models.artifacts import ArtifactError, Model
from processor import announcements
from processor.draft import Draft
from processor.records import ProfileKey
from processor.standing import Standing
from processor.state import Active


def open_models(draft: Draft, profiles: Iterable[tuple[ProfileKey, Active, Standing]]) -> None:
    """Have every model that the batch needs at hand, or say that it is lost."""
    needed = []
    for key, active, standing in profiles:
        if standing.misnamed is not None:
            # Not even from memory, where another profile's artefact may have the same digest.
            announcements.fall_back(draft, key, active, ArtifactError(standing.misnamed))
        elif standing.sha256 not in draft.models:
            needed.append((key, active, standing))
    opened = draft.rules.open_models([standing for _, _, standing in needed])
    found = {sha256: model for sha256, model in opened.items() if isinstance(model, Model)}
    draft.models |= found
    if len(found) == len(opened):
        return
    for key, active, standing in needed:
        model = opened[standing.sha256]
        if not isinstance(model, Model):
            announcements.fall_back(draft, key, active, model)
