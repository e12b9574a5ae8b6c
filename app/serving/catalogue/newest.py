"""The rows ordered by the time their items were added."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.serving.catalogue.cells import Mask
from app.serving.rows import NO_ROWS, Rows

SORTED_APART = 1_000
"""New and changed rows are kept apart up to this many, or 1 % of all; beyond that everything is sorted again."""


@dataclass(frozen=True, slots=True)
class NewestOrder:
    """Rows by `added_at`, latest first, unknown times last; equal times by key, greatest first.

    Bare items, known from ratings and events alone, are left out, unless all items are bare.

    `added_at`: (n,) int64 microseconds UTC, `keys`: (n,) int64, both by row. `order`: (m,) int32, as of the last full
    sort. `apart`: rows added or changed since, in the same order, marked in `is_apart` (n,) bool. Keeping them apart
    avoids sorting a million rows for one changed item. `holds_bare`: whether all items are bare.
    """

    added_at: NDArray[np.int64]
    keys: Rows
    order: NDArray[np.int32]
    apart: Rows
    is_apart: Mask
    holds_bare: bool

    @classmethod
    def of(cls, added_at: NDArray[np.int64], keys: Rows, is_bare: Mask) -> "NewestOrder":
        """The order of all rows; the arguments are (n,). Rows of items that are gone count as bare."""
        holds_bare = bool(is_bare.all())
        rows = np.arange(len(keys)) if holds_bare else np.flatnonzero(~is_bare)
        order = rows[_latest_first(added_at[rows], keys[rows])].astype(np.int32)
        return cls(added_at, keys, order, NO_ROWS, np.zeros(len(keys), np.bool_), holds_bare)

    def after(self, changed: Rows, added_at: NDArray[np.int64], keys: Rows, is_bare: Mask) -> "NewestOrder":
        """The order after the rows `changed` were added, got another time, or are no longer bare."""
        has_turned = self.holds_bare != bool(is_bare.all())
        if has_turned or len(self.apart) + len(changed) > max(SORTED_APART, len(keys) // 100):
            return NewestOrder.of(added_at, keys, is_bare)
        is_apart = np.zeros(len(keys), np.bool_)
        is_apart[self.apart] = is_apart[changed] = True
        apart = np.flatnonzero(is_apart if self.holds_bare else is_apart & ~is_bare)
        apart = apart[_latest_first(added_at[apart], keys[apart])]
        return NewestOrder(added_at, keys, self.order, apart, is_apart, self.holds_bare)

    def first(self, n: int, allowed: Mask) -> Rows:
        """The first `n` allowed rows; rows beyond the end of the mask are not allowed."""
        rows = self._sorted(n, allowed)
        if not len(self.apart):  # the usual case
            return rows[:n]
        # Up to n of either part hold the first n of both.
        apart = self.apart[self.apart < len(allowed)]
        apart = apart[allowed[apart]][:n]
        if len(apart):
            rows = np.append(rows, apart)
            rows = rows[_latest_first(self.added_at[rows], self.keys[rows])]
        return rows[:n]

    def _sorted(self, n: int, allowed: Mask) -> Rows:
        """At least `n` allowed rows that are not apart, or all of them; looked for in steps of growing size."""
        parts, n_found, start, n_looked_at = [NO_ROWS], 0, 0, 2 * n
        while n_found < n and start < len(self.order):
            # Most rows are allowed, so the first few steps nearly always suffice.
            rows = self.order[start : start + n_looked_at]
            if len(allowed) < len(self.is_apart):
                rows = rows[rows < len(allowed)]
            rows = rows[allowed[rows]]
            if len(self.apart):
                rows = rows[~self.is_apart[rows]]
            parts.append(rows.astype(np.int64))
            n_found, start, n_looked_at = n_found + len(rows), start + n_looked_at, 4 * n_looked_at
        return np.concatenate(parts)


def _latest_first(added_at: NDArray[np.int64], keys: Rows) -> Rows:
    return np.lexsort((keys, added_at))[::-1]
