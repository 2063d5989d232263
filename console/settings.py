"""The console's own settings, beside those of the roles: environment or ``.env``."""

from __future__ import annotations

import ipaddress
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from processor.settings import PREFIX, SettingsError

SECRET_BYTES = 32
"""Of the key that signs tokens, at least: as long as what HS256 makes of it."""

PARTS = ("gateway", "live", "jobs", "ui")
"""gateway: telemetry in, verdicts out. live: the store, statistics, streams, profiles, commands.
jobs: trainings and analyses, and the workers that run them.
ui: the pages, which need live beside them, in this process or in another behind the same origin."""

_RATE = re.compile(r"([1-9][0-9]{0,6})/(second|minute|hour)")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


def _rate(value: str) -> str:
    if not _RATE.fullmatch(value):
        raise ValueError("a number and a time, as 600/minute")
    return value


def _known_parts(value: str) -> str:
    wrong = [part for part in _parts(value) if part not in PARTS]
    if wrong or not _parts(value):
        raise ValueError(f"some of {', '.join(PARTS)}, with commas")
    return value


class ConsoleSettings(BaseSettings):
    """The settings of ``telltale console``; those of Kafka are the roles' own."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    console_host: str = Field("127.0.0.1", min_length=1, description="Address of the HTTP API.")
    console_port: int = Field(8000, ge=0, le=65535, description="Its port; 0 takes a free one.")
    console_metrics_port: int = Field(
        9466, ge=0, le=65535, description="Port of /metrics; 0 takes a free one."
    )
    console_environment: Literal["development", "production"] = Field(
        "development",
        description="production: no docs pages, a secret is required, no default CORS origins.",
    )
    console_hosts: str = Field(
        "localhost,127.0.0.1,[::1]",
        description="Names by which clients may call it, with commas; * for any.",
    )
    cors_origins: str | None = Field(
        None,
        description="Origins of pages that may call it, with commas; in development ports 5173 "
        "and 3000 of localhost unless set.",
    )
    database_url: str = Field(
        "sqlite:///./var/console.db",
        validation_alias=AliasChoices(f"{PREFIX}DATABASE_URL", "DATABASE_URL"),
        description="The store: SQLite or PostgreSQL, as SQLAlchemy writes it.",
    )
    database_pool: int = Field(10, ge=1, le=1000, description="Connections kept to the store,")
    database_max: int = Field(20, ge=1, le=1000, description="and at most.")
    jwt_secret: SecretStr | None = Field(
        None, description="Signs tokens (HS256): at least 32 bytes."
    )
    jwt_secret_file: Path | None = Field(None, description="A file that holds the secret instead.")
    jwt_jwks: str | None = Field(
        None,
        description="URL or file of an issuer's keys: its tokens (RS256, ES256) are taken as well.",
    )
    jwt_issuer: str | None = Field(None, description="What iss of such a token must be.")
    jwt_audience: str | None = Field(None, description="What aud of such a token must hold.")
    jwt_hours: float = Field(24, gt=0, le=24, description="How long a token holds.")
    console_sample: int = Field(
        1000, ge=1, description="One normal verdict in so many becomes a row."
    )
    console_recent: int = Field(
        1000, ge=1, le=100_000, description="Events that are kept in memory."
    )
    console_retention_days: float = Field(
        90, gt=0, le=36_500, description="Rows of verdicts are deleted after so many days."
    )
    console_backup_days: float | None = Field(
        None,
        gt=0,
        le=36_500,
        description="How long backups of the store are kept; receipts say so.",
    )
    console_parts: Annotated[str, AfterValidator(_known_parts)] = Field(
        ",".join(PARTS), description="What this process runs, with commas; --parts says the same."
    )
    console_guide: bool = Field(
        False, description="The overview explains itself; telltale demo --console sets it."
    )
    data_dir: str = Field(
        "./var/data",
        min_length=1,
        description="Files of data: a path, or a URL that fsspec opens; shared by all replicas.",
    )
    results_dir: str = Field(
        "./var/results",
        min_length=1,
        description="Results of jobs: a path, or a URL that fsspec opens; shared likewise.",
    )
    max_upload_bytes: int = Field(
        100_000_000, ge=1, le=10**12, description="Of a data set or a model that is uploaded."
    )
    job_seconds: float = Field(3600, gt=0, le=10**7, description="A job may take so long.")
    job_workers: int = Field(
        1, ge=0, le=64, description="Processes that run jobs, beside this one."
    )
    rate_limit: Annotated[str, AfterValidator(_rate)] = Field(
        "600/minute", description="Requests of a subject."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.database_max < self.database_pool:
            raise ValueError(
                f"{PREFIX}DATABASE_MAX: expected at least {PREFIX}DATABASE_POOL "
                f"({self.database_pool}), got {self.database_max}"
            )
        return self

    @cached_property
    def secret(self) -> bytes | None:
        """The key that signs tokens; None without one.

        Raises:
            SettingsError: too short, or the file cannot be read. The message does not hold it.
        """
        if self.jwt_secret is not None:
            name, raw = "JWT_SECRET", self.jwt_secret.get_secret_value().encode()
        elif self.jwt_secret_file is not None:
            name = "JWT_SECRET_FILE"
            try:
                raw = self.jwt_secret_file.read_bytes().strip()
            except OSError as error:
                told = f"got {self.jwt_secret_file}: {error.strerror or error}"
                raise SettingsError(f"{PREFIX}{name}: expected a readable file, {told}") from None
        else:
            return None
        if len(raw) < SECRET_BYTES:
            raise SettingsError(
                f"{PREFIX}{name}: expected at least {SECRET_BYTES} bytes, got {len(raw)}"
            )
        return raw

    @cached_property
    def database(self) -> URL:
        """The store's URL; PostgreSQL is spoken to by psycopg 3, whatever driver it names.

        Raises:
            SettingsError: neither SQLite nor PostgreSQL. The message holds no password.
        """
        expected = f"{PREFIX}DATABASE_URL: expected sqlite:///PATH or postgresql://HOST/NAME, got "
        try:
            url = make_url(self.database_url)
        except ArgumentError:
            raise SettingsError(f"{expected}what is no URL") from None
        backend = url.get_backend_name()
        if backend == "postgres":
            backend = "postgresql"
        if backend == "postgresql":
            return url.set(drivername="postgresql+psycopg")
        if backend == "sqlite" and url.database and url.database != ":memory:":
            return url.set(drivername="sqlite+pysqlite")
        raise SettingsError(expected + url.render_as_string(hide_password=True))

    @property
    def origins(self) -> list[str]:
        """Origins of pages that may call the API."""
        if self.cors_origins is not None:
            return _parts(self.cors_origins)
        if self.console_environment == "production":
            return []
        return [f"http://localhost:{port}" for port in (5173, 3000)]

    @property
    def parts(self) -> frozenset[str]:
        """What this process runs."""
        return frozenset(_parts(self.console_parts))

    @property
    def hosts(self) -> list[str]:
        """Names by which clients may call the API."""
        return _parts(self.console_hosts)

    @property
    def rate(self) -> tuple[int, float]:
        """Requests of a subject and the seconds in which they may come."""
        match = _RATE.fullmatch(self.rate_limit)
        assert match is not None  # noqa: S101  (the field's validator has seen it)
        return int(match[1]), _SECONDS[match[2]]

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the API."""
        if self.console_host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.console_host).is_loopback
        except ValueError:
            return False


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def refuse_unsafe(settings: ConsoleSettings, users: int) -> None:
    """Stop a start that would let anyone do anything.

    Args:
        users: how many the store holds.

    Raises:
        SettingsError: names the variable and what would be safe.
    """
    if settings.secret is not None or settings.jwt_jwks is not None:
        return
    name = f"{PREFIX}JWT_SECRET"
    if settings.console_environment == "production":
        raise SettingsError(
            f"{name}: expected a secret in production, or {PREFIX}JWT_JWKS; got none"
        )
    if users:
        raise SettingsError(f"{name}: expected a secret, as the store holds users; got none")
    if not settings.loopback:
        raise SettingsError(
            f"{PREFIX}CONSOLE_HOST: expected a loopback address without {name}, "
            f"got {settings.console_host!r}"
        )
