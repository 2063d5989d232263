"""The job type `triage`: trains a model on labelled alerts and registers it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from console.auth.permissions import Caller
from console.jobs.context import Context, JobError
from console.lab.triage.features import FEATURES, Algorithm
from models.features import KINDS

EPOCHS = 20


class TriageConfig(BaseModel):
    """What a training is asked for with."""

    model_config = ConfigDict(extra="forbid")

    algorithm: Algorithm = "random_forest"
    simulate: bool = Field(False, description="Learn from simulated alerts, not from labels.")
    kind: str | None = Field(None, description="Alerts of one kind alone.")
    epochs: int = Field(EPOCHS, ge=1, le=1000)
    batch_size: int = Field(64, ge=1, le=100_000, description="Of mlp.")
    seed: int = Field(0, ge=0, le=2**31 - 1)
    profiles: int = Field(60, ge=4, le=1000, description="Simulated ones.")
    records: int = Field(500, ge=100, le=10_000, description="Of each simulated profile.")
    name: str = Field("", max_length=200, description="Of the model that comes of it.")
    use: bool | None = Field(
        None, description="Rank alerts by it; by default if it learnt from labels."
    )


def run(context: Context) -> dict[str, Any]:
    """Train, measure, register.

    Raises:
        JobError: there are not enough labels.
    """
    # Loaded in a worker alone.
    from console.lab.registry.storing import register
    from console.lab.tracking import log_run
    from console.lab.triage.pipeline import TooFew, trained
    from console.lab.triage.training import Epoch

    config = TriageConfig(**context.config)
    if config.kind is not None and config.kind not in KINDS:
        raise JobError(f"kind: expected one of {', '.join(KINDS)}, got {config.kind!r}")
    examples = examples_of(context, config)
    epochs: list[Epoch] = []

    def tell(epoch: Epoch) -> None:
        epochs.append(epoch)
        context.report(
            epoch=epoch.number,
            epochs=config.epochs,
            loss=epoch.loss,
            accuracy=epoch.accuracy,
            val_loss=epoch.val_loss,
            val_accuracy=epoch.val_accuracy,
            records=len(examples.y),
        )

    try:
        model, figures = trained(
            examples,
            config.algorithm,
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=config.seed,
            tell=tell,
        )
    except TooFew as few:
        raise JobError(str(few)) from None
    context.check()
    source = "simulated" if config.simulate else "labels"
    use = not config.simulate if config.use is None else config.use
    model_id = register(
        context,
        model,
        name=config.name or f"triage {config.algorithm}",
        family="triage",
        kind=config.kind,
        algorithm=config.algorithm,
        features=list(FEATURES),
        figures=figures | {"source": source},
        profiles=[] if config.simulate else examples.profiles,
        stage="in_use" if use else "none",
    )
    result = figures | {"model_id": model_id, "source": source}
    result["mlflow_run_id"] = log_run(context, config.kind or "all", result, epochs, model)
    return result


def examples_of(context: Context, config: TriageConfig) -> Any:
    """The alerts that a job learns from, with progress as they are simulated."""
    from console.lab.triage.examples import labelled, simulated

    if not config.simulate:
        owner = context.owner
        who = Caller(owner.by, "", "", owner.organization_id, owner.profile_prefix)
        return labelled(context.database, who, config.kind)

    def tell(_done: int, _of: int) -> None:
        context.check()

    return simulated(
        context.kafka,
        profiles=config.profiles,
        records=config.records,
        seed=config.seed,
        tell=tell,
    )
