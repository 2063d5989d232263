"""Awkward telemetry through the scorer's and the retrainer's own Steps, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import orjson

from models.evaluation.awkward import ANOMALY, LEARNT, NORMAL, VOUCHED, Case, Stream
from models.evaluation.awkward_cases import CASES
from processor.backtest.replay import Replay
from processor.backtest.retraining import Retraining
from processor.records import ConsumerRecord, DeadLetter, ProducerRecord
from processor.settings import Settings
from processor.state.profiles import ActiveProfile
from processor.topics import Topics
from schemas import AcceptedSample, Command, CommandName

NOW = 1_700_000_000_000
SECOND = 1000

RECORDS, PROFILES = 2200, 6
QUICK_RECORDS, QUICK_PROFILES = 1000, 2
"""Records of each profile, those that are learnt included, and profiles of each case."""

Progress = Callable[[str, int, int], None]


@dataclass
class AwkwardRow:
    """What came of the profiles of one case.

    Attributes:
        case: what was played, and what is expected.
        profiles: how many.
        alarms, normal: normal records that were anomalies, and normal records.
        found, planted: planted anomalies that were found, and those that there were.
        dead_letters, records: records without a verdict, and all records.
        versions: model versions that came into force, of all profiles.
        events: lifecycle events of all profiles.
        told: profiles that brought the expected event exactly once.
    """

    case: Case
    profiles: int = 0
    alarms: int = 0
    normal: int = 0
    found: int = 0
    planted: int = 0
    dead_letters: int = 0
    records: int = 0
    versions: int = 0
    events: Counter[str] = field(default_factory=Counter)
    told: int = 0

    @property
    def false_alarms(self) -> float:
        """Share of normal records that were anomalies, 0–1."""
        return self.alarms / max(self.normal, 1)

    def held(self) -> bool:
        """Whether all that is expected came true."""
        case = self.case
        if case.dead_letters:
            return self.dead_letters == self.records
        bounds = case.false_alarms
        return (
            (bounds is None or bounds[0] <= self.false_alarms <= bounds[1])
            and (case.found is None or self.found >= case.found * self.planted)
            and (case.event is None or self.told == self.profiles)
            and self.dead_letters == 0
        )


def play_cases(
    *,
    seed: int = 0,
    quick: bool = False,
    cases: Sequence[Case] = CASES,
    progress: Progress | None = None,
) -> list[AwkwardRow]:
    """Play cases, those of one length side by side, with the product's default settings.

    Args:
        seed: of all that is drawn.
        quick: shorter streams of fewer profiles.
        progress: told what is done, how many records of how many.
    """
    defaults: dict[str, Any] = {"_env_file": None}
    settings = Settings(**defaults, seed=seed)
    records, profiles = (QUICK_RECORDS, QUICK_PROFILES) if quick else (RECORDS, PROFILES)
    rows = {case.name: AwkwardRow(case) for case in cases}
    for long in sorted({case.long for case in cases}):
        streams = {
            f"{case.name}/{number}": case.make(_generator(seed, case, number), records * long)
            for case in cases
            if case.long == long
            for number in range(profiles)
        }
        of_case = {name: rows[name.rpartition("/")[0]] for name in streams}
        _play(settings, streams, of_case, progress)
    return list(rows.values())


def _generator(seed: int, case: Case, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number, *case.name.encode()])


def _play(
    settings: Settings,
    streams: dict[str, Stream],
    of_case: dict[str, AwkwardRow],
    progress: Progress | None,
) -> None:
    """One record of each profile after another, and the figures into the rows."""
    topics = Topics(settings.topic_prefix)
    events: dict[str, Counter[str]] = defaultdict(Counter)

    def on_event(said: dict[str, Any]) -> None:
        events[said["profile_id"]][said["event"]] += 1

    most = max(len(stream.values) for stream in streams.values())
    offset = 0
    with TemporaryDirectory(prefix="telltale-") as directory:
        retraining = Retraining(settings, Path(directory), Counter(), on_event=on_event)
        replay = Replay(settings, topics, NOW, retraining=retraining)
        for at in range(most):
            now = NOW + at * SECOND
            batch: list[ConsumerRecord] = []
            owners: dict[str, str] = {}
            for name, stream in streams.items():
                if at >= len(stream.values):
                    continue
                topic = topics.telemetry(of_case[name].case.kind)
                value = orjson.dumps(stream.values[at])
                batch.append(ConsumerRecord(topic, 0, offset, stream.key(name), value, (), now))
                owners[f"{topic}-0-{offset}"] = name
                offset += 1
                if at == stream.retrain_at:
                    batch.insert(0, _command(topics, "retrain", name, offset, now))
                    offset += 1
            for verdict_id, said in replay.feed(batch):
                name = owners[verdict_id]
                truth = int(streams[name].truth[at])
                _count(of_case[name], truth, said)
                if truth == VOUCHED and isinstance(said, dict) and said["anomaly"]:
                    accepted = _accepted(topics, replay, streams[name].values[at], said)
                    replay.told(accepted, now)
            if progress is not None:
                progress(f"records of {len(streams)} profiles", at + 1, most)
        for name, row in of_case.items():
            held = events[streams[name].key(name).decode()]
            row.profiles += 1
            row.events += held
            row.versions += held["trained"] + held["adopted"]
            row.told += row.case.event is not None and held[row.case.event] == 1


def _command(topics: Topics, word: str, name: str, offset: int, now: int) -> ConsumerRecord:
    """What an operator asks for."""
    said = Command(
        command_id=f"{word}-{offset}", command=CommandName(word), profile_id=name, issued_at=now
    )
    value = said.model_dump_json().encode()
    return ConsumerRecord(topics.commands, 0, offset, name.encode(), value, (), now)


def _accepted(
    topics: Topics, replay: Replay, value: dict[str, Any], verdict: dict[str, Any]
) -> ProducerRecord:
    """A record of ``features`` as an analyst accepts it."""
    name, kind = verdict["profile_id"], verdict["kind"]
    active = cast(ActiveProfile, replay.state.profiles.get((0, kind, name)))
    sample = AcceptedSample(
        profile_id=name,
        kind=kind,
        generation=active.record.generation,
        model_version=active.record.version,
        features=active.record.features,
        vectors=[[value["values"].get(feature) for feature in active.record.features]],
        observed_at=NOW,
        source="analyst",
        verdict_id=verdict["verdict_id"],
    )
    return ProducerRecord(topics.accepted, sample.model_dump_json().encode(), name.encode(), 0)


def _count(row: AwkwardRow, truth: int, said: dict[str, Any] | DeadLetter) -> None:
    row.records += 1
    if isinstance(said, DeadLetter):
        row.dead_letters += 1
    anomaly = not isinstance(said, DeadLetter) and bool(said["anomaly"])
    if truth == NORMAL:
        row.normal += 1
        row.alarms += anomaly
    elif truth == ANOMALY:
        row.planted += 1
        row.found += anomaly


def awkward_to_markdown(rows: Iterable[AwkwardRow], budget: float = 0.01) -> str:
    """The rows as a table, each beside what is expected of it."""
    lines = [
        f"Alert budget {budget:.0%}; {LEARNT} samples learnt; anomalies lie 10 deviations away. "
        "Bounds in brackets; a case that does not hold what is expected is marked.",
        "",
        "| difficulty | case | false alarms, % | found, % | versions a profile | refused "
        "| event told once | dead letters, % | holds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        case = row.case
        cells = [
            case.group,
            case.name,
            _share(row.alarms, row.normal, case.false_alarms),
            _share(row.found, row.planted, None if case.found is None else (case.found, 1.0)),
            f"{row.versions / max(row.profiles, 1):.1f}",
            str(row.events["refused"]),
            "–" if case.event is None else f"{row.told} of {row.profiles} (`{case.event}`)",
            f"{100 * row.dead_letters / max(row.records, 1):.0f}"
            + (" (100)" if case.dead_letters else ""),
            "yes" if row.held() else "**no**",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int, bounds: tuple[float, float] | None) -> str:
    if not whole:
        return "–"
    told = f"{100 * part / whole:.2f}"
    if bounds is None:
        return told
    low, high = bounds
    return told + (f" (≥ {100 * low:g})" if high == 1.0 else f" ({100 * low:g}–{100 * high:g})")


def awkward_to_json(rows: Iterable[AwkwardRow]) -> dict[str, Any]:
    """The rows as plain JSON values."""
    plain = []
    for row in rows:
        figures = {each.name: getattr(row, each.name) for each in fields(row)}
        named = {"group": row.case.group, "case": row.case.name, "holds": row.held()}
        told = {"events": dict(row.events), "false_alarms": row.false_alarms}
        plain.append(figures | named | told)
    return {"awkward": plain}
