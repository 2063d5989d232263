"""What is imported when: heavy libraries only for those who need them."""

from __future__ import annotations

import subprocess
import sys

import pytest

import models

HEAVY = ("numba", "scipy", "sklearn")


@pytest.mark.parametrize("name", models.__all__)
def test_every_public_name_is_found_in_its_module(name: str) -> None:
    assert getattr(models, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = models.nothing


@pytest.mark.parametrize("module", ["models", "models.features", "processor.cli.main"])
def test_heavy_libraries_are_not_imported_with(module: str) -> None:
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["processor.cli.main", "processor.runtime.process"])
def test_the_console_and_its_libraries_are_not_imported_with(module: str) -> None:
    names = ("console", "fastapi", "uvicorn", "sqlalchemy", "alembic", "psycopg", "jwt", "argon2")
    code = f"import sys, {module}; print([m for m in {names} if m in sys.modules])"

    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert told.stdout.strip() == "[]"
