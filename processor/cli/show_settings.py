"""``--show-settings``: every setting with its value and origin, without a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from processor.kafka import config as kafka
from processor.settings import PREFIX, Settings, SettingsError

HIDDEN = "***"


def lines(settings: Settings, flags: Mapping[str, Any]) -> Iterator[str]:
    """Each setting as a line of a ``.env`` file, its origin as a comment.

    Of the client.properties file the names are told and no value; of a URL not its credentials.

    Args:
        flags: the command's flags by setting; None if one was not given.
    """
    environment = {name.upper() for name, value in os.environ.items() if value}
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if flags.get(name) is not None:
            origin = "flag"
        elif variable in environment:
            origin = "environment"
        else:
            origin = ".env" if name in settings.model_fields_set else "default"
        value = getattr(settings, name)
        text = "" if value is None else settings.masked(str(value))
        yield f"{variable}={text}  # {origin}"
        if name == "kafka_config":
            yield from _properties(settings)


def _properties(settings: Settings) -> Iterator[str]:
    if settings.kafka_config is None:
        return
    try:
        found = kafka.properties(settings.kafka_config)
    except SettingsError as error:
        yield f"#   {error}"
        return
    for key in found:
        yield f"#   {key}={HIDDEN}"
