"""``telltale lab``: the lab's work without a console."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Annotated

import typer

from console.settings import ConsoleSettings
from processor.settings import load, load_as

app = typer.Typer(name="lab", help="The lab: models that learn from labels.", no_args_is_help=True)


@app.callback()
def lab() -> None:
    """Has `triage` be the name of a command."""


@app.command()
def triage(
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Learn from simulated alerts; no broker is needed.")
    ] = False,
    profiles: Annotated[int, typer.Option(min=4, help="Simulated profiles.")] = 60,
    records: Annotated[int, typer.Option(min=100, help="Of each of them.")] = 500,
    submit: Annotated[
        bool, typer.Option("--submit", help="Queue a job for each algorithm instead.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same table.")] = 0,
) -> None:
    """Train each algorithm of triage and print how many true alerts it ranks first."""
    from console.auth.permissions import ANYONE
    from console.lab.triage import examples, pipeline, table
    from console.serve import open_store

    if submit:
        from console.jobs.queue import Owner
        from console.jobs.queue import submit as queued
        from console.lab.triage.features import ALGORITHMS
        from console.lab.triage.job import TriageConfig

        store = open_store(load_as(ConsoleSettings))
        for name in ALGORITHMS:
            wanted = {"algorithm": name, "simulate": simulate, "profiles": profiles}
            wanted |= {"records": records, "seed": seed}
            config = TriageConfig.model_validate(wanted).model_dump(mode="json")
            typer.echo(f"{name}: job {queued(store, 'triage', config, Owner('command line'))}")
        return
    began = monotonic()
    if simulate:

        def tell(done: int, of: int) -> None:
            if sys.stderr.isatty():
                typer.echo(f"\rscored {done} of {of} records", nl=done == of, err=True)

        found = examples.simulated(load(), profiles=profiles, records=records, seed=seed, tell=tell)
    else:
        found = examples.labelled(open_store(load_as(ConsoleSettings)), ANYONE, None)
    try:
        figures = table.compared(found, seed)
    except pipeline.TooFew as few:
        typer.echo(f"telltale: {few}", err=True)
        raise typer.Exit(1) from None
    for line in table.lines(figures):
        typer.echo(line)
    typer.echo(f"\n{monotonic() - began:.0f} s")
