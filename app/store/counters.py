"""Counters in the database. Growing one locks its row until the transaction ends, so its values commit in order.

`catalogue` is the version of the items, `placements` of placements and event types; `snapshot` numbers the snapshots,
`fencing` the claims of training jobs, `erasures` the erasures of users; `erased` counts the rating changes of these
users, `keys` the changes of API keys; `judged_users` is the highest key of a user in the data of a training run that
judged users; `recounted_items` exists while trends are counted again (`trend_recount.py`).
"""

import sqlalchemy as sa

from app.store.schema import counters


def grow(connection: sa.Connection, name: str, by: int = 1) -> int:
    """Adds to the counter and returns its new value; others wait until this transaction ends."""
    # One statement: a read before the update could return the same value to two transactions.
    grown = sa.update(counters).where(counters.c.name == name).values(value=counters.c.value + by)
    return int(connection.execute(grown.returning(counters.c.value)).scalar_one())


def lock(connection: sa.Connection, name: str) -> None:
    """Locks the counter until this transaction ends, without growing it."""
    connection.execute(sa.select(counters.c.value).where(counters.c.name == name).with_for_update())


def read(connection: sa.Connection, name: str) -> int:
    return int(connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one())
