"""Deleted items stay deleted: a late rating or event makes no item that is shown.

A deletion removes the row of the item and remembers its id. A rating or event that arrives later inserts a row again,
marked `is_deleted`: it holds the history of users together and is in no catalogue, count or list. The mark and the
memory end when a caller puts the item, or an import names it.
"""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from app.store import counters
from app.store.database import Database
from app.store.schema import deleted_items, items

DELETED_IDS = "SELECT item_id FROM deleted_items WHERE item_id = ?"
CHUNK_IDS = 5_000


def mark_deleted(database: Database, connection: sa.Connection, inserted: Sequence[str]) -> set[str]:
    """Marks those of the items just inserted whose ids are remembered, and returns the ids."""
    remembered = {item_id for (item_id,) in database.dialect.rows_of(connection, DELETED_IDS, list(inserted))}
    set_mark(connection, remembered)
    return remembered


def set_mark(connection: sa.Connection, item_ids: Collection[str]) -> None:
    for part in _parts(item_ids):
        connection.execute(sa.update(items).where(items.c.item_id.in_(part)).values(is_deleted=True))


def remember(connection: sa.Connection, item_key: int, item_id: str) -> None:
    """Remembers a deletion, and lets running processes know of it by a new version of the catalogue."""
    version = counters.grow(connection, "catalogue")
    connection.execute(sa.insert(deleted_items).values(item_key=item_key, version=version, item_id=item_id))


def forget(connection: sa.Connection, item_ids: Collection[str]) -> None:
    """Ends the memory of ids; the keys stay known to running processes as those of items that are gone."""
    for part in _parts(item_ids):
        connection.execute(sa.update(deleted_items).where(deleted_items.c.item_id.in_(part)).values(item_id=None))


def _parts(item_ids: Collection[str]) -> list[list[str]]:
    # Sorted: on Postgres rows are locked in the order in which they are found.
    ids = sorted(item_ids)
    return [ids[start : start + CHUNK_IDS] for start in range(0, len(ids), CHUNK_IDS)]
