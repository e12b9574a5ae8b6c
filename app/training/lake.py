"""Ratings outside of the database, or too many to be read at once: read, given rows, and put in order.

    read     ids are numbered, values checked, and the columns written to scratch files as they come
    map      users and items that the database does not know are made, so that all have keys, and so rows
    order    by user and item; of a repeated pair the newest counts, of equal times the later: that of the database

Each step works on blocks, so that memory does not depend on the number of ratings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.progress import Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.storage import IN_MEMORY, Storage, count_rows, spans
from app.entities import UNKNOWN_TIME, RatingColumns, RatingScale
from app.errors import InvalidInputError
from app.store.dialect import KeyArray
from app.store.store import Store
from app.store.training_reads import TrainingData
from app.training.columns_file import ColumnFiles, SkippedRows
from app.training.id_numbers import IdNumbers
from app.training.memory_need import RunSize, choose_place
from app.training.recipe import Recipe
from app.training.scratch import GrowingArray, Scratch

MOST_RATINGS = (1 << 31) - 1
"""Ratings of one run on one machine; places are 32-bit numbers."""

SORTED_AT_ONCE = 1 << 24
"""Ratings that are put in order at a time, in 64 bytes each, unless memory allows less."""

INVALID_USER, INVALID_ITEM = "user_id is not a valid id", "item_id is not a valid id"
DELETED = "the item is deleted"


@dataclass(frozen=True)
class RawColumns:
    """n ratings as they came. `users`, `items`: numbers of ids, or rows; `times`: `UNKNOWN_TIME` where unknown."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    values: NDArray[np.float32]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


