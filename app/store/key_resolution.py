"""The keys of the users and items that incoming rows speak of."""

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from app.store import counters
from app.store.columns import KeyArray
from app.store.database import Database
from app.store.schema import items


def resolve_keys(
    database: Database, connection: sa.Connection, user_ids: list[str], item_ids: list[str]
) -> tuple[KeyArray, KeyArray]:
    """(n,) user and (n,) item keys of n rows; makes whom and what is missing; holds the users' locks."""
    distinct_users, user_places = _distinct(user_ids)
    distinct_items, item_places = _distinct(item_ids)
    user_keys = database.dialect.user_keys(connection, distinct_users)
    item_keys, made = database.dialect.item_keys(connection, distinct_items)
    if made:
        version = counters.grow(connection, "catalogue")
        # New rows carry version 0 until their catalogue version is known; none is visible before the commit.
        connection.execute(sa.update(items).where(items.c.version == 0).values(version=version))
    return user_keys[user_places], item_keys[item_places]


def _distinct(ids: list[str]) -> tuple[list[str], NDArray[np.intp]]:
    """The distinct ids in order of arrival, and for each row its place among them."""
    places: dict[str, int] = {}
    of_row = np.fromiter((places.setdefault(identifier, len(places)) for identifier in ids), np.intp, count=len(ids))
    return list(places), of_row
