"""The types of jobs: what runs them, and what their configuration must be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from console.auth.permissions import ANALYSIS_CREATE, DATA_WRITE, MODEL_WRITE

if TYPE_CHECKING:
    from console.jobs.context import Context

Run = Callable[["Context"], Mapping[str, Any]]
"""Does the work of a job; its answer is the results, as JSON takes them."""


@dataclass(frozen=True)
class JobType:
    """A type of job.

    Attributes:
        run: `module:function`, loaded in the worker alone.
        config: `module:Model`, the pydantic model of the configuration, loaded when one is asked
            for.
        permissions: that whoever asks for one needs.
        repeatable: whether it may be begun again after its worker was killed.
        posted: whether `POST /api/v1/jobs` takes it; others are asked for by other endpoints.
    """

    run: str
    config: str
    permissions: tuple[str, ...] = (ANALYSIS_CREATE,)
    repeatable: bool = True
    posted: bool = True


RUNS = "console.lab.runs"
TYPES: dict[str, JobType] = {
    "triage": JobType("console.lab.triage.job:run", "console.lab.triage.job:TriageConfig"),
    "backtest": JobType(f"{RUNS}.backtest:run", f"{RUNS}.backtest:BacktestConfig"),
    "evaluate": JobType(f"{RUNS}.evaluate:run", f"{RUNS}.evaluate:EvaluateConfig"),
    "fit": JobType(f"{RUNS}.fit:run", f"{RUNS}.fit:FitConfig"),
    "retrain": JobType(
        f"{RUNS}.retrain:run",
        f"{RUNS}.retrain:RetrainConfig",
        permissions=(ANALYSIS_CREATE, MODEL_WRITE),
    ),
    "send": JobType(
        "console.lab.data.sending:run",
        "console.lab.data.sending:SendConfig",
        permissions=(DATA_WRITE,),
        repeatable=False,
        posted=False,
    ),
}
"""Name → type."""


def run_of(job_type: JobType) -> Run:
    """The function of a type."""
    found: Run = _named(job_type.run)
    return found


def config_of(job_type: JobType) -> type[BaseModel]:
    """The model of a type's configuration."""
    found: type[BaseModel] = _named(job_type.config)
    return found


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)
