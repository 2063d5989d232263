"""The examples in docstrings of public classes give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

CLASSES = (
    "models.detectors.blend.Blend",
    "models.detectors.deviation.Deviation",
    "models.detectors.forecast.detector.Forecast",
    "models.detectors.forest.Forest",
    "models.detectors.gaussian.Gaussian",
    "models.detectors.isolation_forest.IsolationForest",
    "models.detectors.neighbors.Neighbors",
    "models.detectors.uncompiled.Uncompiled",
    "processor.columnar.fast_path.FastPath",
    "processor.stream.step.Step",
    "processor.stream.transaction.Transactions",
)


@pytest.mark.parametrize("path", CLASSES)
def test_the_example_of_a_class_gives_what_it_says(path: str) -> None:
    module_name, _, name = path.rpartition(".")
    module = import_module(module_name)
    # Not by module: artefacts name some classes by another one.
    found = doctest.DocTestFinder().find(
        getattr(module, name), path, module=False, globs=dict(vars(module))
    )
    runner = doctest.DocTestRunner()

    for example in found:
        runner.run(example)

    assert runner.tries > 0, "it has no example"
    assert runner.failures == 0, "doctest's report is above"
