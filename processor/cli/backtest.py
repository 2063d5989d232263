"""The command ``telltale backtest``."""

from __future__ import annotations

from pathlib import Path
from time import time_ns
from typing import Annotated

import typer

from models.features import KINDS
from processor.cli.options import CLIENT, with_settings
from processor.cli.parameters import Kind, moment_of
from processor.settings import Settings
from processor.topics import Topics

LEARNING = (
    "detector",
    *(f"detector__{kind}" for kind in KINDS),
    "cold_start_samples",
    *(f"cold_start_samples__{kind}" for kind in KINDS),
    "min_training_data_points",
    "seed",
)
"""Settings that decide what is learnt: given as a flag, the profiles learn again."""

RETRAINING = ("retrain_samples", "retrain_days", "retrain_policy", "pool_samples")
"""Settings of the retrainer: given as a flag, the profiles are retrained on the way, too."""

JUDGING = ("alert_budget", "max_record_bytes", "max_features", "max_samples")
STORED = ("model_dir", "model_cache", "model_memory")

app = typer.Typer()


@app.command("backtest")
@with_settings(*JUDGING, *LEARNING, *RETRAINING, *STORED, *CLIENT)
def backtest_command(
    context: typer.Context,
    settings: Settings,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE|TOPIC",
            help="JSON Lines, gzip or not, - for standard input; or a topic of telemetry.",
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Topic of telemetry; its prefix may be left out.")
    ] = None,
    kind: Annotated[Kind | None, typer.Option(help="Kind of the telemetry of a file.")] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Topic: records from then on: epoch ms, RFC 3339 with zone, or 2h ago as 2h.",
        ),
    ] = None,
    profile: Annotated[str | None, typer.Option(help="Topic: only this profile.")] = None,
    model_version: Annotated[
        int | None,
        typer.Option(min=1, help="Topic: judge by this version, whichever judged then."),
    ] = None,
    verdicts: Annotated[
        Path | None, typer.Option(help="Write the verdicts to this file, a JSON line each.")
    ] = None,
    differences: Annotated[
        Path | None,
        typer.Option(help="Topic: write what is not the same to this file, a JSON line each."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Topic: exit 1 if a verdict changed.")
    ] = False,
) -> None:
    """Judge telemetry again: the scorer's own Step, with nothing written to Kafka.

    Of a file it says what a scorer that starts empty would say. Of a topic it repeats every
    verdict by the model version that it names, and says which are the same bit for bit, which
    changed, and why. A flag that decides what is learnt (--detector, --cold-start-samples, …) has
    the profiles learn again from the topic's telemetry: what would have been said. One of the
    retrainer's (--retrain-samples, …) has them retrained on the way, too.
    """
    # Here, not above: the other commands need not wait until scikit-learn is imported.
    from processor.backtest.comparison import ComparisonPlan
    from processor.backtest.run import of_file, of_topic
    from processor.backtest.topic import Range

    now = time_ns() // 1_000_000
    whole = topic_of(source, topic, settings)
    retrain = any(given(context, name) for name in RETRAINING)
    if whole is None:
        only_topic: dict[str, object] = {"--since": since, "--profile": profile}
        only_topic |= {"--model-version": model_version, "--differences": differences}
        only_topic |= {"--check": check or None}
        for name, value in only_topic.items():
            if value is not None:
                raise typer.BadParameter("expected a topic, not a file", param_hint=name)
        if source is None:
            raise typer.BadParameter("expected a file or a topic", param_hint="FILE|TOPIC")
        if kind is None:
            if source != "-" and not Path(source).exists():
                known = ", ".join(Topics(settings.topic_prefix).kinds())
                told = f"{source!r} is neither a file nor one of the topics {known}"
                raise typer.BadParameter(told, param_hint="FILE|TOPIC")
            raise typer.BadParameter("expected with a file", param_hint="--kind")
        of_file(settings, source, kind, now, verdicts, json, retrain)
        return
    flags = [name for name in (*LEARNING, *RETRAINING) if given(context, name)]
    if flags and model_version is not None:
        flag = f"--{flags[0].replace('__', '-').replace('_', '-')}"
        raise typer.BadParameter(
            f"cannot be with {flag}, by which profiles learn again", param_hint="--model-version"
        )
    wanted = Range(
        whole, None if since is None else moment_of(since, "--since", now, ahead=False), profile
    )
    plan = ComparisonPlan(fresh=bool(flags), retrain=retrain, version=model_version)
    of_topic(settings, wanted, plan, now, verdicts, differences, json, check)


def given(context: typer.Context, name: str) -> bool:
    """Whether a setting was given as a flag."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def topic_of(source: str | None, option: str | None, settings: Settings) -> str | None:
    """The topic that is meant, or None for a file.

    A name that is both is the file's: ``--topic`` says otherwise.
    """
    if source is not None and option is not None:
        raise typer.BadParameter("expected either a file or a topic", param_hint="--topic")
    topics = Topics(settings.topic_prefix)
    name = option or source or ""
    known = tuple(topics.kinds())
    if option is None and (name == "-" or Path(name).exists()):
        return None
    for whole in (name, f"{settings.topic_prefix}{name}", topics.telemetry(name)):
        if whole in known:
            return whole
    if option is not None:
        raise typer.BadParameter(f"expected one of {', '.join(known)}", param_hint="--topic")
    return None
