"""How much is stored, for operators."""

from dataclasses import dataclass

import sqlalchemy as sa

from app.store.database import Database
from app.store.items import IS_SHOWN
from app.store.schema import events, items, ratings, users


@dataclass(frozen=True, slots=True)
class StoredCounts:
    """Numbers of what is stored. `items` includes `bare_items`, known from ratings and events alone.

    A deleted item is counted by neither, though it may have late ratings and events, which are counted.
    """

    users: int
    items: int
    bare_items: int
    ratings: int
    events: int


def read_counts(database: Database) -> StoredCounts:
    """Count all rows, as of one moment: see `count_all`."""
    with database.reading() as connection:
        return count_all(connection)


def count_all(connection: sa.Connection) -> StoredCounts:
    """Both databases count ratings by their smallest index: 10 million ratings take about a second."""
    # A condition on the value would read the ratings themselves; the index of the tombstones is small.
    n_tombstones = _count(ratings).where(ratings.c.value.is_(None)).scalar_subquery()
    statement = sa.select(
        _count(users).scalar_subquery(),
        _count(items).where(IS_SHOWN).scalar_subquery(),
        _count(items).where(IS_SHOWN, items.c.is_bare).scalar_subquery(),
        _count(ratings).scalar_subquery() - n_tombstones,
        _count(events).scalar_subquery(),
    )
    return StoredCounts(*connection.execute(statement).one())


def _count(table: sa.Table) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(table)
