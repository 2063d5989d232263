"""The commands ``telltale ingest …``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import TYPE_CHECKING, Annotated

import typer

from processor.cli.options import CLIENT, with_settings
from processor.ingest import presets as known_presets
from processor.kafka.admin import partition_counts
from processor.kafka.reading import ToolError, admin_client, places_of, read
from processor.operations.produce import lines_of
from processor.records import ConsumerRecord
from processor.settings import Limits, Settings
from processor.text.escaping import dumped, printable
from processor.topics import Topics
from schemas.sources import Source

if TYPE_CHECKING:
    from processor.ingest.formats.schema import Registry
    from processor.ingest.pipeline import IngestContext
    from processor.ingest.rehearsal import SourceReport
    from processor.ingest.sources import SourcesFile

# What maps records comes with the libraries of models: it is imported by `check` and `run` alone.
SCHEMA_SECONDS = 10.0
SHOWN_PROFILES = 5
LIMITS = ("max_record_bytes", "max_features", "max_samples")

app = typer.Typer(help="Existing topics as input.", no_args_is_help=True)

SourcesArgument = Annotated[Path, typer.Argument(metavar="SOURCES", help="The file of sources.")]


@app.command("run")
@with_settings(show=True)
def ingest_run(settings: Settings, file: SourcesArgument) -> None:
    """Run ingest: records of existing topics to telemetry, exactly once."""
    from processor.runtime import process

    raise typer.Exit(process.run_process(settings.model_copy(update={"sources": file}), ["ingest"]))


@app.command("presets")
def presets_command(
    name: Annotated[str | None, typer.Argument(help="The preset to print as YAML.")] = None,
) -> None:
    """List the presets, or print one as YAML."""
    if name is not None:
        try:
            typer.echo(known_presets.preset_text(name), nl=False)
        except known_presets.UnknownPreset as error:
            raise typer.BadParameter(f"expected {error}", param_hint="NAME") from None
        return
    for one in known_presets.names():
        typer.echo(f"{one:24} {known_presets.preset_summary(one)}")


@app.command("check")
@with_settings(*CLIENT, *LIMITS)
def check_command(
    settings: Settings,
    file: SourcesArgument,
    source: Annotated[str | None, typer.Option(help="Only this source.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Records of each topic, the newest.")] = 1000,
    lines: Annotated[
        str | None,
        typer.Option("--file", metavar="FILE", help="JSON Lines instead: a value in each line."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what ingest would make of the newest records; writes nothing, joins no group."""
    from processor.ingest.sources import load_sources

    found = load_sources(file, settings)
    chosen = [at for at, one in enumerate(found.sources) if source in (None, one.name)]
    if not chosen:
        known = ", ".join(one.name for one in found.sources)
        raise typer.BadParameter(f"expected one of {known}, got {source!r}", param_hint="--source")
    reports = list(_reports(settings, found, chosen, count, lines))
    if as_json:
        typer.echo(dumped({"sources": [one.as_json() for one in reports]}, indent=True).decode())
    else:
        typer.echo("\n\n".join("\n".join(_told(one)) for one in reports))
    if any(report.mapped == 0 for report in reports):
        raise typer.Exit(1)


def _reports(
    settings: Settings, file: SourcesFile, chosen: list[int], count: int, lines: str | None
) -> Iterator[SourceReport]:
    from processor.ingest.mapping import Mapper
    from processor.ingest.pipeline import IngestContext, Input
    from processor.ingest.placing import Placing
    from processor.ingest.role import decoders, registry_of

    topics = Topics(settings.topic_prefix)
    limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
    registry = None if lines else registry_of(file)
    decode = decoders(file, registry) if lines is None else [_as_json] * len(file.sources)
    for at in chosen:
        source = file.sources[at]
        records = _newest(settings, source, count) if lines is None else _of_lines(source, lines)
        mapper = Mapper(source, limits, Placing(1))
        one = Input(decode[at], mapper, topics.telemetry(source.kind or ""))
        inputs = {topic: [one] for topic in {record.topic for record in records}}
        yield _rehearsed(source, records, IngestContext(topics, limits, 1, inputs), registry)


