"""Receipts of the console: once the rows of a forgotten profile are gone, `lifecycle` says so.

What is still to be told lies in the store, so a receipt is written again rather than lost.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException
from sqlalchemy import select, update

from console.gateway.producing import Producing
from console.lab.blobs import Blobs
from console.lab.forgetting import forget_rows
from console.live.events import Happened, Item, Place
from console.live.state import now_ms
from console.problems import Problem
from console.store import tables as t
from console.store.data_files import DataFiles
from console.store.database import Database
from processor.kafka.reading import ToolError, record_at
from processor.operations.profile_command import receipt
from processor.settings import Settings
from processor.topics import Topics
from schemas import LifecycleEvent

OTHERS_MS = 15_000
"""After so long another replica that has deleted rows is taken to be gone."""


class Receipts:
    """Says what was erased.

    Args:
        files: of points that series were fitted on.
        backup_days: how long backups of the store are kept; None if that is not known.
    """

    def __init__(
        self,
        kafka: Settings,
        database: Database,
        producing: Producing,
        files: DataFiles,
        backup_days: float | None,
    ) -> None:
        self._files = files
        self._kafka = kafka
        self._topics = Topics(kafka.topic_prefix)
        self._database = database
        self._producing = producing
        self._backups = (
            "kept by whoever makes them"
            if backup_days is None
            else f"kept for {backup_days:g} days"
        )

    def tell(self, items: Iterable[Item]) -> None:
        """Write the receipts that are due; what the broker does not take is due again later.

        Args:
            items: what was just projected, with the scorer's events among it.
        """
        at_hand = {
            (item.place[1], item.offset): item.seen.event
            for item in items
            if isinstance(item.seen, Happened)
        }
        table = t.erasures
        with self._database.read() as connection:
            due = connection.execute(select(table).where(~table.c.told)).all()
        for row in due:
            event = at_hand.get((row.partition, row.offset))
            try:
                if event is None:
                    if row.at > now_ms() - OTHERS_MS:
                        continue
                    event = self._read((self._topics.lifecycle, row.partition), row.offset)
                if event is not None:
                    self._write(event, row)
            except (KafkaException, Problem, OSError):
                return
            with self._database.write() as connection:
                own = (table.c.partition == row.partition, table.c.offset == row.offset)
                connection.execute(
                    update(table).where(*own).values(told=True, verdict_ids=[], files=[])
                )

    def _read(self, place: Place, offset: int) -> LifecycleEvent | None:
        # Here, not above: it is seldom needed, and brings scikit-learn.

        try:
            return receipt(record_at(self._kafka, place, offset).value)
        except ToolError:
            return None  # it has aged out: nobody waits for it any more

    def _write(self, event: LifecycleEvent, row: Any) -> None:
        kind, profile_id = event.kind or "", event.profile_id
        key = f"{kind}:{profile_id}"
        for path in row.files:
            self._files.delete(path)
        for verdict_id in row.verdict_ids:
            number = int(verdict_id.rsplit("-", 2)[1])
            labelled = f"{key}:{verdict_id}".encode()
            self._producing.send_now(self._topics.labels, labelled, None, number)
        if "profile_attributes" in row.rows:
            self._producing.send_now(self._topics.attributes, key.encode(), None, None)
        gone = forget_rows(self._database, Blobs(self._files.location), kind, profile_id, event.at)
        rows = row.rows | ({"datasets (rows)": gone} if gone else {})
        count = sum(rows.values())
        said = LifecycleEvent(
            event="forgotten",
            profile_id=profile_id,
            kind=event.kind,
            generation=event.generation,
            command_id=event.command_id,
            role="console",
            detail=f"{count} rows of the store deleted; what remains: backups of it, "
            f"{self._backups}",
            figures={"rows": rows, "files": len(row.files)},
            at=now_ms(),
        )
        value = said.model_dump_json().encode()
        self._producing.send_now(self._topics.lifecycle, profile_id.encode(), value, row.partition)
