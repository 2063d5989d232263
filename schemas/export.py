"""The models as JSON Schema, for producers and consumers in any language."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from schemas.accepted import AcceptedSample, Mark
from schemas.annotation import Attributes, Label
from schemas.command import Command
from schemas.lifecycle import LifecycleEvent
from schemas.model_record import ModelRecord
from schemas.sources import Sources
from schemas.telemetry import TELEMETRY
from schemas.verdict import Verdict

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

PUBLIC: Final[tuple[type[BaseModel], ...]] = (
    *TELEMETRY.values(),
    Verdict,
    AcceptedSample,
    Mark,
    ModelRecord,
    Command,
    LifecycleEvent,
    Label,
    Attributes,
)


def json_schemas() -> dict[str, dict[str, Any]]:
    """Model name → its JSON Schema 2020-12, each complete in itself.

    A schema says what is on the wire; what no schema can say (strictly increasing timestamps,
    lists of one length) stands in the descriptions.
    """
    everything: tuple[type[BaseModel], ...] = (*PUBLIC, Sources)
    return {
        model.__name__: {"$schema": DIALECT, **model.model_json_schema(mode="validation")}
        for model in everything
    }