class ColumnWriter:
    """Writes columns to scratch files, in the order in which they come."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._arrays = [GrowingArray(scratch.folder, dtype) for dtype in (np.int32, np.int32, np.float32, np.int64)]

    @property
    def n(self) -> int:
        return self._arrays[0].n

    def append(self, *columns: NDArray[np.generic]) -> None:
        """Users, items, values and times. Raises `InvalidInputError` for more than a run can hold."""
        for array, column in zip(self._arrays, columns, strict=True):
            array.append(column)
        if self.n > MOST_RATINGS:
            raise InvalidInputError(f"one machine learns from up to {MOST_RATINGS:,} ratings", field="from")
        self._scratch.relieve()

    def append_stored(self, ratings: RatingColumns, user_keys: KeyArray, item_keys: KeyArray) -> None:
        """Ratings of the database, whose rows are the positions of their keys."""
        users = np.searchsorted(user_keys, ratings.user_key)
        self.append(users, np.searchsorted(item_keys, ratings.item_key), ratings.value, ratings.rated_at)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for array in self._arrays:
            array.close()

    def finish(self) -> RawColumns:
        return RawColumns(*(array.finish(self._scratch) for array in self._arrays))


class KeyedRatings(NamedTuple):
    """Ratings of files, whose users and items are in the database.

    `user_keys`, `item_keys`: of the number of each id, -1 for a text that is no id.
    `notes`: sentences on what was read, for the card.
    """

    columns: RawColumns
    user_keys: KeyArray
    item_keys: KeyArray
    left_out: SkippedRows
    notes: tuple[str, ...]


def read_files(
    files: ColumnFiles,
    store: Store,
    scale: RatingScale,
    scratch: Scratch,
    stage: Stage,
    check: Callable[[RunSize], object],
) -> KeyedRatings:
    """Read all ratings in `files` and make the users and items that the database lacks.

    `check`: raises where a run of this size is refused; called before anything is made.
    Raises `InvalidInputError` where the files have no ratings, though the values of `scale` are grades or amounts.
    """
    if not files.has_ratings and scale.kind != "pairs":
        raise InvalidInputError(
            f"the files have no column rating, and ratings of this service are {scale}: add the column, or change the"
            " scale of an empty service to pairs (`reckon scale set pairs`)",
            field="from",
        )
    if files.remark is not None:
        stage.decide(files.remark)
    left_out = SkippedRows()
    with stage.part("read", 0.5) as part:
        users, items, columns = _read(files, scale, scratch, left_out, part)
        # Before users and items are made: a run that is refused leaves nothing behind.
        check(RunSize(len(columns), users.n, items.n))
        part.note(n_rows=len(columns) + left_out.n, n_ratings=len(columns), n_files=len(files.names))
    with stage.part("map", 0.7) as part:
        user_ids, of_users = users.valid()
        item_ids, of_items = items.valid()
        user_keys, n_users = store.known_ids.users(user_ids)
        item_keys, n_items = store.known_ids.items(item_ids)
        part.note(n_user_ids=len(user_ids), n_item_ids=len(item_ids), n_new_users=n_users, n_new_items=n_items)
    notes = [f"{len(columns):,} ratings are read from {len(files.names):,} Parquet files and are not in the database"]
    if n_users or n_items:
        notes.append(f"{n_users:,} users and {n_items:,} items of the files were new")
    if files.remark is not None:
        notes.append(files.remark)
    keyed = [_of_places(keys, places) for keys, places in ((user_keys, of_users), (item_keys, of_items))]
    return KeyedRatings(columns, keyed[0], keyed[1], left_out, tuple(notes))


def _read(
    files: ColumnFiles, scale: RatingScale, scratch: Scratch, left_out: SkippedRows, stage: Stage
) -> tuple[IdNumbers, IdNumbers, RawColumns]:
    users, items = IdNumbers(), IdNumbers()
    last, n_done = "", 0
    with ColumnWriter(scratch) as writer:
        for batch in files.batches(left_out):
            if batch.file != last:
                last, n_done = batch.file, n_done + 1
                stage(n_done / (len(files.names) + 1), f"reading {batch.file}")
            user_rows, item_rows = (
                numbers.number(ids)[places] for numbers, (places, ids) in ((users, batch.users), (items, batch.items))
            )
            values = np.ones(len(batch)) if batch.values is None else batch.values
            times = np.full(len(batch), UNKNOWN_TIME) if batch.times is None else batch.times
            is_on = scale.contains(values)
            if not is_on.all():
                left_out.add(f"rating {scale.fault}", int(np.count_nonzero(~is_on)))
                user_rows, item_rows, values, times = user_rows[is_on], item_rows[is_on], values[is_on], times[is_on]
            writer.append(user_rows, item_rows, scale.stored(values), times)
        return users, items, writer.finish()


def _of_places(keys: KeyArray, places: NDArray[np.int64]) -> KeyArray:
    """The key of each number; -1 where it has no place."""
    return np.where(places >= 0, keys[np.maximum(places, 0)], -1) if len(keys) else np.full(len(places), -1)


@dataclass(frozen=True)
class LargeRead:
    """Reads the ratings of a run by scratch files; see `ReadRatings`.

    `most_bytes`: of the memory of the run; None for any. Where the ratings fit, the result is in memory.
    """

    recipe: Recipe
    scratch: Scratch
    most_bytes: int | None

    def _check(self, store: Store, of_files: RunSize) -> None:
        """Raises `TrainingFailedError` where the files and what is stored are too much together."""
        n_users, n_items = max(of_files.n_users, store.users.count()), max(of_files.n_items, store.items.count())
        size = RunSize(of_files.n_ratings + store.ratings.count(), n_users, n_items)
        choose_place(self.recipe, size, self.most_bytes)

    def __call__(
        self, store: Store, scale: RatingScale, stage: Stage
    ) -> tuple[TrainingData, RatingMatrix, tuple[str, ...]]:
        """Raises `InvalidInputError` for files that cannot be read, and `TrainingFailedError` where memory lacks."""
        of_files, notes = None, tuple[str, ...]()
        if self.recipe.source is not None:
            files = ColumnFiles.find(self.recipe.source)
            of_files = read_files(files, store, scale, self.scratch, stage, partial(self._check, store))
            notes = of_files.notes
        with ColumnWriter(self.scratch) as writer:
            data = store.training_reads.load(writer.append_stored)
            stored = writer.finish()
        n_users, n_items = len(data.user_keys), len(data.item_keys)
        sources = [RowedRatings.of_store(stored, n_users, n_items)]
        if of_files is not None:
            sources.insert(0, RowedRatings.of_files(of_files, data.user_keys, data.item_keys))
            if of_files.left_out.n:
                notes = (*notes, stage.decide(str(of_files.left_out)))
        size = RunSize(sum(len(source.columns) for source in sources), n_users, n_items)
        is_outside = choose_place(self.recipe, size, self.most_bytes)
        with stage.part("order", 1.0) as part:
            storage = self.scratch if is_outside else IN_MEMORY
            rated = in_order(sources, n_users, n_items, self.scratch, storage)
            part.note(n_ratings=len(rated), n_repeated=size.n_ratings - len(rated), in_files=is_outside)
        newest = max((int(rated.times[span].max()) for span in spans(len(rated), storage)), default=int(UNKNOWN_TIME))
        return replace(data, newest_rated_at=newest), rated, notes


class RowedRatings(NamedTuple):
    """Some ratings, and the row of each of the numbers by which they name users and items; -1 for none."""

    columns: RawColumns
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]

    @classmethod
    def of_files(cls, ratings: KeyedRatings, user_keys: KeyArray, item_keys: KeyArray) -> Self:
        """`user_keys`, `item_keys`: of all rows. What has no row is counted in `ratings.left_out`."""
        columns = ratings.columns
        rows = _positions(ratings.user_keys, user_keys), _positions(ratings.item_keys, item_keys)
        user_counts = count_rows(columns.users, len(rows[0]))
        item_counts = count_rows(columns.items, len(rows[1]))
        ratings.left_out.add(INVALID_USER, int(user_counts[ratings.user_keys < 0].sum()))
        ratings.left_out.add(INVALID_ITEM, int(item_counts[ratings.item_keys < 0].sum()))
        ratings.left_out.add(DELETED, int(item_counts[(ratings.item_keys >= 0) & (rows[1] < 0)].sum()))
        return cls(columns, *rows)

    @classmethod
    def of_store(cls, columns: RawColumns, n_users: int, n_items: int) -> Self:
        return cls(columns, np.arange(n_users, dtype=np.int32), np.arange(n_items, dtype=np.int32))

    def block(self, span: slice) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Rows of users and items, values and times of some of the ratings."""
        each = self.columns
        return self.user_rows[each.users[span]], self.item_rows[each.items[span]], each.values[span], each.times[span]


