"""The job type `fit`: an isolation forest on the numbers of a data set, kept in the registry."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from console.jobs.context import Context, JobError
from console.lab.blobs import Blobs
from console.lab.runs.backtest import row_of
from console.lab.runs.parts import Judged, is_abnormal

TREES = 10
LEAST = 10
MOST_ROWS = 200_000


class FitConfig(BaseModel):
    """What is fitted on what."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: str
    epochs: int = Field(10, ge=1, le=100, description="Of ten trees each.")
    contamination: float = Field(0.01, gt=0, le=0.5)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    name: str = Field("", max_length=200)


def run(context: Context) -> dict[str, Any]:
    """Fit a forest, ten trees an epoch; with labels, measure it on the last fifth of the rows.

    Raises:
        JobError: the table has no numbers or too few rows.
    """
    import numpy as np
    from sklearn.ensemble import IsolationForest

    from console.lab.data.tables import batches
    from console.lab.registry.storing import register
    from console.lab.tracking import log_run

    config = FitConfig(**context.config)
    row = row_of(context, config.dataset_id)
    names = [
        each["name"]
        for each in row.columns
        if each["type"] in ("integer", "number") and each["name"] not in (row.target, "observed_at")
    ]
    if not names:
        raise JobError("dataset_id: the table has no column of numbers")
    values: list[list[Any]] = []
    labels: list[Any] = []
    profiles: list[str] = []
    name, _, packed = row.format.partition(".")
    with Blobs(context.settings.data_dir).open(row.path) as file:
        for batch in batches(file, name, packed=bool(packed)):
            context.check()
            for each in batch.to_pylist():
                values.append([each.get(column) for column in names])
                labels.append(None if row.target is None else each.get(row.target))
                profiles.append(str(each.get(row.profile_column or "", "")))
            if len(values) > MOST_ROWS:
                raise JobError(f"rows: expected at most {MOST_ROWS}, got {row.rows}")
    x = np.array(values, dtype=np.float64)
    if len(x) < LEAST:
        raise JobError(f"rows: expected at least {LEAST}, got {len(x)}")
    cut = len(x) - len(x) // 5
    forest = IsolationForest(
        n_estimators=TREES,
        warm_start=True,
        random_state=config.seed,
        contamination=config.contamination,
        n_jobs=1,
    )
    judged = Judged()
    for epoch in range(1, config.epochs + 1):
        forest.n_estimators = TREES * epoch
        forest.fit(x[:cut])
        judged = Judged()
        score, said = -forest.score_samples(x[cut:]), forest.predict(x[cut:]) < 0
        for place in range(cut, len(x)):
            if labels[place] is not None:
                at = place - cut
                truth = int(is_abnormal(labels[place]))
                judged.add(truth, bool(said[at]), float(score[at]), profiles[place])
        judged.report(context, epoch, cut, config.epochs)
    forest.feature_names_in_ = np.array(names, dtype=object)
    figures = judged.figures(config.seed) | {"rows": len(x)}
    held = sorted(set(profiles)) if row.profile_column else []
    model_id = register(
        context,
        forest,
        name=config.name or f"forest on {row.name}",
        family="imported",
        kind=row.kind,
        algorithm="IsolationForest",
        features=names,
        figures=figures,
        profiles=[(row.kind or "features", -1, each) for each in held],
    )
    result = figures | {"model_id": model_id}
    result["mlflow_run_id"] = log_run(context, row.kind or "features", result, [], forest)
    return result
