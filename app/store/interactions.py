"""All interactions and the types of events, in bulk, for whoever reads them in a transaction of their own."""

import numpy as np
import sqlalchemy as sa

from app.entities import InteractionColumns
from app.store.columns import EventTypeColumns
from app.store.database import Database

WHOLE_NUMBERS = ("user_key", "item_key", "type_key", "count", "first_at", "last_at")
INTERACTION_DTYPE = np.dtype([*((name, "i8") for name in WHOLE_NUMBERS), ("portion", "f8")])
ALL_INTERACTIONS = (
    "SELECT user_key, item_key, type_key, count, first_at, last_at, coalesce(portion, -1)"
    " FROM interactions ORDER BY user_key, item_key, type_key"
)
TYPE_DTYPE = np.dtype([("type_key", "i8"), ("weight", "f8"), ("is_exposure", "?")])
ALL_TYPES = "SELECT type_key, weight, is_exposure FROM event_types ORDER BY type_key"


def read_interactions(database: Database, connection: sa.Connection) -> InteractionColumns:
    """All there are, in the order of (user, item, type); memory: 112 bytes each while they load."""
    rows = database.dialect.all_rows(connection, ALL_INTERACTIONS, INTERACTION_DTYPE)
    columns = {name: np.ascontiguousarray(rows[name]) for name in INTERACTION_DTYPE.names or ()}
    columns["portion"][columns["portion"] < 0] = np.nan
    return InteractionColumns(**columns)


def read_types(database: Database, connection: sa.Connection) -> EventTypeColumns:
    rows = database.dialect.all_rows(connection, ALL_TYPES, TYPE_DTYPE)
    return EventTypeColumns(*(np.ascontiguousarray(rows[name]) for name in TYPE_DTYPE.names or ()))
