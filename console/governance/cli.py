"""``telltale govern``: the four analyses from the command line, over the store or a console."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer

from console.governance.evidence.commands import attach, card
from processor.kafka.reading import ToolError
from processor.settings import Settings, load, load_as
from processor.text.escaping import printable

app = typer.Typer(
    name="govern",
    help="Bias, explanations, compliance, monitoring: over the console's store, or by --url.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Model = Annotated[str, typer.Argument(help="fleet:KIND, KIND:PROFILE or KIND:PROFILE@VERSION.")]
Url = Annotated[str | None, typer.Option(help="A console to ask, in place of its store.")]
Token = Annotated[
    str | None, typer.Option(help="Its bearer token.", envvar="TELLTALE_CONSOLE_TOKEN")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the whole answer as JSON.")]
Seed = Annotated[int, typer.Option(help="Of all draws.")]


@dataclass
class Held:
    """The store, Kafka and settings that this process opens itself."""

    settings: Any
    kafka: Settings
    database: Any


@contextmanager
def held_store() -> Iterator[Held]:
    """The store of this process's settings, while it is needed."""
    from console.serve import open_store
    from console.settings import ConsoleSettings

    settings = load_as(ConsoleSettings)
    held = Held(settings, load(), open_store(settings))
    try:
        yield held
    finally:
        held.database.close()


app.command()(attach)
app.command()(card)


