"""The items by row, as one snapshot sees them: first the snapshot's rows, then those that are newer."""

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app.entities import Item
from app.serving.query import Rows
from app.store.items import CatalogueEntry, Items

Mask = NDArray[np.bool_]
VectorsOf = Callable[[Sequence[Item]], NDArray[np.float32]]
NEVER = np.iinfo(np.int64).max


class Catalogue:
    """Ids, titles, categories and availability of every item row; follows the store's catalogue version.

    Rows 0 .. n_snapshot-1 are the snapshot's, in its order; an item of the snapshot that was deleted since keeps its
    row and is unavailable. Items that came later get the next rows, and by their features `newer_vectors` (n_newer, d);
    a reader may see fewer of these than rows. `refresh` may run in several threads.
    """

    def __init__(self, items: Items, snapshot_keys: Rows, vectors_of: VectorsOf | None = None) -> None:
        """`vectors_of`: the item side (n, d) of items that came after the snapshot; None where nothing is learned."""
        self._items = items
        self._snapshot_keys = snapshot_keys
        self._vectors_of = vectors_of
        self._newer_rows: dict[int, int] = {}
        self._refreshing = threading.Lock()
        n = len(snapshot_keys)
        self.version = -1
        self.keys: Rows = snapshot_keys
        self.newer_vectors: NDArray[np.float32] = np.empty((0, 0), np.float32) if vectors_of is None else vectors_of([])
        self.item_ids: list[str] = [""] * n
        self.titles: list[str | None] = [None] * n
        self._categories: list[tuple[str, ...]] = [()] * n
        self._row_of_id: dict[str, int] = {}
        self._rows_of_category: dict[str, set[int]] = {}
        self._mask_of_category: dict[str, Mask] = {}
        self._available: Mask = np.zeros(n, dtype=np.bool_)
        self._until: NDArray[np.int64] = np.full(n, NEVER)
        self._next_expiry = int(NEVER)
        self.refresh()

    def __len__(self) -> int:
        return len(self.item_ids)

    @property
    def n_newer(self) -> int:
        """Items that came after the snapshot: the last rows."""
        return len(self._newer_rows)

    def refresh(self) -> None:
        """Learn what changed in the store since the version held."""
        with self._refreshing:
            changes = self._items.changes_since(self.version)
            if changes.version == self.version:
                return
            for key in changes.deleted_keys:
                self._delete(key)
            self._add_newer([entry for entry in changes.entries if self._row_of_key(entry.item_key) is None])
            for entry in changes.entries:
                self._set(entry)
            self._describe([entry.item_key for entry in changes.entries if entry.item_key in self._newer_rows])
            self._next_expiry = int(self._until[self._available].min(initial=NEVER))
            self.version = changes.version  # last: a reader that sees it sees all the rest

    def _add_newer(self, entries: Sequence[CatalogueEntry]) -> None:
        n_new = len(entries)
        first = len(self)
        self._newer_rows |= {entry.item_key: first + n for n, entry in enumerate(entries)}
        self.keys = np.append(self.keys, np.array([entry.item_key for entry in entries], dtype=np.int64))
        self.titles += [None] * n_new
        self._categories += [()] * n_new
        self._available = np.append(self._available, np.zeros(n_new, dtype=np.bool_))
        self._until = np.append(self._until, np.full(n_new, NEVER))
        self._mask_of_category.clear()
        self.item_ids += [entry.item_id for entry in entries]

    def _describe(self, keys: list[int]) -> None:
        """Give items without learned vectors those of their features."""
        if self._vectors_of is None or not keys:
            return
        found = self._items.of_keys(keys)
        rows = np.array([self._newer_rows[key] for key in found], dtype=np.int64) - len(self._snapshot_keys)
        vectors = np.zeros((self.n_newer, self.newer_vectors.shape[1]), np.float32)
        vectors[: len(self.newer_vectors)] = self.newer_vectors
        vectors[rows] = self._vectors_of([*found.values()])
        self.newer_vectors = vectors  # at once: a request reads the old ones or the new ones

    def _set(self, entry: CatalogueEntry) -> None:
        row = self._row_of_key(entry.item_key)
        if row is None:
            raise LookupError(entry.item_key)  # `refresh` has just given it one
        self.item_ids[row] = entry.item_id
        self.titles[row] = entry.title
        self._row_of_id[entry.item_id] = row
        self._set_categories(row, entry.categories)
        self._until[row] = NEVER if entry.available_until is None else entry.available_until
        self._available[row] = entry.is_available

    def _set_categories(self, row: int, categories: tuple[str, ...]) -> None:
        for category in set(self._categories[row]) - set(categories):
            self._rows_of_category[category].discard(row)
            self._mask_of_category.pop(category, None)
        for category in set(categories) - set(self._categories[row]):
            self._rows_of_category.setdefault(category, set()).add(row)
            self._mask_of_category.pop(category, None)
        self._categories[row] = categories

    def _delete(self, key: int) -> None:
        row = self._row_of_key(key)
        if row is not None:
            self._available[row] = False
            self._set_categories(row, ())
            self._row_of_id.pop(self.item_ids[row], None)

    def _row_of_key(self, key: int) -> int | None:
        row = int(np.searchsorted(self._snapshot_keys, key))
        if row < len(self._snapshot_keys) and self._snapshot_keys[row] == key:
            return row
        return self._newer_rows.get(key)

    def row_of_id(self, item_id: str) -> int | None:
        return self._row_of_id.get(item_id)

    def rows_of_ids(self, item_ids: Sequence[str]) -> Rows:
        """Rows of the ids that are known, in their order."""
        rows = (self._row_of_id.get(item_id) for item_id in item_ids)
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def rows_of_keys(self, keys: Rows) -> Rows:
        """(n,) rows of the keys, -1 where an item is gone."""
        if not len(self._snapshot_keys):
            rows = np.full(len(keys), -1)
        else:
            places = np.searchsorted(self._snapshot_keys, keys)
            places[places == len(self._snapshot_keys)] = 0
            rows = np.where(self._snapshot_keys[places] == keys, places, -1)
        if self._newer_rows:
            for place in np.flatnonzero(rows < 0):
                rows[place] = self._newer_rows.get(int(keys[place]), -1)
        return rows

    def available(self) -> Mask:
        """The mask of the rows that may be shown now; not to be changed."""
        if self._next_expiry <= time.time_ns() // 1_000:
            self._expire(time.time_ns() // 1_000)
        return self._available

    def _expire(self, now: int) -> None:
        with self._refreshing:
            self._available = self._available & (self._until > now)
            self._next_expiry = int(self._until[self._available].min(initial=NEVER))

    def in_category(self, category: str) -> Mask:
        """The mask of a category's rows; not to be changed."""
        mask = self._mask_of_category.get(category)
        if mask is None or len(mask) != len(self):
            mask = np.zeros(len(self), dtype=np.bool_)
            mask[list(self._rows_of_category.get(category, ()))] = True
            if category in self._rows_of_category:
                self._mask_of_category[category] = mask
        return mask
