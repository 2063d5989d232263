"""``telltale console`` and its sub-commands."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer
from rich.prompt import Prompt

from console.governance.cli import app as govern_app
from console.lab.cli import app as lab_app
from console.settings import ConsoleSettings
from processor.settings import load, load_as

app = typer.Typer(
    name="console",
    help="The console: HTTP API and store.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
store_app = typer.Typer(help="The store's tables.", no_args_is_help=True)
user_app = typer.Typer(help="Local users.", no_args_is_help=True)
app.add_typer(store_app, name="db")
app.add_typer(govern_app, name="govern", hidden=True)
app.add_typer(user_app, name="user")
app.add_typer(lab_app, name="lab")


@app.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    parts: Annotated[
        str | None,
        typer.Option(
            help="What this process runs, with commas: gateway, live, jobs, ui; else all."
        ),
    ] = None,
) -> None:
    """Run the console: HTTP API, and the projection of the stream into its store."""
    if context.invoked_subcommand is not None:
        return
    from console import serve as process

    wanted = {} if parts is None else {"console_parts": parts}
    raise typer.Exit(process.main(load_as(ConsoleSettings, **wanted), load()))


@app.command()
def worker() -> None:
    """Run jobs, one after the other, until SIGTERM or SIGINT: beside the console's own workers."""
    from console.jobs import __main__ as process
    from console.store.database import OldSchema

    try:
        code = process.main(load_as(ConsoleSettings), load())
    except OldSchema as error:
        typer.echo(f"telltale: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)


@app.command("openapi")
def print_openapi() -> None:
    """Print the OpenAPI document of all endpoints."""
    from console.app import described
    from console.settings import PARTS

    typer.echo(orjson.dumps(described(PARTS).openapi(), option=orjson.OPT_INDENT_2).decode())


@store_app.command()
def upgrade() -> None:
    """Bring the store's tables to this version."""
    from console.spaces import topic_prefixes
    from console.store.database import Database, head

    database = Database(load_as(ConsoleSettings).database)
    before = database.current()
    database.upgrade()
    for prefix in topic_prefixes(database):
        database.beside(prefix).upgrade()
    typer.echo(f"upgraded from {before or 'an empty store'} to {head()}")


@store_app.command()
def current() -> None:
    """Print the revision of the store's tables."""
    from console.store.database import Database

    typer.echo(Database(load_as(ConsoleSettings).database).current() or "none")


@store_app.command()
def check() -> None:
    """Exit 1 unless the store's tables are those of this version."""
    from console.store.database import Database, OldSchema

    try:
        Database(load_as(ConsoleSettings).database).check()
    except OldSchema as error:
        typer.echo(f"telltale: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo("the store is as this version needs it")


@user_app.command("add")
def user_add(
    email: Annotated[str, typer.Argument(help="By which the user logs in.")],
    role: Annotated[str, typer.Option(help="viewer, analyst, operator, auditor or admin.")],
    organization: Annotated[
        str | None, typer.Option(help="Id of the organisation that the user belongs to.")
    ] = None,
) -> None:
    """Add a user; the password is one line of standard input, asked for twice on a terminal."""
    from console.auth import users
    from console.serve import open_store

    password = _password()
    database = open_store(load_as(ConsoleSettings))
    try:
        user_id = users.add(database, users.NewUser(email, password, role, organization))
    except users.InvalidUser as error:
        typer.echo(f"telltale: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"added {email} as {role}: {user_id}")


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = Prompt.ask("Password", password=True)
    if Prompt.ask("Again", password=True) != first:
        typer.echo("telltale: the two are not the same", err=True)
        raise typer.Exit(1)
    return first
