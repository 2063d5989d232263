"""The commands ``telltale profile …``."""

from __future__ import annotations

from time import time_ns
from typing import Annotated

import typer
from rich.console import Console

from models.features import KINDS
from processor.cli.options import CLIENT, with_settings
from processor.cli.parameters import Kind, moment_of
from processor.operations import profile_state, profile_view
from processor.operations.profile_command import QUEUED, Request, send_and_await, unconfirmed_roles
from processor.settings import Settings
from processor.text.escaping import dumped, printable
from processor.topics import Topics
from schemas.base import id_fault

COLD_STARTS = ("cold_start_samples", *(f"cold_start_samples__{kind}" for kind in KINDS))

app = typer.Typer(help="Where a profile stands, and what becomes of it.", no_args_is_help=True)


def _id(text: str) -> str:
    fault = id_fault(text)
    if fault is not None:
        raise typer.BadParameter(fault)
    return text


def _utf8(text: str | None) -> str | None:
    if text is not None and not text.isascii():
        # What the shell passed is no UTF-8 then.
        lone = next((at for at, sign in enumerate(text) if "\ud800" <= sign <= "\udfff"), None)
        if lone is not None:
            raise typer.BadParameter(f"not UTF-8 at character {lone}")
    return text


Id = Annotated[
    str, typer.Argument(metavar="ID", callback=_id, help="The profile's id: its records' key.")
]
OfKind = Annotated[Kind | None, typer.Option(help="Only of this kind; else of all.")]
Reason = Annotated[str | None, typer.Option(callback=_utf8, help="Why, for the audit.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the receipt.")]


@app.command("show")
@with_settings(*CLIENT, *COLD_STARTS, "model_dir")
def show_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    verdicts: Annotated[int, typer.Option(min=0, help="How many of the last ones.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="As one JSON array.")] = False,
) -> None:
    """Say where a profile stands: learning or active, versions and their making, last verdicts."""
    standings = profile_state.profile_statuses(settings, profile_id, kind, verdicts)
    from processor.operations.profile_versions import versions

    made = [versions(settings, standing.model) if standing.model else [] for standing in standings]
    if json:
        plain = [
            standing.plain() | {"versions": [version.plain() for version in known]}
            for standing, known in zip(standings, made, strict=True)
        ]
        typer.echo(dumped(plain, indent=True))
        return
    console = Console(highlight=False, soft_wrap=True)
    for standing, known in zip(standings, made, strict=True):
        console.print(profile_view.view(standing, known, verdicts))


@app.command("forget")
@with_settings(*CLIENT)
def forget_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    reason: Reason = None,
    timeout: Timeout = 30,
) -> None:
    """Delete all that was learnt of a profile; it learns anew from its next record on."""
    ask(settings, Request("forget", profile_id, kind, reason=reason), timeout)


@app.command("retrain")
@with_settings(*CLIENT)
def retrain_profile(
    settings: Settings,
    profile_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="The profile's id: its records' key.")
    ] = None,
    all_of_them: Annotated[
        bool, typer.Option("--all", help="Every profile that has a model, in place of one ID.")
    ] = False,
    kind: OfKind = None,
    reason: Reason = None,
    timeout: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait for the receipt; with --all, for the next."),
    ] = 30,
) -> None:
    """Have a profile, or every one, retrained now on what was accepted so far."""
    if (profile_id is None) is not all_of_them:
        raise typer.BadParameter("expected an ID or --all, and not both", param_hint="ID")
    if profile_id is not None:
        ask(settings, Request("retrain", profile_id, kind, reason=reason), timeout)
        return
    from processor.operations.retrain_all import retrain_all

    def told(done: int, total: int) -> None:
        typer.echo(f"{done} of {total} profiles answered", err=True)

    outcome = retrain_all(settings, kind, reason, timeout, told)
    for event in outcome.rejected:
        typer.echo(f"{event.kind} {event.profile_id}: {event.event}: {event.detail}", err=True)
    for which, text in ((outcome.unanswered, QUEUED), (outcome.unsent, "not sent")):
        if which:
            _, of, name = which[0]
            more = f", and {len(which) - 1} more" if len(which) > 1 else ""
            typer.echo(f"{of} {name}{more}: {text}", err=True)
    unanswered = len(outcome.unanswered) + len(outcome.unsent)
    typer.echo(
        f"{outcome.requested} requested, {len(outcome.rejected)} rejected, {unanswered} unanswered"
    )
    if not outcome.answered:
        raise typer.Exit(1)


@app.command("rollback")
@with_settings(*CLIENT)
def rollback_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Back to this version; else to the one before.")
    ] = None,
    reason: Reason = None,
    timeout: Timeout = 30,
) -> None:
    """Go back to an earlier version of a profile's model."""
    request = Request("rollback", profile_id, kind, version=version, reason=reason)
    ask(settings, request, timeout)


@app.command("suppress")
@with_settings(*CLIENT)
def suppress_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Epoch ms, RFC 3339 with zone, or from now on as 2h, 30m, 3d; else until resumed.",
        ),
    ] = None,
    reason: Reason = None,
    timeout: Timeout = 30,
) -> None:
    """Begin a maintenance window: verdicts go on, alerting skips them, nothing is learnt."""
    now = time_ns() // 1_000_000
    end = None if until is None else moment_of(until, "--until", now, ahead=True)
    request = Request("suppress", profile_id, kind, until=end, reason=reason)
    ask(settings, request, timeout)


@app.command("resume")
@with_settings(*CLIENT)
def resume_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    reason: Reason = None,
    timeout: Timeout = 30,
) -> None:
    """End a maintenance window."""
    ask(settings, Request("resume", profile_id, kind, reason=reason), timeout)


@app.command("accept")
@with_settings(*CLIENT, "model_dir", "max_record_bytes", "max_features", "max_samples")
def accept_command(
    settings: Settings,
    verdict_id: Annotated[str, typer.Argument(metavar="VERDICT_ID", help="As the verdict has it.")],
) -> None:
    """Say that a verdict was a false alarm: its record becomes a sample of normal."""
    # Here, not above: the other commands need not wait until scikit-learn is imported.
    from processor.operations.profile_accept import accept

    sample = accept(settings, verdict_id)
    known = [p for p in sample.p_values if p is not None]
    told = f", least p-value {min(known):.3g}" if known else ""
    line = (
        f"accepted {verdict_id} for {sample.kind} {sample.profile_id}: "
        f"{len(sample.vectors)} sample{'s' if len(sample.vectors) > 1 else ''}{told}; "
        f"written to {Topics(settings.topic_prefix).accepted}"
    )
    typer.echo(printable(line))


def ask(settings: Settings, request: Request, timeout: float) -> None:
    """Send a command, show its receipts; exit 1 where none came or it was rejected."""
    receipts = send_and_await(settings, request, timeout)
    if not receipts:
        typer.echo(QUEUED, err=True)
        raise typer.Exit(1)
    rejected = [event for event in receipts if event.event == "command_rejected"]
    for event in receipts:
        told = f"{event.kind} {event.profile_id}: {event.event}: {event.detail}"
        typer.echo(printable(told), err=event in rejected)
    missing = unconfirmed_roles(receipts)
    for role in missing:
        typer.echo(f"not yet confirmed by the {role}; it stays queued", err=True)
    if rejected or missing:
        raise typer.Exit(1)