def in_order(
    sources: Sequence[RowedRatings], n_users: int, n_items: int, scratch: Scratch, storage: Storage = IN_MEMORY
) -> RatingMatrix:
    """The ratings of all `sources` by user and item, the newest of each pair; of equal times that of the later source.

    Ratings without a row are left out. The result lives in `storage`.
    """
    # numba takes a second to import, which a process that only serves must not pay; hence not at the top.
    from app.algorithms.sort_kernel import keep_newest_of_pairs, order_by, scatter  # noqa: PLC0415  see above

    counts = np.zeros(n_users, np.int64)
    for source in sources:
        for span in spans(len(source.columns), scratch):
            users, items, _, _ = source.block(span)
            counts += np.bincount(users[(users >= 0) & (items >= 0)], minlength=n_users)
    n, at_once = int(counts.sum()), min(SORTED_AT_ONCE, scratch.sorted_at_once // 4)
    # Users in buckets of about `at_once` ratings, at least one user in each.
    buckets = ((np.cumsum(counts) - counts) // max(at_once, 1)).astype(np.int32)
    n_buckets = int(buckets[-1]) + 1 if n_users else 0
    starts = np.concatenate([[0], np.cumsum(np.bincount(buckets, counts, n_buckets).astype(np.int64))])
    free, dtypes = starts[:-1].copy(), (np.int32, np.int32, np.float32, np.int64)
    scattered = [scratch.empty(n, dtype) for dtype in dtypes]
    for source in sources:
        for span in spans(len(source.columns), scratch):
            scatter(buckets, *source.block(span), free, *scattered)
    result, n_kept = [storage.empty(n, dtype) for dtype in dtypes], 0
    for bucket in range(n_buckets):
        span = slice(int(starts[bucket]), int(starts[bucket + 1]))
        users, items, values, times = (np.array(column[span]) for column in scattered)
        first = int(np.searchsorted(buckets, bucket))
        n_of_bucket = int(np.searchsorted(buckets, bucket, side="right")) - first
        order, by_item = np.arange(len(users), dtype=np.int32), np.empty(len(users), np.int32)
        order_by(items, order, n_items, by_item)
        order_by(users - np.int32(first), by_item, n_of_bucket, order)
        order = order[: keep_newest_of_pairs(users, items, times, order)]
        into = slice(n_kept, n_kept + len(order))
        for array, column in zip(result, (users, items, values, times), strict=True):
            array[into] = column[order]
        n_kept += len(order)
        storage.relieve()
    user_rows, item_rows, ratings, rated_at = (array[:n_kept] for array in result)
    return RatingMatrix(n_users, n_items, user_rows, item_rows, ratings, rated_at, storage=storage)


def _positions(keys: KeyArray, among: KeyArray) -> NDArray[np.int32]:
    """(n,) the positions of `keys` in `among`, which ascends; -1 where it lacks one."""
    if not len(among):
        return np.full(len(keys), -1, np.int32)
    found = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.where(among[found] == keys, found, -1).astype(np.int32)
