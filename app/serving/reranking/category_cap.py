"""At most so many items of a category in a list, while there are others."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from app.serving.candidates import Ranked
from app.serving.parts import Context, OrderRule
from app.serving.ranking import scored


@dataclass(kw_only=True)
class CategoryCap(OrderRule):
    name = "category_cap"
    meaning = "The number of items of one category in a list can be limited, as long as there are others."

    category_cap: Annotated[
        int | None,
        Field(
            strict=True,
            ge=1,
            le=100,
            description="Most items of one category in a list, not counting promoted, explored and recurring ones",
        ),
    ] = None

    @property
    def is_on(self) -> bool:
        return self.category_cap is not None

    def microseconds(self, n_rows: int, limit: int) -> float:
        # Each time that the candidates run out, all items are searched.
        return super().microseconds(n_rows, limit) + 0.002 * n_rows * limit

    def arrange(self, ranked: Ranked, context: Context) -> Ranked:
        """Takes items from the top down; where candidates run out, the index adds more from other categories.

        Where nothing else is eligible, the best of those left out fill the list.
        """
        cap, catalogue = self.category_cap or 0, context.serving.catalogue
        counts: Counter[int] = Counter()
        taken: list[int] = []
        pool, start = ranked, 0
        while len(taken) < context.options.limit:
            for place in range(start, len(pool.rows)):
                codes = catalogue.categories_of(int(pool.rows[place]))
                if all(counts[code] < cap for code in codes):
                    counts.update(codes)
                    taken.append(place)
                    if len(taken) == context.options.limit:
                        break
            # The candidates ran out: ask the index for the best outside the categories that are full.
            full = [code for code, count in counts.items() if count >= cap]
            more = _others(pool, full, context.options.limit - len(taken), context)
            if not len(more.rows):
                break
            start = len(pool.rows)
            pool = pool.followed_by(more)
        # None is lost: a later rule, or a list that nothing else fills, may still use them.
        left_out = np.setdiff1d(np.arange(len(pool.rows)), taken)
        return pool.take(np.append(np.array(taken, np.intp), left_out))


def _others(pool: Ranked, full: list[int], n: int, context: Context) -> Ranked:
    """The best `n` eligible items outside `pool` and the categories `full`."""
    mask = context.eligible.mask.copy()
    mask[pool.rows] = False
    catalogue = context.serving.catalogue
    for code in full:
        mask &= ~catalogue.in_category(catalogue.category_names[code])[: len(mask)]
    rows = context.best(n, mask) if n > 0 else pool.rows[:0]
    return scored(rows, context.bits["nearest"], context)
