"""Presets: how the records of well-known producers become telemetry, as YAML beside this module."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml


class UnknownPreset(ValueError):
    """There is no preset of that name; the message lists those that there are."""


def names() -> list[str]:
    """The presets' names."""
    files = resources.files("processor.ingest").joinpath("presets").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml"))


def preset_text(name: str) -> str:
    """A preset as its file has it.

    Raises:
        UnknownPreset: there is none of that name.
    """
    if name not in names():
        raise UnknownPreset(f"one of {', '.join(names())}")
    file = resources.files("processor.ingest").joinpath("presets", f"{name}.yaml")
    return file.read_text(encoding="utf-8")


def preset(name: str) -> dict[str, Any]:
    """The fields that a preset fills in.

    Raises:
        UnknownPreset: there is none of that name.
    """
    found: dict[str, Any] = yaml.safe_load(preset_text(name))
    return found


def preset_summary(name: str) -> str:
    """The first line of a preset, which says what it is for."""
    return preset_text(name).splitlines()[0].lstrip("# ")
