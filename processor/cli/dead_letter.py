"""The commands ``telltale dead-letter …``."""

from __future__ import annotations

from time import time_ns
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from processor.cli.options import CLIENT, with_settings
from processor.cli.parameters import moment_of
from processor.operations import tail
from processor.operations.dead_letter_list import DeadLetterFilter, Group, by_reason
from processor.operations.dead_letter_replay import letters, replay
from processor.operations.dead_letter_skip import skip
from processor.settings import Settings
from processor.text.escaping import dumped, printable
from processor.topics import Topics

app = typer.Typer(help="Records that could not be answered.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(help="Only of this reason.")]
Topic = Annotated[
    str | None, typer.Option(help="Only from this topic; its prefix may be left out.")
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="From then on: epoch ms, RFC 3339 with zone, or 2h ago as 2h."
    ),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before then, written likewise.")]


@app.command("list")
@with_settings(*CLIENT)
def list_command(
    settings: Settings,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Dead letters by reason: how many, how many wait to be sent back, the newest, a sample."""
    groups = by_reason(letters(settings, wanted_of(settings, reason, topic, since, until)))
    if json:
        plain = {name: group.plain() for name, group in groups.items()}
        typer.echo(dumped(plain, indent=True))
    elif groups:
        console = Console(highlight=False, soft_wrap=True)
        console.print(table_of(groups))
        for name, group in groups.items():
            console.print(newest_of(name, group))
    else:
        typer.echo("no dead letters")


@app.command("replay")
@with_settings(*CLIENT)
def replay_command(
    settings: Settings,
    reason: Reason = None,
    topic: Topic = None,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
) -> None:
    """Send dead letters back to their topic and partition, each once.

    The header telltale.replayed says how often a record was sent back.
    """
    wanted = wanted_of(settings, reason, topic, since, until)
    done = replay(settings, wanted, dry_run=dry_run)
    verb = "would be sent" if dry_run else "sent"
    for (name, where), count in sorted(done.sent.items()):
        typer.echo(printable(f"{count} {verb} back to {where} ({name})"))
    if not done.sent:
        typer.echo("nothing to send back")
    for why, count in sorted(done.stay.items()):
        typer.echo(printable(f"{count} stay: {why}"))


@app.command("skip")
@with_settings(*CLIENT)
def skip_command(
    settings: Settings,
    topic: Annotated[str, typer.Argument(help="Input topic; its prefix may be left out.")],
    partition: Annotated[int, typer.Argument(min=0, help="Its partition.")],
    offset: Annotated[int, typer.Argument(min=0, help="Where the role stands still.")],
) -> None:
    """Go past records that no client can read, such as a batch that unpacks to too much.

    The whole batch at that offset is skipped; a dead letter with the reason "skipped" records it.
    """
    whole = _whole(settings, topic)
    done = skip(settings, whole, partition, offset)
    typer.echo(f"skipped {whole} [{partition}] offsets {done.first} to {done.last}: {done.error}")


def wanted_of(
    settings: Settings, reason: str | None, topic: str | None, since: str | None, until: str | None
) -> DeadLetterFilter:
    """The filter that options ask for."""
    now = time_ns() // 1_000_000
    whole = None if topic is None else _whole(settings, topic)
    topics = Topics(settings.topic_prefix)
    known = (*topics.kinds(), topics.accepted)
    if whole in topics.configs() and whole not in known:
        told = f"expected one of {', '.join(known)}, or a topic that ingest reads"
        raise typer.BadParameter(told, param_hint="--topic")
    return DeadLetterFilter(
        reason,
        whole,
        None if since is None else moment_of(since, "--since", now, ahead=False),
        None if until is None else moment_of(until, "--until", now, ahead=False),
    )


def _whole(settings: Settings, topic: str) -> str:
    """A topic of Telltale with its prefix; any other name is that of a topic that ingest reads."""
    prefixed = f"{settings.topic_prefix}{topic}"
    return prefixed if prefixed in Topics(settings.topic_prefix).configs() else topic


def table_of(groups: dict[str, Group]) -> Table:
    """The groups as a table."""
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("reason", "count", "waiting", "again", "newest"):
        number = name in ("count", "waiting", "again")
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for name, group in groups.items():
        counts = (str(group.count), str(group.waiting), str(group.again))
        newest = "?" if group.newest is None else tail.date(group.newest)
        table.add_row(Text(printable(name)), *counts, newest)
    return table


def newest_of(reason: str, group: Group) -> Text:
    """The newest of a group as one line."""
    sample = group.sample
    told = f"{reason}, newest: {sample['from']} key '{sample['key']}': {sample['detail']}"
    return Text(printable(told))
