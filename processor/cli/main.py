"""The commands."""

from __future__ import annotations

import re
import sys
from importlib.metadata import entry_points
from typing import Annotated

import orjson
import typer
from confluent_kafka import KafkaError, KafkaException

import schemas
from processor.cli import backtest as backtest_commands
from processor.cli import evaluate as evaluate_commands
from processor.cli import ingest as ingest_commands
from processor.cli import telemetry as telemetry_commands
from processor.cli.options import CLIENT, with_settings
from processor.kafka import admin as topic_admin
from processor.kafka.reading import ToolError, admin_client
from processor.settings import Settings, SettingsError
from processor.text.escaping import printable
from processor.topics import Topics

app = typer.Typer(
    name="telltale",
    help="A model of normal for every profile on a Kafka stream, a verdict on every record.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
topics_app = typer.Typer(help="Create and check the topics.", no_args_is_help=True)
app.add_typer(topics_app, name="topics")
app.add_typer(telemetry_commands.app)
app.add_typer(backtest_commands.app)
app.add_typer(evaluate_commands.app)
app.add_typer(ingest_commands.app, name="ingest")


@app.command("score")
@with_settings(show=True)
def score_command(settings: Settings) -> None:
    """Run the scorer: a verdict on every telemetry record."""
    raise typer.Exit(_roles(settings, ["scorer"]))


@app.command("retrain")
@with_settings(show=True)
def retrain_command(settings: Settings) -> None:
    """Run the retrainer: better models from what was accepted as normal."""
    raise typer.Exit(_roles(settings, ["retrainer"]))


@app.command("run")
@with_settings(show=True)
def run_command(settings: Settings) -> None:
    """Run the scorer and the retrainer, and with --sources ingest, in one process with one port."""
    roles = ["scorer", "retrainer"]
    raise typer.Exit(_roles(settings, roles if settings.sources is None else [*roles, "ingest"]))


def _roles(settings: Settings, roles: list[str]) -> int:
    # Commands that need no model do not wait until scikit-learn and numba are imported.
    from processor.runtime import process

    return process.run_process(settings, roles)


@topics_app.command("create")
@with_settings(*CLIENT, "partitions", "replication")
def topics_create(settings: Settings) -> None:
    """Create the topics that are missing; none if one exists with another partition count."""
    admin = admin_client(settings)
    names = Topics(settings.topic_prefix)
    wrong = topic_admin.apart(admin, names, settings.partitions)
    for sentence in wrong:
        typer.echo(sentence, err=True)
    if wrong:
        typer.echo("no topic was created", err=True)
        raise typer.Exit(1)
    created = topic_admin.create(admin, names, settings.partitions, settings.replication)
    for name in created:
        typer.echo(f"created {name} ({settings.partitions} partitions)")
    if not created:
        typer.echo("all topics exist")


@topics_app.command("check")
@with_settings(*CLIENT, "compressed_inputs")
def topics_check(settings: Settings) -> None:
    """Say what differs from the topics that Telltale needs; exit 1 if anything does."""
    admin = admin_client(settings)
    found = topic_admin.check(
        admin, Topics(settings.topic_prefix), compressed_inputs=settings.compressed_inputs
    )
    for sentence in found:
        typer.echo(sentence, err=True)
    if found:
        raise typer.Exit(1)
    typer.echo("all topics are as they should be")


@app.command()
def schema(
    asyncapi: Annotated[bool, typer.Option(help="The AsyncAPI 3 document instead.")] = False,
    openapi: Annotated[
        bool, typer.Option("--openapi", help="The OpenAPI 3.1 document of the console instead.")
    ] = False,
    topic_prefix: Annotated[str, typer.Option(help="Put before every topic name.")] = "",
) -> None:
    """Print the JSON Schemas of all records."""
    if openapi:
        raise typer.Exit(_console(["openapi"]))
    document = schemas.asyncapi(topic_prefix) if asyncapi else schemas.json_schemas()
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


@app.command(
    "console",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def console(context: typer.Context) -> None:
    """Run the console: HTTP API and store (the extra telltale[console])."""
    raise typer.Exit(_console(context.args))


@app.command(
    "lab",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def lab(context: typer.Context) -> None:
    """Train and compare models that learn from labels (the extra telltale[console])."""
    raise typer.Exit(_console(["lab", *context.args]))


@app.command(
    "govern",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def govern(context: typer.Context) -> None:
    """Bias, explanations, compliance, monitoring (the extra telltale[console])."""
    raise typer.Exit(_console(["govern", *context.args]))


def _console(arguments: list[str]) -> int:
    # It stands above this package, which therefore knows it by its entry point alone.
    (found,) = entry_points(group="telltale.commands", name="console")
    try:
        command = found.load()
    except ModuleNotFoundError as error:
        raise ToolError(
            f"console: {error.name} is not installed: pip install 'telltale[console]'"
        ) from None
    code = typer.main.get_command(command).main(
        args=arguments, prog_name="telltale console", standalone_mode=False
    )
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point: errors are one readable line on standard error."""
    try:
        app()
    except (SettingsError, ToolError) as error:
        _fail(str(error))
    except KafkaException as error:
        reason = error.args[0]
        said_by = "Kafka"
        if reason.code() == KafkaError._INVALID_ARG:
            said_by = "TELLTALE_KAFKA_CONFIG, or another setting that Kafka's client refuses"
        # What a property was set to may be a secret in the wrong line.
        told = re.sub(r'Invalid value ".*" for', "Invalid value for", reason.str(), flags=re.S)
        _fail(f"{said_by}: {told}")


def _fail(message: str) -> None:
    sys.stderr.write(f"telltale: {printable(message)}\n")
    raise SystemExit(1)
