"""The catalogue of one snapshot: follows the store, and is carried over to the next snapshot without a new read."""

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.entities import NEVER, Item
from app.serving.catalogue.array_cache import ArrayCache, Name
from app.serving.catalogue.cells import Mask, Scalar
from app.serving.catalogue.fragments import Fragments
from app.serving.catalogue.item_columns import FieldColumn, ItemColumns
from app.serving.catalogue.newest import NewestOrder
from app.serving.catalogue.packed_texts import PackedTexts
from app.serving.catalogue.row_numbers import RowNumbers
from app.serving.catalogue.title_index import TextMatches, TitleIndex
from app.serving.rows import NO_ROWS, Rows
from app.store.items import CatalogueColumns, Items
from app.texts import nfc

VectorsOf = Callable[[Sequence[Item]], NDArray[np.float32]]
DESCRIBED_AT_ONCE = 5_000


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disables garbage collection: a big read makes no cycles, and looking for them would double its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Inheritance(NamedTuple):
    """What a catalogue passes to that of the next snapshot. The two share vocabularies, and therefore the lock."""

    refreshing: threading.Lock
    version: int
    columns: ItemColumns
    newer_keys: Rows
    title_index: TitleIndex


class Catalogue:
    """Ids, titles, fields, attributes and availability of every item row; follows the store's catalogue version.

    Rows 0 .. n_snapshot-1 are the snapshot's, in its order; an item of the snapshot that was deleted since keeps its
    row and is unavailable. Items added later get the next rows, and vectors from their features, `newer_vectors`
    (n_newer, d); a reader may see fewer of these than rows. `refresh` may run in several threads. Callers must not
    write to the arrays they get.

    `item_ids`, `titles`: by row, at least as many as there are rows; those of a deleted item stay for a while.
    `fragments`: what answers say of items, kept until the catalogue changes.
    `newest`: the rows by the time their items were added, as of the last refresh; see `NewestOrder` for bare items.
    """

    def __init__(
        self,
        items: Items,
        snapshot_keys: Rows,
        vectors_of: VectorsOf | None = None,
        *,
        inherited: Inheritance | None = None,
    ) -> None:
        """`vectors_of`: the item side (n, d) of items newer than the snapshot; None where features say nothing."""
        self._items = items
        self._vectors_of = vectors_of
        self._numbers = RowNumbers(snapshot_keys)
        self._memo = ArrayCache()
        self._packed: dict[tuple[str, bool], PackedTexts] = {}
        self._packing = threading.Lock()
        self.fragments = Fragments()
        self.newer_vectors: NDArray[np.float32] = np.empty((0, 0), np.float32) if vectors_of is None else vectors_of([])
        self._vectors = self.newer_vectors  # with room for more
        if inherited is None:
            inherited = Inheritance(threading.Lock(), -1, ItemColumns(len(snapshot_keys)), NO_ROWS, TitleIndex())
        self._refreshing, self.version, self._columns, newer_keys, self._title_index = inherited
        # The columns grow in place, so these stay the same objects.
        self.item_ids = self._columns.item_ids
        self.titles = self._columns.titles
        self.attributes = self._columns.attributes
        self._numbers.reserve(newer_keys)
        self._numbers.publish(len(self._columns))
        self._row_of_id = {item_id: row for row, item_id in enumerate(self.item_ids) if item_id}
        self._describe(np.arange(len(snapshot_keys), len(self)))
        self._columns.compact()
        self._note_expiry()
        self.newest = NewestOrder.of(self.added_at, self.keys, self._is_bare)
        with _no_collection():
            self.refresh()

    def rebased(self, snapshot_keys: Rows, vectors_of: VectorsOf | None = None) -> "Catalogue":
        """The catalogue of another snapshot; reads only changes and newer items from the store."""
        with self._refreshing:
            # Rows of the snapshot come first, in its order; of deleted items they are empty. Other items follow by key.
            is_held = np.zeros(len(self) + 1, np.bool_)  # and a cell for -1, the row of an unknown key
            is_held[list(self._row_of_id.values())] = True
            rows = self.rows_of_keys(np.asarray(snapshot_keys))
            rows[~is_held[rows]] = -1
            is_held[rows] = False
            newer = np.flatnonzero(is_held)
            newer = newer[np.argsort(self.keys[newer], kind="stable")]
            columns = self._columns.taken(np.append(rows, newer))
            title_index = self._title_index.of_next_catalogue()
            inherited = Inheritance(self._refreshing, self.version, columns, self.keys[newer], title_index)
        return Catalogue(self._items, snapshot_keys, vectors_of, inherited=inherited)

    def __len__(self) -> int:
        return self._numbers.n_rows

    def refresh(self) -> None:
        """Applies what changed in the store since the version held."""
        with self._refreshing:
            changed, moved = [NO_ROWS], [NO_ROWS]
            with self._items.changes_since(self.version) as changes:
                if changes.version == self.version:
                    return
                self._delete(changes.deleted_keys)
                for part in changes.parts:
                    part_rows, is_moved = self._learn(part)
                    changed.append(part_rows)
                    moved.append(part_rows[is_moved])
            rows = np.concatenate(changed)
            self._describe(rows[rows >= self._numbers.n_snapshot])
            self._columns.compact()
            self._note_expiry()
            self.newest = self.newest.after(np.concatenate(moved), self.added_at, self.keys, self._is_bare)
            self._memo.forget()
            self._packed = {}  # a new one, as of `ArrayCache.forget`
            self.fragments.forget()
            self.version = changes.version  # last: a reader that sees it sees all the rest

    def _learn(self, part: CatalogueColumns) -> tuple[Rows, Mask]:
        """Writes some items; returns their rows, and a mask of those whose place in `newest` may have changed."""
        rows = self._numbers.of(part.item_key)
        is_new = rows < 0
        rows[is_new] = self._numbers.reserve(part.item_key[is_new])
        # First room, then cells, then the number of rows: a reader never sees a row before its cells are written.
        n_rows = max(len(self), int(rows.max(initial=-1)) + 1)
        self._columns.grow(n_rows)
        is_moved = is_new | (self._columns.added_at.cells.buffer[rows] != part.fields["added_at"])
        is_moved |= self._columns.is_bare.buffer[rows] != part.is_bare
        retitled = self._retitled(rows, part)
        self._columns.write(rows, part)
        self._numbers.publish(n_rows)
        if retitled:
            self._title_index.change(retitled)
        self._row_of_id.update(zip(part.item_id, rows.tolist(), strict=True))
        return rows, is_moved

    def _retitled(self, rows: Rows, part: CatalogueColumns) -> list[int]:
        """The keys of the rows whose titles `part` changes; none before anything is searched."""
        if not self._title_index.is_used:
            return []
        changes = zip(part.item_key.tolist(), rows.tolist(), part.fields["title"], strict=True)
        return [key for key, row, title in changes if self.titles[row] != title]

    def _delete(self, keys: Sequence[int]) -> None:
        rows = self._numbers.of(np.array(keys, np.int64))
        rows = rows[rows >= 0]
        for row in rows.tolist():
            item_id = self.item_ids[row]
            # An item made anew under the same id has another row, which must stay known.
            if self._row_of_id.get(item_id) == row:
                del self._row_of_id[item_id]
        self._columns.clear(rows)

    def _note_expiry(self) -> None:
        until = self._columns.available_until.cells.buffer[self._columns.available.buffer]
        self._next_expiry = int(until.min(initial=NEVER))

    def _describe(self, rows: Rows) -> None:
        """Computes vectors from the features of items that have no learned ones."""
        if self._vectors_of is None or not len(rows):
            return
        n_held, n_newer = len(self.newer_vectors), self._numbers.n_newer
        places = rows - self._numbers.n_snapshot
        if len(self._vectors) < n_newer or places.min() < n_held:  # readers may be using the old array
            vectors = np.zeros((n_newer + (n_newer >> 3), self._vectors.shape[1]), np.float32)
            vectors[:n_held] = self.newer_vectors
            self._vectors = vectors
        keys = self.keys[rows]
        for start in range(0, len(rows), DESCRIBED_AT_ONCE):
            existing = self._items.of_keys(keys[start : start + DESCRIBED_AT_ONCE].tolist())
            described = self._numbers.of(np.array([*existing], np.int64)) - self._numbers.n_snapshot
            self._vectors[described] = self._vectors_of([*existing.values()])
        # At once: a request reads the old ones or the new ones.
        self.newer_vectors = self._vectors[:n_newer]

    @property
    def keys(self) -> Rows:
        """(n,) by row."""
        return self._numbers.keys

    @property
    def added_at(self) -> NDArray[np.int64]:
        """(n,) microseconds UTC, `UNKNOWN_TIME` where not known."""
        return self._columns.added_at.cells.buffer[: len(self)]

    @property
    def _is_bare(self) -> Mask:
        """(n,) which rows are of bare items or of items that are gone."""
        return self._columns.is_bare.buffer[: len(self)]

    def field(self, name: str) -> FieldColumn | None:
        """The column of a filterable field; its cells may be more than there are rows.

        None for an unknown field, and for the title, the attributes and the availability, which are read by `titles`,
        `attributes` and `available`.
        """
        return self._columns.get(name)

    def row_of_id(self, item_id: str) -> int | None:
        return self._row_of_id.get(item_id)

    def rows_of_ids(self, item_ids: Sequence[str]) -> Rows:
        """Rows of the ids that are known, in their order; after Unicode NFC, as ids are kept."""
        rows = (self._row_of_id.get(nfc(item_id)) for item_id in item_ids)
        return np.array([row for row in rows if row is not None], dtype=np.int64)

    def rows_of_keys(self, keys: Rows) -> Rows:
        """(n,) rows of the keys, -1 where an item is gone."""
        return self._numbers.of(keys)

    def stored(self) -> Mask:
        """(n,) mask of the rows of items that exist, available or not."""

        def made() -> Mask:
            mask = np.zeros(len(self), np.bool_)
            # Rows may arrive in between.
            rows = np.array([*self._row_of_id.values()], np.int64)
            mask[rows[rows < len(mask)]] = True
            return mask

        return self.remembered(("stored",), made)

    def available(self, now: int) -> Mask:
        """(n,) mask of the rows that may be shown at `now` (microseconds UTC)."""
        self.next_expiry(now)
        return self._columns.available.buffer[: len(self)]

    def next_expiry(self, now: int) -> int:
        """When the next available item expires, `NEVER` if none does.

        Items that expired by `now` (microseconds UTC) become unavailable first. Until the time returned, processes
        that hold the same version of the catalogue agree on what is available.
        """
        if self._next_expiry <= now:
            self._expire(now)
        return self._next_expiry

    def _expire(self, now: int) -> None:
        with self._refreshing:
            available = self._columns.available
            available.buffer = available.buffer & (self._columns.available_until.cells.buffer > now)
            self._note_expiry()

    def in_category(self, category: str) -> Mask:
        """(n,) mask of the rows in a category, whatever the case of its name."""
        return self.remembered(("category", category.casefold()), lambda: self._columns.categories.having(category))

    def title_matches(self, words: Sequence[str], now: int) -> TextMatches:
        """The available items whose titles match the words of a query (`title_words`), and how well.

        The first call indexes all titles, which takes up to 20 microseconds for each.
        """
        return self._title_index.matches(words, self, self.available(now))

    @property
    def needs_title_index(self) -> bool:
        """Whether the next search has to index all titles first."""
        return self._title_index.needs_all

    def prepare_titles(self) -> None:
        """Index the titles, as the first search would."""
        self._title_index.prepare(self)

    def packed(self, column: Literal["item_id", "title"], *, is_casefolded: bool) -> PackedTexts:
        """The ids or titles of at least all rows, for tests of all of them; kept until the catalogue changes."""
        kind = (column, is_casefolded)
        packed = self._packed.get(kind)
        if packed is not None and len(packed) >= len(self):
            return packed
        with self._packing:  # several searches at once would each pack all texts
            held = self._packed
            packed = held.get(kind)
            if packed is None or len(packed) < len(self):
                texts = self.titles[: len(self)] if column == "title" else self.item_ids[: len(self)]
                if is_casefolded:
                    texts = [None if text is None else text.casefold() for text in texts]
                packed = held[kind] = PackedTexts(texts)
            return packed

    def remembers(self, name: Name) -> bool:
        """Whether `remembered` has the array of this name."""
        return self._memo.has(name, len(self))

    def remembered(self, name: Name, make: Callable[[], NDArray[Scalar]]) -> NDArray[Scalar]:
        """(n,) result of `make`, kept by name until the catalogue changes."""
        return self._memo.get(name, len(self), make)[: len(self)]

    @property
    def category_names(self) -> list[str]:
        """By code; code 0 is none."""
        return self._columns.categories.vocabulary.elements.texts

    def categories_of(self, row: int) -> tuple[int, ...]:
        """Codes of a row's categories, in the order given."""
        categories = self._columns.categories
        return categories.vocabulary.sets[int(categories.cells.buffer[row])]

    def in_any_category(self, categories: Sequence[str]) -> Mask:
        """(n,) mask of the rows in any of one or more categories, see `in_category`."""
        if len(categories) == 1:
            return self.in_category(categories[0])
        names = frozenset(category.casefold() for category in categories)
        return self.remembered(("categories", names), lambda: self._columns.categories.having(*names))

    def in_all_categories(self, categories: Sequence[str]) -> Mask:
        """(n,) mask of the rows in all of one or more categories, see `in_category`."""
        masks = [self.in_category(category) for category in categories]
        n_rows = min(map(len, masks))  # rows may arrive in between
        joined: Mask = np.logical_and.reduce([mask[:n_rows] for mask in masks])
        return joined

    def has_category(self, category: str) -> bool:
        """Whether an item has a category of this name, whatever the case."""
        return bool(self.in_category(category).any())

    def names_category(self, category: str) -> bool:
        """Whether the name has been seen in this spelling: at once, while `has_category` may look at all items."""
        return self._columns.categories.vocabulary.elements.find(category) > 0

    def has_attribute(self, name: str) -> bool:
        """Whether an item has a value of this attribute."""
        return any(bool(column.is_known().any()) for column in self.attributes.of(name))

    def categories_by_name(self, rows: Rows) -> list[tuple[str, ...]]:
        """(n,) the names of the categories of (n,) rows, in the order given."""
        column = self._columns.categories
        sets, names = column.vocabulary.sets, column.vocabulary.elements.texts
        return [tuple([names[code] for code in sets[cell]]) for cell in column.cells.buffer[rows].tolist()]

    def category_counts(self, rows: Rows) -> NDArray[np.int64]:
        """(n_categories,) by code: how many of the rows are in each category."""
        categories = self._columns.categories
        sets = categories.cells.buffer[rows]
        members = categories.vocabulary.members().of(sets)
        return np.bincount(members, minlength=len(categories.vocabulary.elements.texts))

    def rows_created_by(self, user_id: str) -> Rows:
        creators = self._columns.created_by
        code = creators.vocabulary.find(user_id)
        return np.flatnonzero(creators.cells.buffer[: len(self)] == code) if code else NO_ROWS
