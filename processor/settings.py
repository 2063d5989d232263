"""Every setting, declared once: environment, ``.env`` file or flag, checked at the start."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.detectors import DETECTOR_NAMES, SEQUENTIAL
from processor.text.secrets import credentials
from schemas.telemetry import TELEMETRY

PREFIX = "TELLTALE_"
if TYPE_CHECKING:
    DetectorName = str
else:
    DetectorName = Literal[DETECTOR_NAMES]

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_UNITS |= {"kib": 2**10, "mib": 2**20, "gib": 2**30}


class SettingsError(Exception):
    """A setting that stops the start: names the variable, the value and what was expected.

    Attributes:
        fields: the settings that are wrong, as far as that can be said of single ones.
    """

    def __init__(self, message: str, fields: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.fields = frozenset(fields)


def _bytes(value: Any) -> Any:
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]*)\s*", value) if isinstance(value, str) else None
    if match is None:
        return value
    unit = _UNITS.get(match[2].lower())
    if unit is None:
        raise ValueError("a number of bytes, as 1GiB, 512MiB or 1000000")
    return int(match[1]) * unit


def _topic_prefix(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{0,200}", value):
        raise ValueError("letters, digits, '.', '_' and '-', at most 200")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value):
        raise ValueError("1 to 100 letters, digits, '.', '_' and '-'")
    return value


ByteSize = Annotated[int, BeforeValidator(_bytes), Field(gt=0)]
Name = Annotated[str, AfterValidator(_name)]
Samples = Annotated[int, Field(ge=1, le=1_000_000)]
OnShift = Literal["adopt", "hold"]


if TYPE_CHECKING:

    class SettingsOfKinds(BaseSettings):
        """The settings that there are once more for each kind of telemetry."""
else:
    SettingsOfKinds = create_model(
        "SettingsOfKinds",
        __base__=BaseSettings,
        **{
            f"{name}__{kind}": (of | None, Field(None, description="The same, one kind."))
            for name, of in (
                ("cold_start_samples", Samples),
                ("detector", DetectorName),
                ("on_shift", OnShift),
            )
            for kind in TELEMETRY
        },
    )


class Settings(SettingsOfKinds):
    """The settings of a process; the description of each is its help text."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=False,
    )

    bootstrap_servers: str = Field("localhost:9092", min_length=1, description="Kafka's addresses.")
    kafka_config: Path | None = Field(
        None, description="A client.properties file passed to librdkafka (TLS, SASL, …)."
    )
    topic_prefix: Annotated[str, AfterValidator(_topic_prefix)] = Field(
        "", description="Put before every topic name."
    )
    partitions: int = Field(8, ge=1, le=10_000, description="Partitions that topics get.")
    replication: int = Field(1, ge=1, le=100, description="Replicas that topics get.")
    application: Name = Field(
        "telltale", description="Prefix of the group ids and transactional ids."
    )
    slot: Name | None = Field(None, description="Stable slot of this process among its role.")
    model_dir: str = Field(
        "./var/models", min_length=1, description="Artefacts: a path, or a URL that fsspec opens."
    )
    model_cache: str = Field(
        "./var/model-cache", min_length=1, description="Copies of a model directory that is a URL."
    )

    cold_start_samples: Samples = Field(200, description="Samples before the first training.")
    min_training_data_points: int = Field(
        3, ge=3, le=10_000, description="Nothing is ever trained on fewer samples."
    )
    alert_budget: float = Field(
        0.01, gt=0, lt=0.5, description="Share of normal records that may be called anomalous."
    )
    detector: DetectorName | None = Field(None, description="Detector; without it, the kind's own.")
    retrain_samples: int = Field(500, ge=1, description="Accepted samples until a retraining.")
    retrain_days: float = Field(7, gt=0, allow_inf_nan=False, description="Days until then.")
    retrain_policy: Literal["grow", "slide", "blend"] = Field(
        "grow", description="Trained on all samples, on the latest, or on the first and latest."
    )
    pool_samples: int = Field(
        1000, ge=10, le=100_000, description="Accepted samples that the retrainer keeps a profile."
    )
    on_shift: OnShift | None = Field(None, description="A new normal; without it, the kind's own.")
    shift_samples: Samples | None = Field(
        None, description="Abnormal samples of it before it is adopted; without it, the cold start."
    )
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything random.")

    compressed_inputs: bool = Field(
        False, description="Input topics may be compressed on the broker: no warning."
    )
    max_record_bytes: ByteSize = Field(1_000_000, description="Larger values are dead letters.")
    max_features: int = Field(1000, ge=1, le=32_000, description="Features of a record, at most.")
    max_samples: int = Field(10_000, ge=1, le=100_000, description="Samples of a record, at most.")
    model_memory: ByteSize = Field(2**30, description="Bytes of models kept in memory.")
    batch_records: int = Field(8000, ge=1, le=100_000, description="Records polled at a time.")
    trainings_per_step: int = Field(
        50, ge=1, le=10_000, description="Trainings between two commits, at most."
    )
    training_samples_per_step: int = Field(
        20_000, ge=1, description="Samples trained on between two commits; one training is allowed."
    )
    max_learning_profiles: int = Field(
        5000, ge=1, description="Learning profiles in memory; the others wait in a local file."
    )
    spill_bytes: ByteSize = Field(2**30, description="Largest size of this local file.")
    profile_ttl_days: float = Field(
        0, ge=0, le=36_500, description="A profile silent so long is forgotten; 0: never."
    )

    late_minutes: float = Field(
        60, gt=0, allow_inf_nan=False, description="Older records are late."
    )

    sources: Path | None = Field(
        None, description="File of ingest: existing topics, and how they become telemetry."
    )
    lost_offsets: Literal["stop", "earliest", "latest"] = Field(
        "stop", description="What to do when committed offsets, or unread telemetry, are gone."
    )
    lost_models: Literal["stop", "relearn"] = Field(
        "stop", description="What to do when most announced models are not in the directory."
    )
    session_timeout_ms: int = Field(6000, ge=1000, description="A silent process is removed.")
    transaction_timeout_ms: int = Field(10_000, ge=1000, description="An open transaction aborts.")
    max_poll_interval_ms: int = Field(60_000, ge=10_000, description="Longest time for a batch.")

    http_host: str = Field("127.0.0.1", min_length=1, description="Address of /metrics, /health.")
    http_port: int | None = Field(
        None, ge=0, le=65535, description="Its port: 9464, retrainer 9465, ingest 9467; 0: any."
    )
    log_format: Literal["console", "json"] | None = Field(
        None, description="console or json; without it, console on a terminal, else json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe of the log lines written."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field in ("detector", *(f"detector__{kind}" for kind in TELEMETRY)):
            if getattr(self, field) in SEQUENTIAL and field != "detector__series":
                raise ValueError(f"{PREFIX}{field.upper()}: expected a detector of vectors")
        for kind in TELEMETRY:
            needed = self.cold_start(kind)
            if needed < self.min_training_data_points:
                own = getattr(self, f"cold_start_samples__{kind}") is not None
                raise ValueError(
                    f"{PREFIX}COLD_START_SAMPLES{f'__{kind.upper()}' if own else ''}: expected at "
                    f"least {PREFIX}MIN_TRAINING_DATA_POINTS ({self.min_training_data_points}), "
                    f"got {needed}"
                )
        if self.transaction_timeout_ms >= self.max_poll_interval_ms:
            raise ValueError(
                f"{PREFIX}TRANSACTION_TIMEOUT_MS: expected less than {PREFIX}MAX_POLL_INTERVAL_MS "
                f"({self.max_poll_interval_ms}), got {self.transaction_timeout_ms}"
            )
        if self.session_timeout_ms > self.max_poll_interval_ms:
            raise ValueError(
                f"{PREFIX}SESSION_TIMEOUT_MS: expected at most {PREFIX}MAX_POLL_INTERVAL_MS "
                f"({self.max_poll_interval_ms}), got {self.session_timeout_ms}"
            )
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.masked(value) if isinstance(value, str) else value

    def masked(self, text: str) -> str:
        """A text without the credentials that the URL of the model directory may hold."""
        for secret in credentials(self.model_dir):
            text = text.replace(secret, "***")
        return text

    def cold_start(self, kind: str) -> int:
        """Samples that a profile of this kind needs before its first training."""
        own: int | None = getattr(self, f"cold_start_samples__{kind}")
        return self.cold_start_samples if own is None else own

    def detector_for(self, kind: str, default: str) -> str:
        """Name of a kind's detector: its own setting, else the general one, else its default."""
        own: str | None = getattr(self, f"detector__{kind}")
        return own or self.detector or default

    def on_shift_for(self, kind: str, default: OnShift) -> OnShift:
        """What is done with a new normal: the kind's own setting, else the general one."""
        own: OnShift | None = getattr(self, f"on_shift__{kind}")
        return own or self.on_shift or default

    def shift_samples_for(self, kind: str) -> int:
        """Samples of a new normal before it is adopted."""
        return self.cold_start(kind) if self.shift_samples is None else self.shift_samples


def load(**flags: Any) -> Settings:
    """Settings from flags (those not None), then the environment, then ``.env``.

    Raises:
        SettingsError: a value is wrong; the message names the variable, the value and what was
            expected.
    """
    return load_as(Settings, **flags)


S = TypeVar("S", bound=BaseSettings)


def load_as(settings: type[S], **flags: Any) -> S:
    """What ``load`` does, for settings of another class with the same prefix.

    Raises:
        SettingsError: as ``load`` has it. The message holds the value, so a secret is no field
            that can be wrong.
    """
    try:
        return settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        wrong = error.errors()
        fields = [str(item["loc"][0]) for item in wrong if item["loc"]]
        raise SettingsError("; ".join(map(_sentence, wrong)), fields) from None


def _sentence(item: Any) -> str:
    message = item["msg"].removeprefix("Value error, ")
    if not item["loc"]:
        return str(message)
    variable = PREFIX + str(item["loc"][0]).upper()
    expected = message.removeprefix("Input should be ")
    return f"{variable}: expected {expected}, got {item['input']!r}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a record."""

    record_bytes: int
    features: int
    samples: int
