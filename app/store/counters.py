"""Numbers that grow, each under the lock of its row until its transaction ends: their values commit in order.

`catalogue` versions the items, `placements` the placements and event types, `snapshot` numbers the snapshots, `fencing`
numbers the claims of training jobs, `erased` counts the rating changes of users that are gone.
"""

import sqlalchemy as sa

from app.store.schema import counters


def grow(connection: sa.Connection, name: str, by: int = 1) -> int:
    """Add to the counter and return its new value; others who grow it wait until this transaction ends."""
    grown = sa.update(counters).where(counters.c.name == name).values(value=counters.c.value + by)
    return int(connection.execute(grown.returning(counters.c.value)).scalar_one())


def lock(connection: sa.Connection, name: str) -> None:
    """Wait for whoever grows the counter, and keep others from it until this transaction ends."""
    connection.execute(sa.select(counters.c.value).where(counters.c.name == name).with_for_update())


def read(connection: sa.Connection, name: str) -> int:
    return int(connection.execute(sa.select(counters.c.value).where(counters.c.name == name)).scalar_one())
