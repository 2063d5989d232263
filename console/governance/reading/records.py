"""Telemetry records read again by their verdict ids, in the columns of the model that judged."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from confluent_kafka import KafkaException, TopicPartition
from sqlalchemy import or_, select

from console.problems import Problem, not_found
from console.store import tables as t
from console.store.database import Database
from models.artifacts import Model
from models.detectors.forecast.detector import Forecast
from models.errors import ArtifactError
from models.explanation.shapley import Floats
from processor.artifacts.storage import uncached
from processor.kafka.consuming import earliest_offsets, latest_offsets
from processor.kafka.reading import ToolError, admin_client, read, record_at, records_at
from processor.operations.profile_accept import parse_verdict_id, rows_of
from processor.records import ConsumerRecord, DeadLetter
from processor.scorer.decode import Decoded, decode
from processor.settings import Limits, Settings, SettingsError
from processor.topics import Topics
from schemas import ModelRecord

MOST_READ = 200_000
"""Records of a partition that are read for one answer, at most: some seconds."""


@dataclass(frozen=True)
class Judged:
    """A record with the model that judged it.

    Attributes:
        rows: shape (samples, d), NaN where absent.
        version: the row of ``model_versions``.
    """

    record: ConsumerRecord
    decoded: Decoded
    rows: Floats
    version: dict[str, Any]
    model: Model


def gone(detail: str) -> Problem:
    """410: what is needed to answer is there no longer, and why."""
    return Problem(410, "gone", detail)


def read_record(settings: Settings, verdict_id: str) -> tuple[ConsumerRecord, Decoded]:
    """The telemetry record of a verdict.

    Raises:
        Problem: 404 for no verdict's id, 410 if it has aged out, 422 for a dead letter, 503.
    """
    topics = Topics(settings.topic_prefix)
    try:
        place, offset = parse_verdict_id(verdict_id, topics)
    except ToolError as error:
        raise not_found(str(error)) from None
    try:
        record = record_at(settings, place, offset)
    except ToolError as error:
        raise gone(f"the record cannot be read again: {error}") from None
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None
    decoded = decode(record, topics.kinds()[place[0]], _limits(settings))
    if isinstance(decoded, DeadLetter):
        raise Problem(422, decoded.reason, f"the record is a dead letter: {decoded.detail}")
    return record, decoded


def version_row(
    database: Database,
    kind: str,
    profile_id: str,
    partition: int | None = None,
    version: int | None = None,
    offset: int | None = None,
) -> dict[str, Any]:
    """A version of a profile: a given one, the one that judged an offset, or the one in force.

    Raises:
        Problem: 410, the console has not seen it, or no longer has it.
    """
    held = t.model_versions.c
    query = select(t.model_versions).where(held.kind == kind, held.profile_id == profile_id)
    if partition is not None:
        query = query.where(held.partition == partition)
    if version is not None:
        query = query.where(held.version == version)
    if offset is not None:
        query = query.where(held.generation <= offset)
        if version is None:
            query = query.where(or_(held.source_offset.is_(None), held.source_offset < offset))
    elif version is None:
        query = query.where(held.in_force)
    newest = query.order_by(held.generation.desc(), held.version.desc()).limit(1)
    with database.read() as connection:
        row = connection.execute(newest).mappings().first()
    if row is None:
        told = "the version in force" if version is None else f"version {version}"
        raise gone(f"{told} of the profile is not in the history any more")
    return {str(name): value for name, value in row.items()}


def open_model(settings: Settings, version: dict[str, Any]) -> Model:
    """The artefact of a version, checked by its digest.

    Raises:
        Problem: 410, it is gone; 503, the store of models cannot be opened.
    """
    try:
        with uncached(settings) as store:
            return store.read(version["artifact"], version["sha256"])
    except ArtifactError as error:
        raise gone(
            f"the artefact of version {version['version']} cannot be opened: {error}"
        ) from None
    except SettingsError:
        raise Problem(
            503, "models_unavailable", "the store of models cannot be opened from here"
        ) from None


def judged(settings: Settings, database: Database, verdict_id: str, version: int | None) -> Judged:
    """A verdict's record with the model that judged it, or with another version.

    Raises:
        Problem: as ``read_record``, ``version_row`` and ``open_model`` have it.
    """
    record, decoded = read_record(settings, verdict_id)
    held = t.verdicts.c
    with database.read() as connection:
        body = connection.execute(select(held.body).where(held.verdict_id == verdict_id)).scalar()
    said = version if version is not None else (body or {}).get("model_version")
    row = version_row(
        database, decoded.kind, decoded.profile_id, record.partition, said, record.offset
    )
    model = open_model(settings, row)
    announced = ModelRecord.model_validate(row)
    try:
        rows, _ = rows_of(decoded, announced, verdict_id)
    except ToolError as error:
        raise Problem(422, "not_explainable", str(error)) from None
    return Judged(record, decoded, rows, row, model)


def rows_again(
    settings: Settings, versions: Mapping[tuple[int, str], dict[str, Any]], names: Sequence[str]
) -> dict[str, Floats]:
    """The samples of verdicts of one kind whose records can still be read, by verdict id.

    Args:
        versions: partition and profile → the version whose columns the samples take.
        names: verdict ids; what lies further than ``MOST_READ`` records back is left out.

    Raises:
        Problem: 503, the broker does not answer.
    """
    topics = Topics(settings.topic_prefix)
    announced = {key: ModelRecord.model_validate(row) for key, row in versions.items()}
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for name in names:
        place, offset = parse_verdict_id(name, topics)
        places[place].append(offset)
    found: dict[str, Floats] = {}
    for place, offsets in places.items():
        near = [offset for offset in offsets if offset > max(offsets) - MOST_READ]
        for record in _answered(lambda p=place, o=near: records_at(settings, p, o)):  # type: ignore[misc]
            read = _samples(settings, topics, record, announced)
            if read is not None:
                found[f"{place[0]}-{place[1]}-{record.offset}"] = read
    return found


def latest_rows(
    settings: Settings, version: dict[str, Any], partition: int, most: int
) -> list[tuple[str, Floats]]:
    """The latest samples of a profile, by verdict id, of the last ``MOST_READ`` records.

    Raises:
        Problem: 503, the broker does not answer; 410, the topic is gone.
    """
    topics = Topics(settings.topic_prefix)
    announced = ModelRecord.model_validate(version)
    place = (topics.telemetry(announced.kind), partition)
    key = (partition, announced.profile_id)

    def read_all() -> list[ConsumerRecord]:
        admin = admin_client(settings)
        asked = [TopicPartition(*place)]
        end = latest_offsets(admin, asked)[place]
        first = max(earliest_offsets(admin, asked)[place], end - MOST_READ, announced.generation)
        wanted = announced.profile_id.encode()
        records = read(settings, admin, asked, since={place: first})
        return list(deque((r for r in records if r.key == wanted), maxlen=most))

    found = []
    for record in _answered(read_all):
        rows = _samples(settings, topics, record, {key: announced})
        if rows is not None:
            found.append((f"{place[0]}-{place[1]}-{record.offset}", rows))
    return found


def _samples(
    settings: Settings,
    topics: Topics,
    record: ConsumerRecord,
    announced: Mapping[tuple[int, str], ModelRecord],
) -> Floats | None:
    decoded = decode(record, topics.kinds()[record.topic], _limits(settings))
    if isinstance(decoded, DeadLetter):
        return None
    model = announced.get((record.partition, decoded.profile_id))
    if model is None:
        return None
    try:
        return rows_of(decoded, model, "")[0]
    except ToolError:
        return None


def _answered(run: Callable[[], list[ConsumerRecord]]) -> list[ConsumerRecord]:
    try:
        return run()
    except ToolError as error:
        raise gone(f"the records cannot be read again: {error}") from None
    except KafkaException as error:
        raise Problem(
            503, "broker_unavailable", error.args[0].str(), headers={"Retry-After": "2"}
        ) from None


def own_scale(model: Model) -> tuple[Floats, Floats]:
    """Median and scale of each feature of a model's training samples, shape (d,) each.

    The scale is the range from the 5 % to the 95 % quantile by 3.29, a deviation of a normal one.
    """
    samples = model.learnt()
    with np.errstate(all="ignore"):
        low, middle, high = np.nanquantile(samples, [0.05, 0.5, 0.95], axis=0)
    scale = (high - low) / 3.29
    floor = 1e-9 + 1e-3 * np.abs(np.nan_to_num(middle))
    return middle, np.maximum(np.nan_to_num(scale), floor)


def judges_rows(model: Model) -> bool:
    """Whether the detector judges rows one by one; a forecast judges points in their order."""
    return not isinstance(model.detector, Forecast)


def _limits(settings: Settings) -> Limits:
    return Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
