"""The retrainer as a role of the worker: its pools, and the table of announced models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from joblib import cpu_count

from models.features import KINDS
from processor.artifacts.model_store import ModelStore
from processor.artifacts.owner import Owner
from processor.metrics.metrics import Metrics
from processor.offsets.partitions import parts
from processor.records import ConsumerRecord, Partition, Position, ProfileKey
from processor.retrainer import pipeline as retrainer
from processor.retrainer import pool as pools
from processor.retrainer.pool import Pool, PoolDelta
from processor.retrainer.step_builder import RetrainerState
from processor.settings import Settings
from processor.state import ring
from processor.state.changelog import LoadedSlots, StoredRing, Table, announcement
from processor.state.omitted_samples import Omitted
from processor.stream.role import Following
from processor.stream.step import Context, Step, with_artifacts_written
from processor.topics import Topics

REFUSED_IN_A_ROW = 3


class RetrainerRole:
    """Pools accepted samples and proposes better models."""

    name = "retrainer"
    divide = staticmethod(parts)

    def __init__(
        self,
        settings: Settings,
        store: ModelStore,
        metrics: Metrics,
        log: Any,
        follow: Callable[[Settings, list[Position]], Following],
    ) -> None:
        topics = Topics(settings.topic_prefix)
        self.inputs = (topics.accepted,)
        self.priority_inputs: Sequence[str] = ()
        self.changelogs = (topics.pool, topics.models)
        self._topics = topics
        self._store = store
        self._metrics = metrics
        self._log = log
        threads = ThreadPoolExecutor(cpu_count(), "training")
        self._context = Context(
            settings,
            topics,
            store.open,
            store.erase,
            map=threads.map,
            secret=store.secret,
            catch_up=self._catch_up,
        )
        self._settings = settings
        self._loaded = Table()
        self._slots = LoadedSlots(settings.spill_bytes, log)
        self._known = RetrainerState()
        self._stuck: set[ProfileKey] = set()
        self._newest: dict[Partition, int] = {}
        self._unseen: set[ProfileKey] = set()
        """Profiles that were restored, and not yet looked at since."""
        self._follow_from = follow
        self._follower: Following | None = None

    def load(self, record: ConsumerRecord) -> None:
        if record.topic == self._topics.pool:
            self._slots.load(record)
        else:
            self._loaded.load(record)

    def restored(self, partitions: Iterable[int]) -> None:
        """Pools and announcements of these partitions; from here on ``models`` is followed."""
        chosen = list(partitions)
        omitted = Omitted()
        for partition in chosen:
            for stored in self._slots.rings(partition):
                if stored.identity[0] in KINDS:
                    omitted.note(stored.identity[0], self._restore(partition, stored))
            for record in self._loaded.models(self._topics.models, partition, self._log):
                self._known.announced[partition, record.kind, record.profile_id] = record
        omitted.tell(self._log, self._topics.pool, "TELLTALE_POOL_SAMPLES")
        self._unseen = set(self._known.pools)
        models = self._topics.models
        self._follower = self._follow_from(
            self._settings, [(models, p, self._loaded.next(models, p)) for p in chosen]
        )
        self._loaded = Table()
        self._slots.clear()
        self._log.info("state", pools=len(self._known.pools))

    def admit(self, owner: Owner) -> str:
        return self._store.admit(owner)

    def check_models(self) -> None:
        # Profiles that learn again after a loss are announced still: the scorer alone can tell.
        announced = self._known.announced.values()
        policy = self._settings.lost_models
        self._store.check(announced, policy, self._log, owned_is_fit=True)

    def restored_offsets(self) -> dict[Partition, int]:
        return self._newest

    def compute(self, batch: Sequence[ConsumerRecord], now: int) -> Step[PoolDelta]:
        """The Step of a batch, with the artefacts of its candidates written."""
        self._follow()

        def make(refused: frozenset[ProfileKey]) -> Step[PoolDelta]:
            return retrainer.compute(self._known, batch, now, self._context, refused)

        return with_artifacts_written(self._store, make, self._log)

    def idle(self, now: int) -> Step[PoolDelta] | None:
        """Train what is due by the settings of now, though nothing has come for it since."""
        self._follow()
        due = list(islice(self._unseen, self._settings.trainings_per_step))
        if not due:
            return None

        def make(refused: frozenset[ProfileKey]) -> Step[PoolDelta]:
            return retrainer.compute_due(self._known, due, now, self._context, refused)

        step = with_artifacts_written(self._store, make, self._log)
        # What is trained stays on the list until it is committed.
        self._unseen.difference_update(key for key in due if key not in step.delta)
        return step if step.delta else None

    def apply_speculatively(self, step: Step[PoolDelta]) -> None:
        """Training takes far longer than a commit: there is nothing to gain."""

    def apply(self, step: Step[PoolDelta]) -> None:
        for key, pool in step.delta.items():
            self._unseen.discard(key)
            if pool is None:
                self._known.pools.pop(key, None)
                self._known.gone.pop(key, None)
                self._known.gallery.forget(key)
                self._stuck.discard(key)
            else:
                self._keep(key, pool)

    def drop(self) -> None:
        self.close()
        self._known = RetrainerState()
        self._stuck.clear()
        self._newest.clear()
        self._unseen.clear()
        self._loaded = Table()
        self._slots.clear()

    def set_watermark(self, until: int) -> None:
        """Pools have no TTL."""

    def update_gauges(self) -> None:
        counts = dict.fromkeys(KINDS, 0)
        for _, kind, _ in self._known.pools:
            counts[kind] += 1
        stuck = Counter(kind for _, kind, _ in self._stuck)
        for kind, count in counts.items():
            self._metrics.profiles.labels(self.name, kind, "pooled").set(count)
            self._metrics.refused_profiles.labels(self.name, kind).set(stuck[kind])
        self._metrics.model_memory_bytes.labels(self.name).set(self._store.nbytes)

    def close(self) -> None:
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _restore(self, partition: int, stored: StoredRing) -> int:
        """Take a pool from the changelog; how many of its samples the ring has no room for."""
        counters = pools.restored_head(stored, self._topics.pool, self._log)
        pool = pools.restored_pool(stored.slots, counters, self._settings.pool_samples)
        if pool is None:
            return 0
        self._keep((partition, *stored.identity), pool)
        self._note(partition, pool.offset)
        return ring.left_out(stored.slots, pool.ring)

    def _keep(self, key: ProfileKey, pool: Pool) -> None:
        """Store a pool, its newest sample as an impostor, and whether the gate refuses it."""
        before = self._known.pools.get(key)
        self._known.pools[key] = pool
        newest = pool.ring.newest
        if newest is not None and (before is None or before.ring.records != pool.ring.records):
            self._known.gallery.note(key, pool.ring.names, newest.rows[-1])
        if pool.refused >= REFUSED_IN_A_ROW:
            self._stuck.add(key)
        else:
            self._stuck.discard(key)

    def _note(self, partition: int, newest: int) -> None:
        place = (self._topics.accepted, partition)
        self._newest[place] = max(newest, self._newest.get(place, -1))

    def _follow(self) -> None:
        """Take what was announced since the last look."""
        if self._follower is None:
            return
        for record in self._follower.poll():
            self._announce(record)

    def _catch_up(self, partition: int) -> None:
        """Take what was announced on a partition up to the end that it has now."""
        if self._follower is None:
            return
        for record in self._follower.reach((self._topics.models, partition)):
            self._announce(record)

    def _announce(self, record: ConsumerRecord) -> None:
        name = record.key or b""
        kind, _, profile_id = name.decode(errors="surrogateescape").partition(":")
        key = (record.partition, kind, profile_id)
        before = self._known.announced.get(key)
        if before is not None:
            self._store.replaced(before.sha256)
        if record.value is None:
            if before is not None:
                del self._known.announced[key]
                self._known.gone[key] = before.generation
            return
        announced = announcement(name, record.value, self._log)
        if announced is not None:
            self._known.announced[key] = announced
