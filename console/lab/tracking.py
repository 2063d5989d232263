"""MLflow: runs of jobs are logged there, and their models registered, if it is set up."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from console.jobs.context import Context
from processor.runtime import logs

URI = "MLFLOW_TRACKING_URI"
ORGANIZATION = "telltale.organization_id"
JOB = "telltale.job_id"
EXPERIMENTS = "telltale/"
MOST_EXPERIMENTS = 100


def tracking_uri() -> str | None:
    """Where MLflow is; None if runs are kept in the store alone."""
    return os.environ.get(URI) or None


def client() -> Any:
    """MLflow's client: loaded only where it is used, and never waited for long."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=tracking_uri())


def log_run(
    context: Context, kind: str, result: dict[str, Any], epochs: Sequence[Any], model: Any = None
) -> str | None:
    """Log a job as a run of experiment `telltale/<kind>`; its id, None without MLflow.

    What goes wrong there is logged and does not fail the job: the store has it all.

    Args:
        epochs: of the training, with `number`, `loss`, `accuracy`, `val_loss`, `val_accuracy`.
        model: registered beside it, as a skops file.
    """
    if tracking_uri() is None:
        return None
    try:
        return _logged(context, kind, result, epochs, model)
    except Exception:
        # MLflow raises whatever its store or its transport raises.
        logs.logger("worker").warning("mlflow", job_id=context.job_id, exc_info=True)
        return None


def _logged(
    context: Context, kind: str, result: dict[str, Any], epochs: Sequence[Any], model: Any
) -> str:
    from mlflow.entities import Metric, Param

    mlflow = client()
    name = f"{EXPERIMENTS}{kind}"
    found = mlflow.get_experiment_by_name(name)
    experiment = found.experiment_id if found is not None else mlflow.create_experiment(name)
    tags = {JOB: context.job_id, ORGANIZATION: context.owner.organization_id or ""}
    run_id: str = mlflow.create_run(experiment, tags=tags).info.run_id
    try:
        at = int(epochs[-1].number) if epochs else 0
        metrics = [
            Metric(field, float(value), 0, epoch.number)
            for epoch in epochs
            for field in ("loss", "accuracy", "val_loss", "val_accuracy")
            if (value := getattr(epoch, field)) is not None
        ]
        metrics += [Metric(key, value, 0, at) for key, value in measured(result).items()]
        params = [Param(key, str(value)[:500]) for key, value in sorted(context.config.items())]
        mlflow.log_batch(run_id, metrics=metrics[:1000], params=params)
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "result.json"
            file.write_bytes(
                orjson.dumps(result, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
            )
            mlflow.log_artifact(run_id, str(file))
            if model is not None:
                from console.lab.registry.files import packed

                file = Path(directory) / "model.skops"
                file.write_bytes(packed(model))
                mlflow.log_artifact(run_id, str(file), "model")
                _registered(mlflow, run_id, f"telltale-triage-{kind}")
        mlflow.set_terminated(run_id, "FINISHED")
    except BaseException:
        mlflow.set_terminated(run_id, "FAILED")
        raise
    return run_id


def _registered(mlflow: Any, run_id: str, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        mlflow.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{mlflow.get_run(run_id).info.artifact_uri}/model"
    mlflow.create_model_version(name, source, run_id)


def measured(result: dict[str, Any]) -> dict[str, float]:
    """The figures of a result that are metrics of a run."""
    found = {
        name: value for name, value in (result.get("scores") or {}).items() if value is not None
    }
    auc = (result.get("roc_curve") or {}).get("auc")
    return found if auc is None else found | {"auc": auc}


def runs(organization_id: str | None, most: int) -> list[dict[str, Any]]:
    """The newest runs in MLflow, of an organisation or all."""
    mlflow = client()
    pattern = f"name LIKE '{EXPERIMENTS}%'"
    experiments = mlflow.search_experiments(filter_string=pattern, max_results=MOST_EXPERIMENTS)
    names = {each.experiment_id: each.name for each in experiments}
    if not names:
        return []
    own = "" if organization_id is None else f"tags.`{ORGANIZATION}` = '{organization_id}'"
    found = mlflow.search_runs(
        list(names), filter_string=own, max_results=most, order_by=["attributes.start_time DESC"]
    )
    return [
        {
            "run_id": run.info.run_id,
            "source": "mlflow",
            "experiment": names[run.info.experiment_id],
            "name": run.info.run_name,
            "status": run.info.status.lower(),
            "job_id": run.data.tags.get(JOB),
            "params": dict(run.data.params),
            "metrics": dict(run.data.metrics),
            "started_at": run.info.start_time,
            "ended_at": run.info.end_time,
        }
        for run in found
    ]
