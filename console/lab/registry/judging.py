"""What the gate says of an upload for a profile, and the candidate that is made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from console.lab.registry.endpoints import read_model
from console.live.state import now_ms
from console.problems import Problem
from console.services import Services
from processor.topics import OUTPUT_LIMIT
from schemas import ModelRecord


@dataclass(frozen=True)
class Judged:
    """What the gate said of an upload; `record` is what is sent, if it passed."""

    figures: dict[str, Any]
    passed: bool
    why: str
    features: str
    record: ModelRecord | None


def judge(console: Services, row: dict[str, Any], base: dict[str, Any]) -> Judged:
    """Calibrate the upload on the profile's samples, judge it, and write what passes.

    Raises:
        Problem: 422, it cannot be a detector of the profile; 410, a file is gone; 503.
    """
    # scikit-learn is loaded where a model is opened, and nowhere else.
    from models import artifacts
    from models.artifacts import GATE
    from models.errors import ArtifactError, ArtifactUnavailable
    from models.learning.foreign import UnfitForest, detector_from_sklearn, judge_foreign
    from processor.artifacts.storage import uncached
    from processor.settings import SettingsError

    forest = read_model(console, row)
    try:
        detector = detector_from_sklearn(forest, console.kafka.alert_budget)
    except UnfitForest as error:
        raise Problem(422, "not_a_detector", f"model: {error}") from None
    named = getattr(forest, "feature_names_in_", None)
    check_features(None if named is None else [str(n) for n in named], row, base["features"])
    place = {name: base[name] for name in ("kind", "profile_id", "partition", "generation")}
    try:
        with uncached(console.kafka) as store:
            current = store.read(base["artifact"], base["sha256"])
    except ArtifactUnavailable as error:
        raise unavailable(str(error)) from None
    except ArtifactError as error:
        raise Problem(410, "gone", f"the model in force cannot be opened: {error}") from None
    except SettingsError:
        raise unavailable("it cannot be opened from here") from None
    if not hasattr(current.detector, "calibration_"):
        raise Problem(
            422,
            "not_a_detector",
            f"profile_id: expected a profile whose detector judges rows one by one, got "
            f"{base['detector']}",
        )
    candidate = judge_foreign(
        current,
        detector,
        cold_start=int(current.provenance["cold_start"]),
        provenance={
            "trigger": "command",
            "base_version": base["version"],
            "partition": base["partition"],
            "upload": row["id"],
            "upload_sha256": row["sha256"],
            # So that two proposals of one upload are two artefacts.
            "proposal": str(uuid4()),
        },
    )
    outcome = candidate.outcome
    figures = {name: plain_number(value) for name, value in outcome.figures.items()}
    order = "by place: the upload has no names" if named is None else "by name"
    if not outcome.passed:
        return Judged(figures, False, outcome.why, order, None)
    model = candidate.model
    provenance = {**model.provenance, GATE: figures}
    artifact = artifacts.pack(replace(model, provenance=provenance), **place)
    record = ModelRecord(
        **place,
        base_version=base["version"],
        detector="forest",
        artifact=artifact.path,
        sha256=artifact.sha256,
        features=base["features"],
        trained_on=int(model.provenance["samples"]),
        learned=base["learned"],
        pool_count=base["pool_count"],
        alert_budget=console.kafka.alert_budget,
        decision_offset=float(model.detector.offset_),
        trigger="command",
        trained_at=now_ms(),
        source_offset=base["source_offset"],
        provenance=dict(model.provenance),
        figures=figures,
    )
    if len(record.model_dump_json()) > OUTPUT_LIMIT:
        raise Problem(413, "too_large", f"the candidate's record exceeds {OUTPUT_LIMIT} bytes")
    try:
        with uncached(console.kafka) as store:
            store.write(artifact)
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise unavailable(f"the artefact cannot be written: {told}") from None
    return Judged(figures, True, outcome.why, order, record)


def check_features(names: list[str] | None, row: dict[str, Any], expected: list[str]) -> None:
    """See that an upload judges what the profile's records hold.

    Raises:
        Problem: 422, names the difference.
    """
    if names is None:
        if len(row["features"]) != len(expected):
            raise Problem(
                422,
                "feature_mismatch",
                f"features: expected the profile's {len(expected)}, got {len(row['features'])}",
                expected=expected,
            )
        return
    if names == expected:
        return
    missing = [name for name in expected if name not in set(names)]
    more = [name for name in names if name not in set(expected)]
    told = [
        f"{word} {', '.join(map(repr, some[:5]))}{' …' if len(some) > 5 else ''}"
        for word, some in (("it lacks", missing), ("it has besides", more))
        if some
    ]
    detail = " and ".join(told) or f"they are in another order, expected {', '.join(expected[:20])}"
    raise Problem(
        422,
        "feature_mismatch",
        f"features: expected those of the profile: {detail}",
        missing=missing,
        unknown=more,
    )


def plain_number(value: Any) -> float | int:
    """A figure as JSON has it."""
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int) else float(number)


def unavailable(why: str) -> Problem:
    """503: the store of models does not answer as it should."""
    return Problem(
        503,
        "models_unavailable",
        f"the store of models: {why}",
        headers={"Retry-After": "5"},
    )
