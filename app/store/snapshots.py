"""The register of published snapshots: which there are, which is live, whether it is pinned."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.jobs import Claim, update_held
from app.store.schema import snapshots


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One published snapshot; `path` is relative to the data folder, `card` what its manifest says of it."""

    version: int
    path: str
    created_at: datetime
    is_live: bool
    is_pinned: bool
    card: dict[str, Any]


class SnapshotRegister:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next_version(self) -> int:
        """A number no other snapshot has or will have; gaps are allowed."""
        with self._database.writing() as connection:
            return counters.grow(connection, "snapshot")

    def register(self, claim: Claim, *, version: int, path: str, card: dict[str, Any]) -> None:
        """Publish in one transaction: the row, the live one (unless another is pinned), the end of the job.

        Raises `LeaseLostError`, and publishes nothing, when the job was taken over meanwhile.
        """
        with self._database.writing() as connection:
            now = self._database.dialect.now(connection)
            reason = card.get("reason")
            update_held(
                connection,
                claim,
                state="succeeded",
                reason=reason,
                finished_at=now,
                progress=1.0,
                stage="published",
                snapshot_version=version,
            )
            values = {"version": version, "path": path, "card": card, "created_at": now}
            connection.execute(sa.insert(snapshots).values(**values))
            is_pinned = connection.execute(sa.select(snapshots.c.version).where(snapshots.c.is_pinned)).first()
            if is_pinned is None:
                _make_live(connection, version, is_pinned=False)

    def activate(self, version: int | None) -> SnapshotEntry:
        """Make a version live and pin it; None: the newest one, unpinned. `NotFoundError` if it is not kept."""
        with self._database.writing() as connection:
            chosen = version
            if chosen is None:
                chosen = connection.execute(sa.select(sa.func.max(snapshots.c.version))).scalar_one()
            known = connection.execute(sa.select(snapshots.c.version).where(snapshots.c.version == chosen)).first()
            if known is None:
                raise NotFoundError("snapshot", "latest" if version is None else str(version))
            _make_live(connection, int(known.version), is_pinned=version is not None)
            return _to_entry(connection.execute(sa.select(snapshots).where(snapshots.c.version == chosen)).one())

    def live(self) -> SnapshotEntry | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(snapshots).where(snapshots.c.is_live)).one_or_none()
        return None if row is None else _to_entry(row)

    def live_version(self) -> int | None:
        with self._database.reading() as connection:
            return connection.execute(sa.select(snapshots.c.version).where(snapshots.c.is_live)).scalar_one_or_none()

    def get(self, version: int) -> SnapshotEntry:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(snapshots).where(snapshots.c.version == version)).one_or_none()
        if row is None:
            raise NotFoundError("snapshot", str(version))
        return _to_entry(row)

    def entries(self) -> list[SnapshotEntry]:
        """All that are registered, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(snapshots).order_by(snapshots.c.version.desc()))
            return [_to_entry(row) for row in rows]

    def forget(self, version: int) -> bool:
        """Take it off the register, unless it is live; True if it is gone."""
        with self._database.writing() as connection:
            statement = sa.delete(snapshots).where(snapshots.c.version == version, ~snapshots.c.is_live)
            return connection.execute(statement).rowcount == 1


def _make_live(connection: sa.Connection, version: int, *, is_pinned: bool) -> None:
    # First none, then one: the unique index on the live row holds after every statement.
    connection.execute(sa.update(snapshots).where(snapshots.c.is_live).values(is_live=False, is_pinned=False))
    connection.execute(
        sa.update(snapshots).where(snapshots.c.version == version).values(is_live=True, is_pinned=is_pinned)
    )


def _to_entry(row: Any) -> SnapshotEntry:
    return SnapshotEntry(
        version=row.version,
        path=row.path,
        created_at=from_microseconds(row.created_at),
        is_live=row.is_live,
        is_pinned=row.is_pinned,
        card=row.card,
    )
