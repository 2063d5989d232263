"""What the versions of a profile's model are made of, as their artefacts say."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.artifacts import GATE, Model
from models.detectors.base import Detector
from models.errors import ArtifactError
from processor.artifacts.storage import storage
from processor.settings import Settings, SettingsError
from schemas import ModelRecord

Read = Callable[[str, str], Model]


@dataclass(frozen=True)
class Version:
    """A version and what is known of it; what only its artefact tells is None without that.

    Attributes:
        trigger: why it was announced; of an earlier version, why it was trained.
        trained_on: samples in the artefact, the original ones first.
        provenance: seed, parameters, library versions, policy, counts.
        calibration: number, mean and standard deviation of the out-of-sample scores, and the
            threshold at the budget of its training.
        gate: what the gate measured; None of a first version, which has no gate to pass.
        unopened: why its artefact was not opened; None if it was.
    """

    version: int
    trained_at: int
    artifact: str
    sha256: str
    decision_offset: float | None
    trigger: str | None = None
    trained_on: int | None = None
    provenance: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    gate: Mapping[str, Any] | None = None
    unopened: str | None = None

    def plain(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def versions(settings: Settings, record: ModelRecord) -> list[Version]:
    """The version in force and those of its history, newest first.

    An artefact is opened after its digest was checked. None is left in a cache of this machine,
    where forgetting would not find it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            read = storage(settings.model_copy(update={"model_cache": scratch})).read
        except SettingsError as error:
            return describe_version(record, _never(str(error)))
        return describe_version(record, read)


def describe_version(record: ModelRecord, read: Read) -> list[Version]:
    """The same, with artefacts read by ``read`` (path and SHA-256 → model, or ArtifactError)."""
    current = _described(record.version or 0, record, read)
    if current.provenance is None:
        current = replace(
            current,
            trained_on=record.trained_on,
            provenance=record.provenance,
            gate=record.figures,
        )
    current = replace(current, trigger=record.trigger)
    return [current, *(_described(old.version, old, read) for old in record.history)]


def _described(number: int, said: Any, read: Read) -> Version:
    """A version by what its announcement or its history says, and by its artefact."""
    known: dict[str, Any] = {
        "version": number,
        "trained_at": said.trained_at,
        "artifact": said.artifact,
        "sha256": said.sha256,
        "decision_offset": said.decision_offset,
    }
    try:
        model = read(said.artifact, said.sha256)
    except ArtifactError as error:
        return Version(**known, unopened=str(error))
    provenance = dict(model.provenance)
    gate = provenance.pop(GATE, None)
    calibration: dict[str, Any] = {
        "alert_budget": model.detector.alert_budget,
        "offset": float(model.detector.offset_),
    }
    if isinstance(model.detector, Detector):
        fitted = model.detector.calibration_
        scores = {"scores": int(fitted.scores.size), "mean": fitted.mean, "spread": fitted.spread}
        calibration = scores | calibration
    return Version(
        **known,
        trigger=provenance.get("trigger"),
        trained_on=int(model.samples.shape[0]),
        provenance=provenance,
        calibration=calibration,
        gate=gate,
    )


def _never(why: str) -> Read:
    def read(_path: str, _sha256: str) -> Model:
        raise ArtifactError(why)

    return read
