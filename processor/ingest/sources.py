"""The file of sources: read, completed by presets, checked; errors name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from processor.ingest.kinds import InvalidField
from processor.ingest.mapping import compiled
from processor.ingest.placing import Placing
from processor.ingest.presets import UnknownPreset, preset
from processor.settings import Limits, Settings, SettingsError
from processor.topics import Topics
from schemas.sources import Source, Sources

Place = tuple[str | int, ...]


class SourcesError(SettingsError):
    """The file cannot be used: names the file, the line, the field, the value and what was
    expected."""


@dataclass(frozen=True)
class SourcesFile:
    """A file of sources, valid and complete.

    Attributes:
        path: of the file; its paths are relative to its directory.
        registry: the properties file of the schema registry.
    """

    path: Path
    sources: tuple[Source, ...]
    registry: Path | None

    @property
    def topics(self) -> list[str]:
        """Topics and patterns that are read, each once."""
        return list(dict.fromkeys(source.topic for source in self.sources))

    def reading(self, topic: str) -> list[int]:
        """Places of the sources that read a topic."""
        return [at for at, source in enumerate(self.sources) if matches(source, topic)]

    def beside(self, name: str) -> Path:
        """A path that the file names."""
        return self.path.parent / name


def matches(source: Source, topic: str) -> bool:
    """Whether a source reads a topic; a pattern is found from the name's beginning on."""
    if source.topic.startswith("^"):
        return re.match(source.topic, topic) is not None
    return source.topic == topic


def load_sources(path: Path, settings: Settings) -> SourcesFile:
    """Read and check a file.

    Raises:
        SourcesError: it cannot be used; the message says where and why.
    """
    text = _text(path)
    try:
        loaded = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" line {mark.line + 1}"
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise SourcesError(f"{path}{line}: expected YAML: {problem}") from None
    except RecursionError:
        raise SourcesError(f"{path}: expected YAML: nested too deep") from None

    def failed(place: Place, why: str) -> SourcesError:
        line = _line(root, place)
        value = _value(loaded, place)
        got = "" if value is _ABSENT else f", got {repr(value)[:100]}"
        return SourcesError(f"{path} line {line}: {_named(place)}: {why}{got}")

    if not isinstance(loaded, dict):
        raise failed((), "expected an object with sources")
    completed = dict(loaded)
    if isinstance(loaded.get("sources"), list):
        completed["sources"] = [
            _completed(given, at, failed) for at, given in enumerate(loaded["sources"])
        ]
    try:
        checked = Sources.model_validate(completed)
    except ValidationError as error:
        first = error.errors()[0]
        why = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        why = re.sub("^should", "the source should", why)
        place = _place(first["loc"])
        raise failed(place, why if why.startswith("the source") else f"expected {why}") from None
    _check(checked.sources, settings, failed)
    registry = checked.schema_registry
    return SourcesFile(
        path,
        tuple(checked.sources),
        None if registry is None else path.parent / registry,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SourcesError(f"{path}: expected a readable file: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SourcesError(f"{path}: expected UTF-8, not so at byte {error.start}") from None


def _completed(given: Any, at: int, failed: Any) -> Any:
    """A source with what its preset says of fields that it does not give."""
    if not isinstance(given, dict) or given.get("preset") is None:
        return given
    try:
        base = preset(str(given["preset"]))
    except UnknownPreset as error:
        raise failed(("sources", at, "preset"), f"expected {error}") from None
    if given.get("kind", base.get("kind")) != base.get("kind"):
        # What the preset's kind holds, another kind does not have.
        fields = ("values", "value", "window", "ear_value", "is_drowsy", "duration_ms", "rate")
        base = {name: held for name, held in base.items() if name not in fields}
    return {**base, **{name: held for name, held in given.items() if held is not None}}


def _check(sources: Sequence[Source], settings: Settings, failed: Any) -> None:
    """Whatever the model cannot see: names, topics, patterns, paths."""
    own = Topics(settings.topic_prefix).configs()
    names: set[str] = set()
    for at, source in enumerate(sources):
        if source.name in names:
            raise failed(("sources", at, "name"), "expected a name that no source has before")
        names.add(source.name)
        place = ("sources", at, "topic")
        if source.topic.startswith("^"):
            try:
                pattern = re.compile(source.topic)
            except re.error as error:
                raise failed(place, f"expected a regular expression ({error})") from None
            if any(pattern.match(name) for name in own):
                raise failed(place, "expected a pattern that matches no topic of Telltale's own")
        elif not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", source.topic):
            raise failed(
                place, "expected a topic's name, or a regular expression that begins with ^"
            )
        elif source.topic in own:
            raise failed(place, "expected a topic that is none of Telltale's own")
    limits = Limits(settings.max_record_bytes, settings.max_features, settings.max_samples)
    try:
        list(compiled(sources, limits, Placing(1)))
    except InvalidField as error:
        raise failed(error.place, str(error)) from None


_ABSENT = object()


def _value(loaded: Any, place: Place) -> Any:
    """What the file has at a place; absent where that is a whole part of it."""
    for step in place:
        try:
            loaded = loaded[step]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return _ABSENT if isinstance(loaded, dict | list) and loaded else loaded


def _line(node: Any, place: Place) -> int:
    """The line of a place in the file, or of the part that lacks it; from 1."""
    line = 1 if node is None else node.start_mark.line + 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            if step >= len(node.value):
                break
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _place(location: tuple[str | int, ...]) -> Place:
    return tuple(step for step in location if step != "[key]")


def _named(place: Place) -> str:
    text = ""
    for step in place:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "the file"