@app.command()
def bias(
    model: Model,
    attribute: Annotated[list[str], typer.Option(help="A protected attribute; may be repeated.")],
    dataset: Annotated[
        str, typer.Option(help="verdicts:PERIOD, or the id of an uploaded table.")
    ] = "verdicts:30d",
    analysis: Annotated[str, typer.Option("--type", help="Which metrics.")] = "comprehensive",
    target: Annotated[str, typer.Option(help="Column of labels.")] = "label",
    prediction: Annotated[str | None, typer.Option(help="Column or condition.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Draws of profiles.")] = 1000,
    seed: Seed = 0,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Whether alerts treat groups of profiles alike."""
    body = {
        "model_id": model,
        "dataset_id": dataset,
        "analysis_type": analysis,
        "protected_attributes": attribute,
        "target_column": target,
        "prediction_column": prediction,
        "bootstrap_samples": bootstrap,
        "seed": seed,
    }
    told = _answer("bias", body, url, token)
    lines = [f"status {told['status']}, risk {told['risk_assessment'].get('overall_risk')}"]
    for name, held in told.items():
        if isinstance(held, dict) and "threshold" in held:
            lines.append(f"{name}: {held['status']}, {_number(held['value'])}")
    lines += [f"{each['description']} {each['implementation']}" for each in told["recommendations"]]
    _show(told, lines, as_json)


@app.command()
def explain(
    verdict: Annotated[
        str | None, typer.Argument(help="A verdict_id; not for permutation and global.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="fleet:KIND or KIND:PROFILE; of a verdict: its kind.")
    ] = None,
    kind: Annotated[str, typer.Option("--type", help="shap, lime, contributions, …")] = "shap",
    features: Annotated[int, typer.Option(help="How many are listed.")] = 10,
    seed: Seed = 0,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Why a record was judged as it was, or what many verdicts have in common."""
    body = {
        "model_id": model or _fleet_of(verdict),
        "instance_id": verdict,
        "explanation_type": kind,
        "num_features": features,
        "seed": seed,
    }
    told = _answer("explanation", body, url, token)
    pairs = [pair for each in told["feature_importance"] for pair in each.items()]
    _show(told, [f"{name}: {_number(value)}" for name, value in pairs], as_json)


@app.command()
def comply(
    model: Model,
    framework: Annotated[
        str, typer.Option(help="nist_ai_rmf, eu_ai_act or iso_23053.")
    ] = "nist_ai_rmf",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Which evidence there is for a framework: a self-assessment, not legal advice."""
    told = _answer("compliance", {"model_id": model, "framework": framework}, url, token)
    lines = [
        told["notice"],
        f"{told['compliance_status']}: {_number(told['overall_score'])} of 100",
        *(f"{c['id']} {c['status']}: {c['title']}. {c['evidence']}" for c in told["controls"]),
    ]
    _show(told, lines, as_json)


@app.command()
def monitor(
    model: Model,
    kind: Annotated[
        str, typer.Option("--type", help="drift, performance, bias or data_quality.")
    ] = "drift",
    reference: Annotated[str, typer.Option(help="Period such as 30d.")] = "30d",
    current: Annotated[str, typer.Option(help="Period such as 7d, up to today.")] = "7d",
    threshold: Annotated[float, typer.Option(help="Of the score, 0.001 to 0.5.")] = 0.05,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Whether this period is like the one before; exit 1 if it is beyond the threshold."""
    body = {
        "model_id": model,
        "monitoring_type": kind,
        "reference_period": reference,
        "current_period": current,
        "alert_threshold": threshold,
    }
    told = _answer("monitoring", body, url, token)
    lines = [f"{kind}: {told['status']}, score {_number(told['drift_score'])} of {threshold:g}"]
    for each in told["alerts"]:
        name = each.get("feature") or each.get("rate")
        lines.append(f"{name}: {_number(each['reference'])} to {_number(each['current'])}")
    _show(told, [*lines, *told["recommendations"]], as_json)
    if told["drift_detected"]:
        raise typer.Exit(1)


def _fleet_of(verdict: str | None) -> str:
    from models.features import KINDS

    for kind in KINDS:
        if verdict is not None and f"telemetry.{kind}-" in verdict:
            return f"fleet:{kind}"
    raise ToolError("--model: expected fleet:KIND or KIND:PROFILE, as there is no verdict_id")


def _answer(report_type: str, body: dict[str, Any], url: str | None, token: str | None) -> Any:
    """The answer to a request, made here or by a console.

    Raises:
        ToolError: it cannot be made, and why.
    """
    given = {name: value for name, value in body.items() if value is not None}
    told = _made(report_type, given) if url is None else _asked(report_type, given, url, token)
    if told.get("error"):
        raise ToolError(told["error"])
    return told


def _made(report_type: str, body: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from console.auth.permissions import ANYONE
    from console.governance import reports
    from console.governance.access import model_of
    from console.governance.answers import answer_of
    from console.governance.requests import REQUESTS
    from console.problems import Problem

    try:
        request: Any = REQUESTS[report_type].model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ToolError(f"{place or report_type}: {first['msg']}") from None
    with held_store() as held:
        try:
            ref = model_of(held, ANYONE, request.model_id, registered=report_type == "bias")
            row = reports.ask(held, ANYONE, report_type, request, ref, at_once=True)
            try:
                return answer_of(reports.make_now(held, row))
            except BaseException:
                reports.drop(held, row["id"])
                raise
        except Problem as problem:
            raise ToolError(problem.detail) from None


def _asked(report_type: str, body: dict[str, Any], url: str, token: str | None) -> Any:
    """By HTTP; waits until the report is made."""
    from time import monotonic, sleep

    from console.governance.requests import PATHS

    told = ask_console("POST", url, PATHS[report_type], token, body)
    identity = next(value for name, value in told.items() if name.endswith("_id"))
    deadline = monotonic() + 600.0
    while told["status"] in ("queued", "running"):
        if monotonic() > deadline:
            raise ToolError(f"{PATHS[report_type]}/{identity}: not made within 600 s; ask later")
        sleep(0.5)
        told = ask_console("GET", url, f"{PATHS[report_type]}/{identity}", token, None)
    return told


def ask_console(method: str, url: str, path: str, token: str | None, body: Any) -> Any:
    """The answer of a console.

    Raises:
        ToolError: it does not answer, or refuses.
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    if not url.startswith(("http://", "https://")):
        raise ToolError(f"--url: expected http:// or https://, got {url!r}")
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else orjson.dumps(body)
    asked = Request(url.rstrip("/") + path, data, headers, method=method)  # noqa: S310  (seen above)
    try:
        with urlopen(asked, timeout=60) as answer:  # noqa: S310
            return orjson.loads(answer.read())
    except HTTPError as error:
        try:
            detail = orjson.loads(error.read())["detail"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            detail = error.reason
        raise ToolError(f"{url}: {error.code}: {detail}") from None
    except (URLError, TimeoutError) as error:
        raise ToolError(f"{url}: does not answer: {error}") from None


def _show(told: Any, lines: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    for line in lines:
        typer.echo(printable(line))


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}"
