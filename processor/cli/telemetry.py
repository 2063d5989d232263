"""The operators' commands: produce, simulate, tail, profile, dead-letter and demo."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from time import time_ns
from typing import Annotated

import typer
from confluent_kafka import Producer
from rich.console import Console

from models.features import KINDS
from processor.cli import dead_letter as dead_letter_commands
from processor.cli import profile as profile_commands
from processor.cli.options import CLIENT, with_settings
from processor.cli.parameters import Kind
from processor.cli.profile import COLD_STARTS
from processor.cli.streams import reader_gone
from processor.kafka import config as kafka
from processor.kafka.reading import ToolError, admin_client, places_of
from processor.operations import tail
from processor.operations.produce import ProduceReport, lines_of, produce
from processor.records import ConsumerRecord
from processor.settings import Settings
from processor.simulation import simulator
from processor.simulation.send import send, truth_line
from processor.text.escaping import printable
from processor.topics import Topics

app = typer.Typer()
app.add_typer(profile_commands.app, name="profile")
app.add_typer(dead_letter_commands.app, name="dead-letter")


@app.command("produce")
@with_settings(*CLIENT)
def produce_command(
    settings: Settings,
    file: Annotated[str, typer.Argument(help="JSON Lines, gzip or not; - is standard input.")],
    kind: Annotated[Kind, typer.Option(help="Kind of the telemetry: its topic.")],
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Records a second; else as fast as they go.")
    ] = None,
) -> None:
    """Send telemetry from a file.

    A line is {"key": …, "value": {…}}, or a telemetry object with profile_id, which is the key.
    """
    topic = Topics(settings.topic_prefix).telemetry(kind)
    places_of(admin_client(settings), [topic])
    producer = Producer(kafka.plain_producer(settings))
    name = "standard input" if file == "-" else file

    def on_skip(number: int, why: str) -> None:
        typer.echo(printable(f"{name} line {number}: skipped: {why}"), err=True)

    with lines_of(file) as lines:
        sent = produce(producer, topic, lines, on_skip, rate)
    summary(sent, topic)


def summary(sent: ProduceReport, where: str) -> None:
    """Say what was sent; exit 1 if something was not."""
    speed = sent.delivered / sent.seconds if sent.seconds else 0.0
    typer.echo(f"{sent.delivered} records to {where} in {sent.seconds:.1f} s ({speed:,.0f}/s)")
    if sent.skipped:
        typer.echo(f"{len(sent.skipped)} lines skipped", err=True)
    if sent.undelivered:
        told = f"{sent.undelivered} records not delivered: {sent.reason}"
        typer.echo(printable(told), err=True)
    if sent.failed:
        raise typer.Exit(1)


@app.command("simulate")
@with_settings(*CLIENT, *COLD_STARTS)
def simulate_command(
    settings: Settings,
    profiles: Annotated[int, typer.Option(min=1, help="How many, spread over the kinds.")] = 12,
    records: Annotated[
        int | None, typer.Option(min=1, help="Of each profile; else until stopped.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(min=0.1, help="How long, at most.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Records a second; else as fast as they go.")
    ] = None,
    kinds: Annotated[list[Kind] | None, typer.Option(help="Kinds; else all.")] = None,
    anomaly_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of abnormal records after learning.")
    ] = 0.02,
    drift: Annotated[
        float, typer.Option(help="Standard deviations that normal moves in 1000 records.")
    ] = 0.5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same records.")] = 0,
    truth: Annotated[
        Path | None, typer.Option(help="Write what is known of each record here, JSON Lines.")
    ] = None,
    anomalies_while_learning: Annotated[
        bool, typer.Option(help="Put anomalies among the first samples as well.")
    ] = False,
) -> None:
    """Send telemetry of simulated profiles, with anomalies whose truth is known."""
    if records is None and seconds is None and rate is None:
        rate = 50.0
    topics = Topics(settings.topic_prefix)
    chosen = tuple(str(kind) for kind in kinds or Kind)
    places_of(admin_client(settings), [topics.telemetry(kind) for kind in chosen])
    plan = simulator.Plan(
        profiles=profiles,
        kinds=chosen,
        records=records,
        anomaly_rate=anomaly_rate,
        learning={
            kind: 0 if anomalies_while_learning else settings.cold_start(kind) for kind in KINDS
        },
        drift=drift,
        seed=seed,
        start=time_ns() // 1_000_000,
    )
    producer = Producer(kafka.plain_producer(settings))
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    abnormal = 0
    with ExitStack() as stack:
        try:
            file = None if truth is None else stack.enter_context(truth.open("wb"))
        except OSError as error:
            raise ToolError(f"{truth}: {error.strerror}") from None

        def on_truth(record: simulator.Simulated, topic: str, partition: int, offset: int) -> None:
            nonlocal abnormal
            abnormal += record.what is not None
            if file is not None:
                file.write(truth_line(record, topic, partition, offset))

        sent = send(
            producer,
            topics,
            simulator.simulate(plan),
            stopping,
            on_truth,
            rate=rate,
            seconds=seconds,
        )
    summary(sent, f"{settings.topic_prefix}telemetry.*, {abnormal} of them abnormal,")


@app.command("tail")
@with_settings(*CLIENT)
def tail_command(
    settings: Settings,
    anomalies: Annotated[bool, typer.Option("--anomalies", help="Only anomalies.")] = False,
    profile: Annotated[str | None, typer.Option(help="Only this profile.")] = None,
    json: Annotated[bool, typer.Option("--json", help="A verdict a line, as JSON.")] = False,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that the topic holds, then the new ones.")
    ] = False,
) -> None:
    """Show verdicts as they come, until Ctrl-C or until the reader of the output is gone."""
    console = Console(highlight=False, soft_wrap=True)

    def show(record: ConsumerRecord) -> None:
        if not json:
            console.print(tail.line_of(record))
        elif (text := tail.json_of(record)) is not None:
            sys.stdout.buffer.write(text + b"\n")
            sys.stdout.buffer.flush()
        else:
            typer.echo(tail.unknown(record), err=True)

    try:
        tail.follow(
            settings,
            Topics(settings.topic_prefix).anomalies,
            tail.VerdictFilter(anomalies, profile),
            show,
            from_beginning=from_beginning,
            count=count,
            unread=reader_gone,
        )
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@app.command("demo")
@with_settings("alert_budget", "detector")
def demo_command(
    settings: Settings,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=5, max=3600, help="How long telemetry flows; 20, and 300 with the console."
        ),
    ] = None,
    profiles: Annotated[int, typer.Option(min=1, max=400, help="Simulated profiles.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another run.")] = 0,
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines, as without a terminal.")
    ] = False,
    with_console: Annotated[
        bool, typer.Option("--console", help="Serve the console beside it, on until Ctrl-C.")
    ] = False,
) -> None:
    """Show the main job at work: broker, both roles and simulated profiles in this process."""
    # Here, not above: the other commands need not wait until scikit-learn is imported.
    from processor.demo import run
    from processor.demo.view import View

    console = Console()
    # Five minutes are to be watched: profiles learn within the first of them, not at once.
    script = run.Script(
        seconds=seconds or (300 if with_console else 20),
        profiles=profiles,
        rate=(4.0 if with_console and seconds is None else 20.0) * profiles,
        seed=seed,
        console=with_console,
    )
    run.run_demo(script, settings, View(console, plain or not console.is_terminal))
