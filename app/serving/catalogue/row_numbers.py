"""The row number of an item, by its key."""

import numpy as np

from app.entities import NEVER
from app.serving.catalogue.cells import Cells
from app.serving.rows import Rows


class RowNumbers:
    """The snapshot's keys ascend by row; newer items have the next rows, in the order of arrival.

    `keys`: (n_rows,) int64 by row.

    New keys nearly always ascend too, so both parts are searched by bisection; keys out of order are kept in a dict.
    """

    def __init__(self, snapshot_keys: Rows) -> None:
        self.n_snapshot = len(snapshot_keys)
        self.n_rows = self.n_snapshot
        self._snapshot_keys: Rows = np.asarray(snapshot_keys)  # a plain array: slicing a memory map is slow
        self.keys = self._snapshot_keys
        self._keys = Cells(self._snapshot_keys, np.int64(NEVER))
        self._ascending = Cells.all_missing(
            np.int64, NEVER, 0
        )  # of newer rows; unused cells hold NEVER, which is greater than any key
        self._others: dict[int, int] = {}

    @property
    def n_newer(self) -> int:
        return self.n_rows - self.n_snapshot

    def reserve(self, keys: Rows) -> Rows:
        """Rows for new keys; lookups do not return them before `publish`."""
        rows = self.n_rows + np.arange(len(keys))
        if not len(keys):
            return rows
        self._keys.grow(self.n_rows + len(keys))
        self._keys.buffer[rows] = keys
        self._ascending.grow(self.n_newer + len(keys))
        newer = rows - self.n_snapshot
        before = self._ascending.buffer[newer[0] - 1] if newer[0] else np.int64(-1)
        greatest = np.maximum.accumulate(np.append(before, keys))
        self._ascending.buffer[newer] = greatest[1:]  # a key out of order is replaced by the greatest before it
        is_behind = keys <= greatest[:-1]
        self._others.update(zip(keys[is_behind].tolist(), rows[is_behind].tolist(), strict=True))
        return rows

    def publish(self, n_rows: int) -> None:
        # Keys first: a reader that sees the new number of rows finds a key for each.
        self.keys = self._keys.buffer[:n_rows]
        self.n_rows = n_rows

    def of(self, keys: Rows) -> Rows:
        """(n,) rows of the keys, -1 for an unknown key."""
        rows = _found(self._snapshot_keys, keys)
        if self.n_newer:
            is_unknown = rows < 0
            if is_unknown.any():
                rows[is_unknown] = self._of_newer(keys[is_unknown])
        return rows

    def _of_newer(self, keys: Rows) -> Rows:
        n_rows = self.n_rows
        rows = _found(self._ascending.buffer, keys)
        rows[rows >= 0] += self.n_snapshot
        if self._others:
            for place in np.flatnonzero(rows < 0).tolist():
                rows[place] = self._others.get(int(keys[place]), -1)
        rows[rows >= n_rows] = -1
        return rows


def _found(ascending: Rows, keys: Rows) -> Rows:
    """(n,) first places of the keys, -1 for a key that is not there."""
    if not len(ascending):
        return np.full(len(keys), -1)
    places = ascending[:-1].searchsorted(keys)  # without the last cell, so that every place is a valid index
    return np.where(ascending[places] == keys, places, -1)
