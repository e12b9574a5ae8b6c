"""What the user consumes again and again, when it is due again by the user's own interval."""

from typing import ClassVar

import numpy as np

from app.serving.context import Context
from app.serving.query import Ranked
from app.serving.reranking.slots import insert, n_slots
from app.serving.rows import NO_ROWS, Rows

DUE_FROM = 0.8
"""Of the interval: who buys every ten days is reminded from the eighth on."""

GIVEN_UP_FROM = 3.0
"""Intervals without another purchase, after which it is no habit any more."""


class Recurring:
    name: ClassVar[str] = "recurring"

    def is_on(self, context: Context) -> bool:
        return len(context.due_rows) > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        n = n_slots(context.placement.settings.recurring, context.options.limit)
        return insert(ranked, context.due_rows[:n], "recurring", context)


def due_rows(context: Context) -> Rows:
    """Rows due again, the most overdue first.

    The interval of an item consumed n >= 2 times is (last - first) / (n - 1).
    """
    if context.user.interactions is None:
        return NO_ROWS
    consumed = context.user.interactions.consumed
    intervals = (consumed.last_at - consumed.first_at) / np.maximum(consumed.counts - 1, 1)
    is_habit = (consumed.counts > 1) & (intervals > 0)
    elapsed = (context.now - consumed.last_at) / np.where(is_habit, intervals, 1.0)
    is_due = is_habit & (elapsed >= DUE_FROM) & (elapsed < GIVEN_UP_FROM)
    most_overdue_first = np.argsort(-elapsed[is_due], kind="stable")
    return consumed.rows[is_due][most_overdue_first]
