"""A role that its group leaves outside, though the broker answers, ends and says so."""

from pathlib import Path

import pytest
from confluent_kafka import Consumer
from prometheus_client import CollectorRegistry

from processor.metrics.metrics import Metrics
from processor.runtime import process
from processor.settings import load
from processor.stream import worker
from tests.broker.harness import Telltale


def test_a_group_that_never_lets_a_role_in_ends_it_with_1_and_the_brokers_reason(
    telltale: Telltale,
    bootstrap: str,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telltale.create_topics(1)
    application = prefix.rstrip(".")
    # Somebody else took the group's name, with an assignor that the scorer does not speak.
    stranger = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": f"{application}-scorer",
            "partition.assignment.strategy": "roundrobin",
        }
    )
    joined: list[object] = []
    stranger.subscribe([f"{prefix}commands"], on_assign=lambda *given: joined.append(given))
    telltale.wait_until(lambda: stranger.poll(0.2) is None and bool(joined), "the stranger joined")
    monkeypatch.setattr(worker, "JOIN_MARGIN_SECONDS", 1.0)
    settings = load(
        bootstrap_servers=bootstrap,
        topic_prefix=prefix,
        application=application,
        model_dir=str(tmp_path / "models"),
        max_poll_interval_ms=10_000,
        transaction_timeout_ms=9_000,
    )
    left_out = process.build(settings, ["scorer"], Metrics(CollectorRegistry()))["scorer"]

    code = left_out.run()
    stranger.close()

    assert code == 1
    assert left_out.health.fatal is not None
    assert "no assignment from the group for 11 s; the broker answers" in left_out.health.fatal
    assert "protocol" in left_out.health.fatal.lower()
