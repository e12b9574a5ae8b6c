"""The register of published snapshots: their versions, which one is live, and whether it is pinned."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.entities import from_microseconds
from app.errors import ConflictError, NotFoundError
from app.store import counters
from app.store.database import Database
from app.store.former_snapshots import delete_snapshots
from app.store.jobs import Claim, check_wanted, update_held
from app.store.schema import snapshots
from app.store.trends import Judgement, judge


class ErasedSinceError(ConflictError):
    """The snapshot holds users who were erased, and the one that is live does not."""

    type = "erased-since"
    title = "The snapshot holds users who were erased"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"snapshot {version} is older than the erasure of a user whom the live snapshot no longer holds;"
            " it is being deleted"
        )


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One published snapshot; `path` is relative to the data folder, `card` the summary of its manifest.

    `digest`: the SHA-256 of the manifest, so that a folder is the one that was registered; None if an earlier release
    registered it.
    """

    version: int
    path: str
    created_at: datetime
    is_live: bool
    is_pinned: bool
    card: dict[str, Any]
    digest: str | None = None

    @property
    def source(self) -> str | None:
        """The files that ratings were read from; None where all were in the database."""
        source: str | None = self.card.get("requested_recipe", {}).get("source")
        return source

    @property
    def n_erasures(self) -> int:
        """The erasures that it takes into account: those with this number or a lower one."""
        return n_erasures_of(self.card)


class LiveChangedError(ConflictError):
    title = "Another snapshot is live now"

    def __init__(self, live: int | None) -> None:
        now = "none is live" if live is None else f"snapshot {live} is live"
        super().__init__(
            f"{now} since this page was loaded, by another operator or by a training run. Nothing was changed: load "
            "the page again, look, and decide anew."
        )


class SnapshotRegister:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next_version(self) -> int:
        """A number that no other snapshot has or will have; numbers may be skipped."""
        with self._database.writing() as connection:
            return counters.grow(connection, "snapshot")

    def register(
        self,
        claim: Claim,
        *,
        version: int,
        path: str,
        card: dict[str, Any],
        digest: str | None = None,
        judgement: Judgement | None = None,
    ) -> None:
        """Publishes in one transaction: inserts the row, makes it live unless another is pinned, and ends the job.

        `judgement`: from now on, trends count the users that the run has judged in full; None: it judged no user.
        Raises `LeaseLostError`, and publishes nothing, when another worker has taken over the job, and
        `JobCancelledError` when the job was cancelled.
        """
        with self._database.writing() as connection:
            # The end of the job comes first: it raises, and rolls back, where the lease is lost.
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
            # Last of all: a cancellation that comes later waits for the lock of the job's row, and finds it succeeded.
            check_wanted(connection, claim)
            values = {"version": version, "path": path, "card": card, "digest": digest, "created_at": now}
            connection.execute(sa.insert(snapshots).values(**values))
            # While a snapshot is pinned, new ones are published without going live. A pin holds no erased user back.
            pinned = connection.execute(sa.select(snapshots.c.card).where(snapshots.c.is_pinned)).scalar_one_or_none()
            if pinned is None or n_erasures_of(pinned) < n_erasures_of(card):
                _make_live(connection, version, is_pinned=False)
            if judgement is not None:
                judge(self._database, connection, judgement)

    def activate(self, version: int | None, *, seen: Collection[int | None] | None = None) -> SnapshotEntry:
        """Makes a version live and pins it; None: the newest one, unpinned.

        `seen`: the versions of which one must be live, where None stands for no live snapshot; None: any may be.

        Raises `NotFoundError`, `LiveChangedError` if another snapshot is live than was seen, and `ErasedSinceError`
        rather than bring an erased user back.
        """
        with self._database.writing() as connection:
            if seen is not None:
                find_live = sa.select(snapshots.c.version).where(snapshots.c.is_live)
                if (live := connection.execute(find_live).scalar_one_or_none()) not in seen:
                    raise LiveChangedError(live)
            chosen = version
            if chosen is None:
                chosen = connection.execute(sa.select(sa.func.max(snapshots.c.version))).scalar_one()
            known = connection.execute(sa.select(snapshots.c.version).where(snapshots.c.version == chosen)).first()
            if known is None:
                raise NotFoundError("snapshot", "latest" if version is None else str(version))
            _refuse_erased(connection, int(known.version))
            _make_live(connection, int(known.version), is_pinned=version is not None)
            return _to_entry(connection.execute(sa.select(snapshots).where(snapshots.c.version == chosen)).one())

    def live(self) -> SnapshotEntry | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(snapshots).where(snapshots.c.is_live)).one_or_none()
        return None if row is None else _to_entry(row)

    def get(self, version: int) -> SnapshotEntry:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(snapshots).where(snapshots.c.version == version)).one_or_none()
        if row is None:
            raise NotFoundError("snapshot", str(version))
        return _to_entry(row)

    def entries(self) -> list[SnapshotEntry]:
        """All registered snapshots, newest first."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(snapshots).order_by(snapshots.c.version.desc()))
            return [_to_entry(row) for row in rows]

    def versions(self) -> frozenset[int]:
        """The versions of all registered snapshots."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(sa.select(snapshots.c.version)).scalars())

    def forget(self, version: int) -> bool:
        """Removes the entry unless it is live, and keeps its figures; True if it was removed."""
        is_one = (snapshots.c.version == version, ~snapshots.c.is_live)
        with self._database.writing(uses_reserve=True) as connection:
            return bool(delete_snapshots(self._database, connection, "retention", *is_one))


def n_erasures_of(card: dict[str, Any]) -> int:
    """As `SnapshotEntry.n_erasures`. Cards of earlier releases lack the number."""
    return int(card.get("watermark", {}).get("n_erasures", 0))


def _refuse_erased(connection: sa.Connection, version: int) -> None:
    """Raises `ErasedSinceError` if the version holds a user who was erased and whom the live snapshot does not hold."""
    is_either = (snapshots.c.version == version) | snapshots.c.is_live
    rows = connection.execute(sa.select(snapshots.c.version, snapshots.c.card).where(is_either)).all()
    n_erasures = {row.version: n_erasures_of(row.card) for row in rows}
    if n_erasures[version] < max(n_erasures.values()):
        raise ErasedSinceError(version)


def _make_live(connection: sa.Connection, version: int, *, is_pinned: bool) -> None:
    # Two statements: the unique index on the live row is checked after each, so the old one must go first.
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
        digest=row.digest,
    )
