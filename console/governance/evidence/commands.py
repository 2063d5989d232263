"""``telltale govern attach`` and ``card``: evidence from the command line."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from processor.kafka.reading import ToolError
from processor.text.escaping import printable

PATH = "/api/v1/compliance/evidence"
TRANSACTIONS = "telltale_transactions"
Model = Annotated[str, typer.Argument(help="fleet:KIND.")]


def attach(
    model: Model,
    control: Annotated[str, typer.Argument(help="T3, T5, R4 or R7.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="The document as JSON, - for standard input; of R4 also texts of /metrics, one "
            "a role.",
        ),
    ],
    made_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="RFC 3339 with zone; else when the file was written."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole answer as JSON.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="A console to ask, in place of its store.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="Its bearer token.", envvar="TELLTALE_CONSOLE_TOKEN")
    ] = None,
) -> None:
    """Attach a document as evidence of a control; exit 1 if the control does not pass by it."""
    from console.governance.cli import ask_console

    body = {
        "model_id": model,
        "control": control,
        "made_at": made_at or _written(files),
        "document": document_of(control, [_read(file) for file in files]),
    }
    told = _attached(body) if url is None else ask_console("POST", url, PATH, token, body)
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        typer.echo(printable(f"{told['control']} {told['status']}: {told['evidence']}"))
    if told["status"] != "pass":
        raise typer.Exit(1)


def card(model: Model) -> None:
    """Print the model card of a kind, from the store: what ``attach MODEL T5 -`` takes."""
    from console.auth.permissions import ANYONE
    from console.governance.access import ModelRef, model_of
    from console.governance.cli import held_store
    from console.governance.evidence.cards import make_card
    from console.governance.making.bias import scope_of
    from console.live.state import now_ms
    from console.problems import Problem

    with held_store() as held:
        try:
            ref = model_of(held, ANYONE, model)
            now = now_ms()
            told = make_card(held, scope_of(ModelRef(ref.kind), "", "30d", now), now)
        except Problem as problem:
            raise ToolError(problem.detail) from None
    typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


def document_of(control: str, texts: list[bytes]) -> dict[str, Any]:
    """The document of some files: JSON, or of R4 the sum over texts of ``/metrics``.

    Raises:
        ToolError: neither, or several files where one is expected.
    """
    if control == "R4" and not texts[0].lstrip().startswith(b"{"):
        return _transactions(texts)
    if len(texts) != 1:
        raise ToolError(f"FILE: expected one for {control}, got {len(texts)}")
    try:
        document = orjson.loads(texts[0])
    except orjson.JSONDecodeError as error:
        raise ToolError(f"FILE: expected a JSON object, got what is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ToolError(f"FILE: expected a JSON object, got a {type(document).__name__}")
    return document


def _transactions(texts: list[bytes]) -> dict[str, Any]:
    from prometheus_client.parser import text_string_to_metric_families

    counts: Counter[str] = Counter()
    try:
        for text in texts:
            families = text_string_to_metric_families(text.decode())
            samples = [s for each in families if each.name == TRANSACTIONS for s in each.samples]
            if not samples:
                raise ValueError(f"no {TRANSACTIONS}_total")
            for sample in samples:
                if sample.name == f"{TRANSACTIONS}_total":
                    counts[sample.labels.get("outcome", "")] += int(sample.value)
    except ValueError as error:
        raise ToolError(f"FILE: expected the text of a role's /metrics, got {error}") from None
    return {name: counts[name] for name in ("committed", "aborted", "lost")}


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise ToolError(f"FILE: expected a readable file, got {file}: {error.strerror}") from None


def _written(files: list[str]) -> str:
    """When the oldest of the files was written; now for standard input."""
    from time import time

    from console.answers import rfc3339

    try:
        moments = [time() if file == "-" else Path(file).stat().st_mtime for file in files]
    except OSError as error:
        told = f"got {error.filename}: {error.strerror}"
        raise ToolError(f"FILE: expected a readable file, {told}") from None
    return str(rfc3339(int(min(moments) * 1000)))


def _attached(body: dict[str, Any]) -> Any:
    """Kept in the store of this process's settings, and noted in its audit log."""
    from pydantic import ValidationError

    from console.auth.permissions import ANYONE
    from console.governance.access import model_of
    from console.governance.cli import held_store
    from console.governance.evidence.attaching import EvidenceRequest, attach, shown
    from console.governance.requests import EVIDENCE
    from console.problems import Problem
    from console.store import audit

    try:
        request = EvidenceRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise ToolError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    with held_store() as held:
        try:
            row = attach(held, ANYONE, request, model_of(held, ANYONE, request.model_id))
        except Problem as problem:
            raise ToolError(problem.detail) from None
        audit.note(held.database, ANYONE.subject, f"{EVIDENCE}.create", row["id"], "done", "")
        return shown(row)
