"""What the user consumes again and again, when it is due again by the user's own interval."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule, Restriction, Share
from app.serving.reranking.slots import insert, n_slots
from app.serving.rows import NO_ROWS, Rows

DUE_FROM = 0.8
"""Share of the interval after which an item is due: a user who buys every ten days is reminded from the eighth on."""

GIVEN_UP_FROM = 3.0
"""After this many intervals without another purchase, the user no longer buys the item regularly."""


@dataclass(kw_only=True)
class Recurring(Restriction, OrderRule):
    """Acts twice. As a restriction it drops nothing, but notes what is due while consumed items are still eligible."""

    name = "recurring"
    meaning = "Some slots can hold items that the user consumes repeatedly, each at its usual interval."
    inserts = "recurring"
    needs_events = True
    depends_on_clock = True

    recurring: Annotated[
        Share, Field(description="Share of the slots for what the user consumes again and again, when it is due")
    ] = 0.0

    @property
    def is_on(self) -> bool:
        return self.recurring > 0

    def restrict(self, context: Context) -> None:
        context.due_rows = context.eligible.among(due_rows(context))

    def applies(self, context: Context) -> bool:
        return len(context.due_rows) > 0

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        n = n_slots(self.recurring, context.options.limit)
        return insert(ranked, context.due_rows[:n], self.inserts, context)


def due_rows(context: Context) -> Rows:
    """Rows due again, the most overdue first."""
    if context.user.interactions is None:
        return NO_ROWS
    consumed = context.user.interactions.consumed
    # interval = (last - first) / (n - 1), of an item consumed n >= 2 times
    intervals = (consumed.last_at - consumed.first_at) / np.maximum(consumed.counts - 1, 1)
    is_habit = (consumed.counts > 1) & (intervals > 0)
    elapsed = (context.now - consumed.last_at) / np.where(is_habit, intervals, 1.0)
    # elapsed is in intervals since the last time
    is_due = is_habit & (elapsed >= DUE_FROM) & (elapsed < GIVEN_UP_FROM)
    most_overdue_first = np.argsort(-elapsed[is_due], kind="stable")
    return consumed.rows[is_due][most_overdue_first]
