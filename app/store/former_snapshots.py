"""The figures of snapshots that were deleted, so that the quality of snapshots can be followed over time.

Of the newest `MOST` deleted snapshots, the keys `KEPT` of the card are kept. They are figures over all users. Those of
a snapshot that was learned from fewer than `FEWEST_USERS` may tell what one of them did, and are not kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from app.entities import from_microseconds
from app.store.database import Database
from app.store.schema import former_snapshots, snapshots

Cause = Literal["retention", "erasure"]

MOST = 1_000
FEWEST_USERS = 10
KEPT = ("metrics", "intervals", "counts", "reason", "advice", "accepted", "phase_seconds")


@dataclass(frozen=True, slots=True)
class FormerSnapshot:
    """A deleted snapshot. `card`: the keys `KEPT` of its card. `cause`: why it was deleted."""

    version: int
    created_at: datetime
    deleted_at: datetime
    cause: Cause
    card: dict[str, Any]


class FormerSnapshots:
    def __init__(self, database: Database) -> None:
        self._database = database

    def latest(self, limit: int = MOST) -> list[FormerSnapshot]:
        """Those with the highest versions, which come first."""
        newest = sa.select(former_snapshots).order_by(former_snapshots.c.version.desc()).limit(limit)
        with self._database.reading() as connection:
            return [
                FormerSnapshot(
                    version=row.version,
                    created_at=from_microseconds(row.created_at),
                    deleted_at=from_microseconds(row.deleted_at),
                    cause=row.cause,
                    card=row.card,
                )
                for row in connection.execute(newest)
            ]

    def count(self) -> int:
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(former_snapshots)).scalar_one())


def delete_snapshots(
    database: Database, connection: sa.Connection, cause: Cause, *conditions: sa.ColumnElement[bool]
) -> Sequence[int]:
    """Deletes the entries of the snapshots that meet the conditions, keeps their figures and returns their versions."""
    columns = (snapshots.c.version, snapshots.c.card, snapshots.c.created_at)
    deleted = connection.execute(sa.delete(snapshots).where(*conditions).returning(*columns)).all()
    now = database.dialect.now(connection)
    kept = [
        {
            "version": row.version,
            "card": {name: row.card[name] for name in KEPT if name in row.card},
            "created_at": row.created_at,
            "deleted_at": now,
            "cause": cause,
        }
        for row in deleted
        if row.card.get("counts", {}).get("users", 0) >= FEWEST_USERS
    ]
    if kept:
        connection.execute(sa.insert(former_snapshots), kept)
        newest = sa.select(former_snapshots.c.version).order_by(former_snapshots.c.version.desc()).offset(MOST).limit(1)
        last_over = connection.execute(newest).scalar_one_or_none()
        if last_over is not None:
            connection.execute(sa.delete(former_snapshots).where(former_snapshots.c.version <= last_over))
    return sorted(row.version for row in deleted)
