"""The commands ``telltale profile …``."""

from __future__ import annotations

from collections.abc import Sequence
from time import time_ns
from typing import Annotated

import typer
from rich.console import Console

from models.features import KINDS
from processor.cli.options import CLIENT, with_settings
from processor.cli.parameters import (
    Id,
    OfKind,
    Reason,
    Timeout,
    Until,
    checked_id,
    moment_of,
)
from processor.operations import profile_state, profile_view
from processor.operations.profile_command import (
    QUEUED,
    ROLES,
    Request,
    send_and_await,
    unconfirmed_roles,
)
from processor.settings import Settings
from processor.text.escaping import dumped, printable
from processor.topics import Topics

COLD_STARTS = (
    "cold_start_samples",
    *(f"cold_start_samples__{kind}" for kind in KINDS),
    "shift_samples",
)

ACCEPTING = ("model_dir", "max_record_bytes", "max_features", "max_samples", "alert_budget")

app = typer.Typer(help="Where a profile stands, and what becomes of it.", no_args_is_help=True)


@app.command("show")
@with_settings(*CLIENT, *COLD_STARTS, "model_dir")
def show_profile(
    settings: Settings,
    profile_id: Id,
    kind: OfKind = None,
    verdicts: Annotated[int, typer.Option(min=0, help="How many of the last ones.")] = 5,
    json: Annotated[bool, typer.Option("--json", help="As one JSON array.")] = False,
) -> None:
    """Show a profile: learning or active, its versions and their training, last verdicts."""
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
    console: Annotated[
        bool, typer.Option("--console", help="Wait for the receipt of a console as well.")
    ] = False,
) -> None:
    """Delete all that was learnt of a profile; it learns again from its next record on."""
    roles = (*ROLES, "console") if console else ROLES
    ask(settings, Request("forget", profile_id, kind, reason=reason), timeout, roles)


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


def plain_command(name: str, does: str) -> None:
    """Add a command that needs nothing but the profile."""

    @app.command(name, help=does)
    @with_settings(*CLIENT)
    def command(
        settings: Settings,
        profile_id: Id,
        kind: OfKind = None,
        reason: Reason = None,
        timeout: Timeout = 30,
    ) -> None:
        ask(settings, Request(name, profile_id, kind, reason=reason), timeout)


def timed_command(name: str, does: str) -> None:
    """Add a command that holds until a time, or without end."""

    @app.command(name, help=does)
    @with_settings(*CLIENT)
    def command(
        settings: Settings,
        profile_id: Id,
        kind: OfKind = None,
        until: Until = None,
        reason: Reason = None,
        timeout: Timeout = 30,
    ) -> None:
        now = time_ns() // 1_000_000
        end = None if until is None else moment_of(until, "--until", now, ahead=True)
        ask(settings, Request(name, profile_id, kind, until=end, reason=reason), timeout)


plain_command("train", "End a profile's learning now: train on the samples that are there.")
plain_command("adopt", "Learn a shifted profile's new normal now, on the samples that are there.")
timed_command("hold", "Keep a profile from learning a new normal; it is still told.")
timed_command(
    "suppress",
    "Begin a maintenance window: verdicts go on, alerting skips them, nothing is learnt.",
)
plain_command("resume", "End a maintenance window.")


@app.command("accept")
@with_settings(
    *CLIENT, "model_dir", "max_record_bytes", "max_features", "max_samples", "alert_budget"
)
def accept_command(
    settings: Settings,
    target: Annotated[
        str,
        typer.Argument(metavar="VERDICT_ID|ID", help="A verdict's id; with a range, a profile's."),
    ],
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Accept a profile's alarms observed from then on."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="And up to then; else up to now.")
    ] = None,
    kind: OfKind = None,
) -> None:
    """Say that verdicts were false alarms: their records become samples of normal."""
    # Here, not above: the other commands need not wait until scikit-learn is imported.
    from processor.operations.profile_accept import accept, accept_range

    if since is None and until is None:
        accepted = accept(settings, target)
    else:
        now = time_ns() // 1_000_000
        begin = 0 if since is None else moment_of(since, "--since", now, ahead=False)
        end = now if until is None else moment_of(until, "--until", now, ahead=False)
        accepted = accept_range(settings, checked_id(target), kind, begin, end)
    first = accepted.samples[0]
    records, vectors = len(accepted.samples), sum(len(each.vectors) for each in accepted.samples)
    known = [p for each in accepted.samples for p in each.p_values if p is not None]
    told = f", least p-value {min(known):.3g}" if known else ""
    what = first.verdict_id if records == 1 else f"{records} verdicts"
    spared = ""
    if accepted.alarms:
        spared = f"; would have spared {accepted.spared} of the last {accepted.alarms} alarms"
    line = (
        f"accepted {what} for {first.kind} {first.profile_id}: "
        f"{vectors} sample{'s' if vectors > 1 else ''}{told}; "
        f"written to {Topics(settings.topic_prefix).accepted}{spared}"
    )
    typer.echo(printable(line))


def ask(settings: Settings, request: Request, timeout: float, roles: Sequence[str] = ROLES) -> None:
    """Send a command, show its receipts; exit 1 if none came or it was rejected."""
    receipts = send_and_await(settings, request, timeout, roles)
    if not receipts:
        typer.echo(QUEUED, err=True)
        raise typer.Exit(1)
    rejected = [event for event in receipts if event.event == "command_rejected"]
    for event in receipts:
        told = f"{event.kind} {event.profile_id}: {event.event}: {event.detail}"
        typer.echo(printable(told), err=event in rejected)
    missing = unconfirmed_roles(receipts, roles)
    for role in missing:
        typer.echo(f"not yet confirmed by the {role}; it stays queued", err=True)
    if rejected or missing:
        raise typer.Exit(1)
