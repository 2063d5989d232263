"""The job type `retrain`: commands to the scorer, and their receipts."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from console.jobs.context import Context, JobError
from models.features import KINDS

RECEIPT_SECONDS = 30.0


class RetrainConfig(BaseModel):
    """Whose models are trained again."""

    model_config = ConfigDict(extra="forbid")

    kind: str | None = None
    profile_id: str | None = Field(None, description="One profile; else all of the kind.")
    reason: str | None = Field(None, max_length=2000)


def run(context: Context) -> dict[str, Any]:
    """Ask for retraining, and wait until each profile has its receipt.

    Raises:
        JobError: the broker does not answer, or a profile is not the owner's.
    """
    from confluent_kafka import KafkaException

    from processor.kafka.reading import ToolError
    from processor.operations.profile_command import Request, send_and_await
    from processor.operations.retrain_all import retrain_all

    config = RetrainConfig(**context.config)
    prefix = context.owner.profile_prefix
    if config.kind is not None and config.kind not in KINDS:
        raise JobError(f"kind: expected one of {', '.join(KINDS)}, got {config.kind!r}")
    if prefix and not (config.profile_id or "").startswith(prefix):
        raise JobError("profile_id: expected one of your organisation's")
    try:
        if config.profile_id is not None:
            wanted = Request("retrain", config.profile_id, config.kind, reason=config.reason)
            receipts = send_and_await(context.kafka, wanted, RECEIPT_SECONDS)
            told = [event.model_dump(mode="json") for event in receipts]
            context.report(epoch=1, epochs=1, records=len(told))
            return {"receipts": told}

        def progress(done: int, of: int) -> None:
            context.report(epoch=done, epochs=of, records=done)

        outcome = retrain_all(context.kafka, config.kind, config.reason, RECEIPT_SECONDS, progress)
    except (KafkaException, ToolError) as error:
        raise JobError(f"Kafka: {error}") from None
    return {
        "requested": outcome.requested,
        "rejected": [event.model_dump(mode="json") for event in outcome.rejected],
        "unanswered": len(outcome.unanswered) + len(outcome.unsent),
    }
