"""What OpenAPI says of the console holds: no 5xx, and every answer as declared."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS

from tests.broker.consoles import COLD_START, SECRET, Running, add_admin, sign_in, start
from tests.broker.harness import Telltale

ENDLESS = "/api/v1/stream"
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
BOUNDED = settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def operations(console: Running) -> list[Any]:
    schema = schemathesis.openapi.from_url(str(console.http.base_url.join("/openapi.json")))
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if operation.path != ENDLESS]


@pytest.mark.parametrize("login", [False, True])
def test_every_answer_is_as_declared_whatever_is_sent(
    telltale: Telltale, store_url: str, login: bool
):
    telltale.create_topics(2)
    for role in ("score", "retrain"):
        telltale.start(role, "--slot", "0", TELLTALE_COLD_START_SAMPLES=COLD_START)
    console = start(telltale, store_url, **({"TELLTALE_JWT_SECRET": SECRET} if login else {}))
    headers = {}
    if login:
        add_admin(telltale, store_url, "ada@example.org")
        headers = sign_in(console, "ada@example.org")
    every = operations(console)  # which registers the checks
    checks = [CHECKS.get_one(name) for name in WANTED]
    failed: list[str] = []

    for operation in every:
        for mode in schemathesis.GenerationMode:

            @BOUNDED
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Any) -> None:
                case.call_and_validate(checks=checks, headers=headers)
                if login:
                    case.call_and_validate(checks=checks)

            try:
                run()
            except Unsatisfiable:
                assert mode is schemathesis.GenerationMode.NEGATIVE, operation.label
            except Exception as error:
                failed.append(f"{operation.label} {mode.value}: {error}")

    assert failed == []
    assert "Traceback" not in telltale.log()
    assert telltale.stop(console.process) == 0
