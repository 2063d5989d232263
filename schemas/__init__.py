"""What is on the wire: telemetry, verdicts and all else, as pydantic models and JSON Schema."""

from schemas.accepted import AcceptedSample, Mark, MarkName
from schemas.annotation import Label
from schemas.asyncapi import asyncapi
from schemas.base import InvalidJson, Telemetry, parse_object
from schemas.command import Command, CommandName
from schemas.export import json_schemas
from schemas.lifecycle import LifecycleEvent
from schemas.model_record import HistoryEntry, ModelRecord
from schemas.telemetry.behavior import BehaviorTelemetry
from schemas.telemetry.drowsiness import DrowsinessTelemetry
from schemas.telemetry.features import FeaturesTelemetry
from schemas.telemetry.series import SeriesTelemetry
from schemas.validation import explain
from schemas.verdict import Reason, SampleVerdict, Severity, Status, Verdict

__all__ = [
    "AcceptedSample",
    "BehaviorTelemetry",
    "Command",
    "CommandName",
    "DrowsinessTelemetry",
    "FeaturesTelemetry",
    "HistoryEntry",
    "InvalidJson",
    "Label",
    "LifecycleEvent",
    "Mark",
    "MarkName",
    "ModelRecord",
    "Reason",
    "SampleVerdict",
    "SeriesTelemetry",
    "Severity",
    "Status",
    "Telemetry",
    "Verdict",
    "asyncapi",
    "explain",
    "json_schemas",
    "parse_object",
]
