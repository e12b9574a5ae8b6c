"""Events in the store, by what they amount to."""

import secrets
from collections.abc import Sequence

from app.store import Store
from tests.support.events import happened

Row = tuple[str, str, str] | tuple[str, str, str, int] | tuple[str, str, str, int, float]
"""(user, item, type[, count[, portion]])"""


def record_interactions(store: Store, rows: Sequence[Row]) -> None:
    """As many events as each row counts, at one time, a microsecond after the row before."""
    prefix = secrets.token_hex(8)  # other events than those of an earlier call
    store.events.record(
        happened(
            *(
                (f"{prefix}-{at}-{n}", row[2], row[0], row[1], at, row[4] if len(row) > 4 else None)
                for at, row in enumerate(rows)
                for n in range(row[3] if len(row) > 3 else 1)
            )
        )
    )
