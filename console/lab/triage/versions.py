"""When the versions of models that judged alerts were trained, and on how much."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from console.store import tables as t


def trained_versions(
    connection: Connection, which: Any
) -> dict[tuple[str, str, int | None], tuple[int | None, int | None]]:
    """Kind, profile and version → epoch milliseconds of the training, and samples trained on.

    Args:
        which: condition of the rows of ``model_versions``.
    """
    held = t.model_versions.c
    query = select(held.kind, held.profile_id, held.version, held.trained_at, held.trained_on)
    return {
        (row.kind, row.profile_id, row.version): (row.trained_at, row.trained_on)
        for row in connection.execute(query.where(which))
    }
