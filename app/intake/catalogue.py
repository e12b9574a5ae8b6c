"""Items and users that arrive in a request in a batch: checked row by row, then stored together."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from app.entities import Item, User
from app.intake.recording import STATUS_NAMES, RowOutcome

Entry = TypeVar("Entry", Item, User)


def record_entries(rows: Sequence[Entry | str], record: Callable[[Sequence[Entry]], list[int]]) -> list[RowOutcome]:
    """Store the good rows with one call of `record` and return the outcome of every row.

    `rows`: each a whole item or user, or the reason for which it could not be read. `record`: `Items.record` or
    `Users.record`, which store all rows in order in one transaction: of several rows with one id the last counts.
    """
    good = [row for row in rows if not isinstance(row, str)]
    statuses = iter(record(good) if good else ())
    return [
        RowOutcome(index, "rejected", row) if isinstance(row, str) else RowOutcome(index, STATUS_NAMES[next(statuses)])
        for index, row in enumerate(rows)
    ]
