"""Metrics of a run judged once more, by a detector to which nothing has happened."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from models.artifacts import Model, read_artifact
from models.calibration.conformal import sample_budget
from models.detectors.forecast.batch import MetricPoints, judge_in_order
from models.detectors.forecast.detector import Forecast
from models.errors import ArtifactError
from models.kernels.forecast import layout
from processor.records import ConsumerRecord
from processor.topics import Topics
from tests.chaos.verify import Finding, place_of

Owner = tuple[int, str]
"""Partition and profile."""


class Metrics:
    """Replays the verdicts on metrics from the committed records alone.

    A profile of which an artefact is gone by the time it is asked for is left out from there on.

    Attributes:
        judged: records whose verdict was found to be that of the replay.
    """

    def __init__(self, topics: Topics, directory: Path, alert_budget: float) -> None:
        """
        Args:
            directory: where the artefacts are.
        """
        self.judged = 0
        self._topics, self._directory, self._budget = topics, directory, alert_budget
        self._values: dict[tuple[int, int], bytes] = {}
        self._verdicts: dict[Owner, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self._versions: dict[tuple[Owner, int], tuple[str, str]] = {}
        self._states: dict[Owner, bytes | None] = {}
        self._models: dict[Owner, tuple[int, Model]] = {}
        self._lost: set[Owner] = set()

    def take(self, record: ConsumerRecord) -> None:
        """Book a record of any topic."""
        names = self._topics
        if record.topic == names.telemetry("series"):
            self._values[record.partition, record.offset] = record.value or b""
        elif record.topic == names.anomalies:
            verdict = orjson.loads(record.value or b"")
            if (verdict["kind"], verdict["status"]) == ("series", "scored"):
                owner = record.partition, verdict["profile_id"]
                offset = place_of(verdict["verdict_id"])[2]
                self._verdicts[owner].append((offset, verdict))
        elif record.topic == names.models and record.value is not None:
            model = orjson.loads(record.value)
            owner = record.partition, model["profile_id"]
            if model["kind"] == "series":
                self._versions[owner, model["version"]] = model["artifact"], model["sha256"]

    def check(self) -> list[Finding]:
        """Verdicts since the last check that are not those of the replay."""
        found = []
        for owner, verdicts in self._verdicts.items():
            for offset, verdict in sorted(verdicts, key=lambda one: one[0]):
                expected = self._decision(owner, offset, verdict["model_version"])
                if expected is None:
                    break
                self.judged += 1
                if expected != verdict["decision"]:
                    told = f"decision {verdict['decision']}, {expected} by the points before it"
                    found.append(Finding("replay", verdict["verdict_id"], told))
        self._verdicts.clear()
        return found

    def _decision(self, owner: Owner, offset: int, version: int) -> float | None:
        """Of a record, judged with the state that those before it left."""
        model = self._model(owner, version)
        if model is None:
            return None
        assert isinstance(model.detector, Forecast)
        said = orjson.loads(self._values[owner[0], offset])
        times, values = (np.array(said[name], float) for name in ("timestamps", "values"))
        points = MetricPoints(model.detector, self._states.get(owner), times, values)
        (self._states[owner],), columns = judge_in_order([points])
        budget = sample_budget(self._budget, values.size)
        return float((-columns[:, layout.SURPRISE] - np.log([budget])).min())

    def _model(self, owner: Owner, version: int) -> Model | None:
        held, model = self._models.get(owner, (0, None))
        if held != version and owner not in self._lost:
            try:
                model = read_artifact(self._directory, *self._versions[owner, version])
            except ArtifactError:
                self._lost.add(owner)
            else:
                self._models[owner] = version, model
        return None if owner in self._lost else model