def _rehearsed(
    source: Source,
    records: list[ConsumerRecord],
    context: IngestContext,
    registry: Registry | None,
) -> SourceReport:
    """The report, once the registry has answered for every schema."""
    from processor.ingest.rehearsal import SchemaWanted, rehearse

    deadline = monotonic() + SCHEMA_SECONDS
    while True:
        try:
            return rehearse(source, records, context)
        except SchemaWanted:
            if monotonic() > deadline:
                why = None if registry is None else registry.waiting
                raise ToolError(why or "the schema registry does not answer") from None
            sleep(0.05)


def _as_json(record: ConsumerRecord) -> object:
    from processor.ingest.formats.plain_json import parse_json

    return parse_json(record.value or b"")


def _newest(settings: Settings, source: Source, count: int) -> list[ConsumerRecord]:
    """The newest records of a source's topics, each partition in its order."""
    from processor.ingest.sources import matches

    admin = admin_client(settings)
    if source.topic.startswith("^"):
        names = sorted(t for t in admin.list_topics(timeout=10.0).topics if matches(source, t))
    else:
        names = [source.topic] if partition_counts(admin, [source.topic]) else []
    if not names:
        raise ToolError(f"source {source.name}: no topic {source.topic}")
    found: list[ConsumerRecord] = []
    for name in names:
        held = list(read(settings, admin, places_of(admin, [name]), last=count))
        ends = {record.partition: record.offset for record in held}
        # Of records of one millisecond those count that stand nearer to their partition's end.
        newest = sorted(held, key=lambda r: (r.timestamp, r.offset - ends[r.partition]))[-count:]
        found += sorted(newest, key=lambda record: (record.partition, record.offset))
    return found


def _of_lines(source: Source, file: str) -> list[ConsumerRecord]:
    """Each line of a file as the value of a record."""
    now = time_ns() // 1_000_000
    topic = re.sub(r"[^A-Za-z0-9._-]", "", source.topic) or source.name
    with lines_of(file) as lines:
        values = [line.rstrip(b"\r\n") for line in lines]
    return [
        ConsumerRecord(topic, 0, at, None, value, (), now)
        for at, value in enumerate(values)
        if value.strip()
    ]


def _told(report: SourceReport) -> Iterator[str]:
    """A report for people."""
    from processor.ingest.rehearsal import warnings

    source, rate = report.source, report.records_a_second
    speed = "" if rate is None else f", {rate:.1f} records/s"
    yield f"{source.name} ({source.topic}, kind {source.kind}): {report.records} records{speed}"
    dead = sum(report.dead.values())
    yield (
        f"  mapped {report.mapped} ({report.observations} observations of "
        f"{len(report.first_seen)} profiles), filtered {report.filtered}, dead letters {dead}"
    )
    if report.first_seen:
        names = ", ".join(islice(report.first_seen, SHOWN_PROFILES))
        more = ", …" if len(report.first_seen) > SHOWN_PROFILES else ""
        yield f"  profiles: {printable(names)}{more}"
    for reason, sample in report.samples.items():
        where = f"{sample['topic']} [{sample['partition']}] offset {sample['offset']}"
        yield f"  {reason}: {report.dead[reason]}, such as {where}: {printable(sample['detail'])}"
        yield f"    {printable(sample['value'])}"
    for name, feature in report.features.items():
        missing = 100 * report.missing(name)
        yield f"  {printable(name)}: {feature.low:g} to {feature.high:g}, {missing:.1f} % missing"
    for text in warnings(report):
        yield f"  warning: {text}"
    if report.first is not None:
        yield f"  first: {dumped(report.first).decode()}"
