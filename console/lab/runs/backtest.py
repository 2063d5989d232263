"""The job type `backtest`: a data set through the scorer's own steps, by settings of choice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select

from console.jobs.context import Context, JobError
from console.lab.blobs import Blobs
from console.lab.runs.parts import PARTS, Judged, is_abnormal, p_score
from console.lab.tables import datasets
from processor.settings import Settings


class BacktestConfig(BaseModel):
    """What is replayed, and which settings differ."""

    model_config = ConfigDict(extra="forbid")

    dataset_id: str
    kind: str | None = None
    profile_id: str | None = Field(None, description="If the table has no column of profiles.")
    detector: str | None = None
    alert_budget: float | None = Field(None, gt=0, lt=1)
    cold_start_samples: int | None = Field(None, ge=3, le=100_000)


def row_of(context: Context, dataset_id: str) -> Any:
    """A data set of the owner's.

    Raises:
        JobError: there is none.
    """
    held = datasets.c
    query = select(datasets).where(held.id == dataset_id)
    owner = context.owner
    if owner.organization_id is not None and not owner.topic_prefix:
        query = query.where(held.organization_id == owner.organization_id)
    with context.database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise JobError("dataset_id: there is no such data set")
    return row


def run(context: Context) -> dict[str, Any]:
    """Replay the rows in their order, as a scorer that starts empty judges them.

    Raises:
        JobError: the data set or a setting is wrong.
    """
    from console.lab.data.sending import SendConfig, records_of
    from console.lab.data.tables import batches
    from models.features import KINDS
    from processor.backtest.replay import Replay
    from processor.records import ConsumerRecord, DeadLetter
    from processor.topics import Topics

    config = BacktestConfig(**context.config)
    row = row_of(context, config.dataset_id)
    kind = config.kind or row.kind
    if kind not in KINDS:
        raise JobError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}")
    if row.profile_column is None and config.profile_id is None:
        raise JobError("profile_id: the table has no column of profiles, so name one")
    settings = with_settings(context.kafka, config)
    topics = Topics(settings.topic_prefix)
    topic, now = topics.telemetry(kind), row.created_at
    replay = Replay(settings, topics, now)
    wanted = SendConfig(dataset_id=row.id, kind=kind, profile_id=config.profile_id)
    name, _, packed = row.format.partition(".")
    judged, counted, letters = Judged(), Counter[str](), Counter[str]()
    part, done, offset = 1, 0, 0
    with Blobs(context.settings.data_dir).open(row.path) as file:
        for batch in batches(file, name, packed=bool(packed)):
            rows = batch.to_pylist()
            truth, records = {}, []
            for each, (key, value) in zip(
                rows, records_of(rows, row.profile_column, row.target, wanted), strict=True
            ):
                record = ConsumerRecord(
                    topic, 0, offset, key.encode(), orjson.dumps(value), (), now
                )
                records.append(record)
                if row.target is not None and each.get(row.target) is not None:
                    truth[f"{topic}-0-{offset}"] = int(is_abnormal(each[row.target]))
                offset += 1
            size = max(1, row.rows // PARTS)
            for first in range(0, len(records), size):
                some = records[first : first + size]
                for verdict_id, said in replay.feed(some):
                    if isinstance(said, DeadLetter):
                        letters[said.reason] += 1
                        continue
                    word = said["status"] if said["status"] != "scored" else "normal"
                    counted["anomaly" if said["anomaly"] else word] += 1
                    if said["status"] == "scored" and verdict_id in truth:
                        judged.add(
                            truth[verdict_id], said["anomaly"], p_score(said), said["profile_id"]
                        )
                done += len(some)
                context.keep(verdicts=dict(counted), dead_letters=dict(letters))
                while part <= PARTS and done >= part * row.rows / PARTS:
                    judged.report(context, part, done)
                    part += 1
                context.check()
    return judged.figures() | {
        "verdicts": dict(counted),
        "dead_letters": dict(letters),
        "profiles": len(replay.state.profiles),
        "settings": {
            "detector": config.detector,
            "alert_budget": settings.alert_budget,
            "cold_start_samples": settings.cold_start(kind),
        },
    }


def with_settings(kafka: Settings, config: BacktestConfig) -> Settings:
    """The console's settings with those that the backtest changes.

    Raises:
        JobError: one of them is wrong.
    """
    names = ("detector", "alert_budget", "cold_start_samples")
    wanted = {n: getattr(config, n) for n in names if getattr(config, n) is not None}
    try:
        return Settings.model_validate(kafka.model_dump() | wanted)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = ".".join(map(str, wrong["loc"]))
        raise JobError(f"{field}: {wrong['msg']}, got {wrong['input']!r}") from None
