"""What the processor's tests share: no settings of whoever runs them, and roles to try."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from processor.metrics import Metrics
from processor.model_store import ModelStore
from processor.scorer_role import ScorerRole
from processor.settings import PREFIX
from processor.storage import Directory
from tests.unit.processor import build


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
        more = {"retention": lambda *_: {}} if kind is ScorerRole else {}
        return kind(build.settings(**wanted), store, metrics, structlog.get_logger(), **more)

    return made
