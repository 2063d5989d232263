"""What all tables share: their metadata, and columns that are not null."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, MetaData, Text
from sqlalchemy.types import TypeDecorator

metadata = MetaData()
REPLACEMENT = "\ufffd"


class CleanText(TypeDecorator[str]):
    """Text in which NUL, which PostgreSQL refuses, is replaced by U+FFFD."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The text as it is stored, and compared."""
        return value if value is None else value.replace("\x00", REPLACEMENT)


def text_column(name: str, **options: Any) -> Column[str]:
    """Text that is there."""
    return Column(name, CleanText, nullable=False, **options)


def big_column(name: str, **options: Any) -> Column[int]:
    """A whole number that is there."""
    return Column(name, BigInteger, nullable=False, **options)


def key_column(name: str) -> Column[int]:
    """A number of the primary key."""
    # Nobody but Kafka numbers these.
    return Column(name, BigInteger, primary_key=True, autoincrement=False)
