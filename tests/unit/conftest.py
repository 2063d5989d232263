"""What unit tests share: hypothesis without a clock, since test machines are slow now and then."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from prometheus_client import CollectorRegistry

from processor.artifacts.directory import Directory
from processor.artifacts.model_store import ModelStore
from processor.kafka.consuming import Follower
from processor.metrics.metrics import Metrics
from processor.scorer.role import ScorerRole
from processor.settings import PREFIX
from tests.unit import builders

settings.register_profile(
    "unit", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unit")


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_the_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
            patch.delenv(name)
        yield


@pytest.fixture
def make_role(tmp_path: Path) -> Callable[..., Any]:
    """A role with a model directory of its own and no broker."""

    def made(
        kind: Any, *, directory: Path = tmp_path / "models", budget: int = 2**30, **wanted: Any
    ) -> Any:
        store = ModelStore(Directory(directory), budget)
        metrics = Metrics(CollectorRegistry())
        more = {"retention": lambda *_: {}} if kind is ScorerRole else {"follow": Follower}
        return kind(builders.settings(**wanted), store, metrics, structlog.get_logger(), **more)

    return made
