"""Command-line flags for the settings, made from their one declaration."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from processor.cli.show_settings import lines
from processor.settings import PREFIX, Settings, SettingsError, load
from processor.text.escaping import printable

CLIENT = ("bootstrap_servers", "kafka_config", "topic_prefix", "application")
SHOW = "show_settings"

_SHOW = inspect.Parameter(
    SHOW,
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[
        bool,
        typer.Option("--show-settings", help="Print the settings, secrets masked, and exit."),
    ],
)


def with_settings(
    *names: str, show: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command a ``settings`` argument and a flag for each of ``names`` (default: all).

    Args:
        show: also give it ``--show-settings``, which prints them in place of the command.
    """
    chosen = names or tuple(Settings.model_fields)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def call(**arguments: Any) -> Any:
            flags = {name: arguments.pop(name) for name in chosen}
            settings = _load(flags)
            if show and arguments.pop(SHOW):
                typer.echo("\n".join(lines(settings, flags)))
                return None
            return command(settings=settings, **arguments)

        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.name != "settings"
        ]
        flags = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_flag(name)
            )
            for name in chosen
        ]
        if show:
            flags.insert(0, _SHOW)
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own] + flags
        vars(call)["__signature__"] = inspect.Signature(parameters)
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        return call

    return decorate


def _load(flags: dict[str, Any]) -> Settings:
    """Settings; a flag with a wrong value is wrong usage, a wrong variable is a failure."""
    try:
        return load(**flags)
    except SettingsError as error:
        if not any(flags.get(name) is not None for name in error.fields):
            raise
        typer.echo(f"telltale: {printable(str(error))}", err=True)
        raise typer.Exit(2) from None


def _flag(name: str) -> Any:
    field = Settings.model_fields[name]
    default = "" if field.default is None else f" Default: {field.default}."
    return Annotated[
        str | None,
        typer.Option(
            f"--{name.replace('__', '-').replace('_', '-')}",
            help=f"{field.description}{default} [{PREFIX}{name.upper()}]",
            show_default=False,
            rich_help_panel="Settings",
        ),
    ]
