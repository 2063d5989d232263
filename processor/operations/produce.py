"""``telltale produce``: JSON Lines to a telemetry topic, every value as it stands in its line."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

from processor.kafka.reading import ToolError
from processor.kafka.sending import FLUSH_SECONDS

GZIP_MAGIC: Final = b"\x1f\x8b"

# Numbers are only passed over: as floats, the longest integer costs nothing and raises nothing.
_DECODER = json.JSONDecoder(parse_int=float)
_SPACE = re.compile(r"[ \t\r\n]*")


class NotTelemetry(ValueError):
    """A line that is neither form; the message says why."""


def parse_line(line: bytes) -> tuple[bytes, bytes]:
    """Key and value of a line: of ``{"key": …, "value": {…}}``, or of a bare telemetry object.

    The value's bytes are those of the line, unchanged; whether it is valid is the scorer's to say.

    Raises:
        NotTelemetry: no JSON object, or without a key.
    """
    try:
        text = line.decode("utf-8")
        members = _members(text)
        if "key" in members and "value" in members:
            key, value = members["key"][0], members["value"]
            if not isinstance(key, str):
                raise NotTelemetry("key: expected a string")
            if not isinstance(value[0], dict):
                raise NotTelemetry("value: expected an object")
            return key.encode("utf-8"), text[value[1] : value[2]].encode("utf-8")
        if "profile_id" not in members:
            raise NotTelemetry('expected {"key": …, "value": {…}} or an object with profile_id')
        key = members["profile_id"][0]
        if not isinstance(key, str):
            raise NotTelemetry("profile_id: expected a string")
        return key.encode("utf-8"), line.strip()
    except UnicodeDecodeError as error:
        raise NotTelemetry(f"not UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise NotTelemetry("the key holds half of a surrogate pair") from None
    except RecursionError:
        raise NotTelemetry("nested too deep to find its end") from None


def _members(text: str) -> dict[str, tuple[object, int, int]]:
    """The members of the object that a text is: name → value, its start and its end."""
    found: dict[str, tuple[object, int, int]] = {}
    place = _expect(text, _after_space(text, 0), "{")
    if text[place : place + 1] != "}":
        while True:
            name, place = _value(text, place)
            if not isinstance(name, str):
                raise NotTelemetry("not a JSON object")
            start = _expect(text, _after_space(text, place), ":")
            value, end = _value(text, start)
            found[name] = (value, start, end)
            place = _after_space(text, end)
            if text[place : place + 1] != ",":
                break
            place = _after_space(text, place + 1)
    end = _expect(text, place, "}")
    if end != len(text):
        raise NotTelemetry("text after the JSON object")
    return found


def _value(text: str, place: int) -> tuple[object, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except json.JSONDecodeError as error:
        raise NotTelemetry(f"not a JSON object: {error.msg} at character {error.pos}") from None


def _expect(text: str, place: int, sign: str) -> int:
    if text[place : place + 1] != sign:
        raise NotTelemetry(f"not a JSON object: expected {sign!r} at character {place}")
    return _after_space(text, place + 1)


def _after_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return place if match is None else match.end()


@contextmanager
def lines_of(file: str) -> Iterator[Iterable[bytes]]:
    """The lines of a file, of standard input for ``-``; what gzip packed is read through.

    Raises:
        ToolError: it cannot be opened or read.
    """
    try:
        if file == "-":
            with open(0, "rb", closefd=False) as stream:
                yield _unpacked(stream)
        else:
            with Path(file).open("rb") as stream:
                yield _unpacked(stream)
    except (OSError, EOFError, zlib.error) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ToolError(f"{file}: {told}") from None


def _unpacked(stream: io.BufferedReader) -> Iterable[bytes]:
    return gzip.open(stream) if stream.peek(2)[:2] == GZIP_MAGIC else stream


@dataclass
class ProduceReport:
    """What became of the lines.

    Attributes:
        skipped: number of the line, from 1, and why.
        undelivered: records that the broker did not take.
        reason: why not, for the first of them.
    """

    records: int = 0
    delivered: int = 0
    undelivered: int = 0
    reason: str = ""
    skipped: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.skipped or self.undelivered)

    def on_delivery(self, error: KafkaError | None, _: object) -> None:
        if error is None:
            self.delivered += 1
        else:
            self.undelivered += 1
            self.reason = self.reason or error.str()


class RateLimiter:
    """Keeps a loop at so many turns a second; None lets it run."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._began = monotonic()
        self._turns = 0

    def wait(self, pause: Callable[[float], object] = sleep) -> None:
        """Wait until the next turn is due."""
        if self._rate is None:
            return
        early = self._began + self._turns / self._rate - monotonic()
        self._turns += 1
        if early > 0.001:
            pause(early)


def produce(
    producer: Producer,
    topic: str,
    lines: Iterable[bytes],
    on_skip: Callable[[int, str], None],
    rate: float | None = None,
) -> ProduceReport:
    """Send lines; one that is neither form is told by its number and skipped.

    Args:
        rate: records a second; as fast as they go where None.
    """
    sent, began, pace = ProduceReport(), monotonic(), RateLimiter(rate)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            key, value = parse_line(line.rstrip(b"\r\n"))
        except NotTelemetry as error:
            sent.skipped.append((number, str(error)))
            on_skip(number, str(error))
            continue
        pace.wait()
        sent.records += 1
        deliver(producer, topic, key, value, sent.on_delivery)
    sent.undelivered += producer.flush(FLUSH_SECONDS)
    if sent.undelivered and not sent.reason:
        sent.reason = f"no answer within {FLUSH_SECONDS:.0f} s"
    sent.seconds = monotonic() - began
    return sent


def deliver(
    producer: Producer,
    topic: str,
    key: bytes,
    value: bytes,
    on_delivery: Callable[[KafkaError | None, object], None],
) -> None:
    """Hand a record to the producer, waiting for room where its queue is full.

    A record that it refuses (too large, say) is told to ``on_delivery`` like one that the broker
    refused.
    """
    while True:
        try:
            producer.produce(topic, value=value, key=key, on_delivery=on_delivery)
            producer.poll(0)
            return
        except BufferError:
            producer.poll(0.1)
        except KafkaException as error:
            on_delivery(error.args[0], None)
            return
