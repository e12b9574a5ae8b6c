"""The input of every learner: a sparse matrix of ratings, and what else is known of its pairs, users and items.

A missing cell is unknown, never 0: no learner may read a value for a pair that was not observed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from app.algorithms.errors import InvalidRatingsError
from app.algorithms.labels import EventLabels
from app.algorithms.storage import IN_MEMORY, Storage, count_rows, filled, mean, spans

# Stands for an unknown time; it sorts before every known time.
UNKNOWN_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Features:
    """Side information on items and users, encoded as numbers.

    `items`: (n_items, f) float32 CSR. `users`: (n_users, g) float32 CSR. No columns where nothing is known.
    A missing value is a row without entries in the columns of that value.
    `item_text`: (n_items, t) float32 CSR, read by the maps for items without ratings alone; None where texts are not
        read. Learners do not read it, so items with ratings are ranked alike with and without it.
    """

    items: sparse.csr_array
    users: sparse.csr_array
    item_text: sparse.csr_array | None = None


class _Kinds(TypedDict):
    is_graded: bool
    liked_from: float | None
    storage: Storage


@dataclass(frozen=True, init=False)
class RatingMatrix:
    """n observed ratings of `n_users` x `n_items`, in any order, at most one per pair.

    `n_users`, `n_items`: size of the matrix; users and items without ratings are rows like any other.
    `user_rows`, `item_rows`: (n,) int32.
    `values`: (n,) float32 in the caller's own scale, finite.
    `rated_at`: (n,) int64 microseconds UTC, `UNKNOWN_TIME` where unknown; None where all times are.
    `features`: side information on users and items; None where there is none.
    `labels`: labels from events, for pairs without a rating here or in a held-out part; None where there are none.
    `chosen_from`: where events were turned into ratings, ratings below this value are negatives, not choices. None
        where every rating counts as a choice, whatever its value.
    `is_graded`: whether a rating grades its item, so that a higher one can be predicted. False where values are
        strengths of choices (amounts, mere pairs): every one is a choice, the lowest included.
    `liked_from`: ratings at or above it are liked. None where the scale is not known; see `least_liked`.
    `storage`: where arrays of one element for each rating live. Outside of memory, the ratings are in the order of
        users, and there are no labels.
    """

    n_users: int
    n_items: int
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    values: NDArray[np.float32]
    rated_at: NDArray[np.int64] | None
    features: Features | None
    labels: EventLabels | None
    chosen_from: float | None
    is_graded: bool
    liked_from: float | None
    storage: Storage

    def __init__(
        self,
        n_users: int,
        n_items: int,
        user_rows: ArrayLike,
        item_rows: ArrayLike,
        values: ArrayLike,
        rated_at: ArrayLike | None = None,
        features: Features | None = None,
        labels: EventLabels | None = None,
        chosen_from: float | None = None,
        *,
        is_graded: bool = True,
        liked_from: float | None = None,
        storage: Storage = IN_MEMORY,
    ) -> None:
        """Arrays of the right type are kept, not copied, and must not be changed afterwards; others are converted.

        Raises `InvalidRatingsError` for unequal lengths, rows out of range, values that are not finite, and ratings
        outside of memory that are not in the order of users, or have labels.
        """
        columns = {
            "user_rows": np.ascontiguousarray(user_rows, np.int32),
            "item_rows": np.ascontiguousarray(item_rows, np.int32),
            "values": np.ascontiguousarray(values, np.float32),
        }
        times = None if rated_at is None else np.ascontiguousarray(rated_at, np.int64)
        # One set of shapes finds both unequal lengths and arrays that are not one-dimensional.
        shapes = {column.shape for column in (*columns.values(), *(() if times is None else (times,)))}
        if len(shapes) > 1 or columns["values"].ndim != 1:
            raise InvalidRatingsError("user_rows, item_rows, values and times must be of one length")
        for span in spans(len(columns["values"]), storage):
            _check_rows("user_rows", columns["user_rows"][span], n_users)
            _check_rows("item_rows", columns["item_rows"][span], n_items)
            if not np.isfinite(columns["values"][span]).all():
                raise InvalidRatingsError("every rating must be a finite number")
            if storage is not IN_MEMORY and not _ascends(columns["user_rows"], span):
                raise InvalidRatingsError("ratings outside of memory must be in the order of users")
        if storage is not IN_MEMORY and labels is not None:
            raise InvalidRatingsError("ratings outside of memory have no labels")
        if labels is not None:
            # Labels index the same matrix; a wrong row would otherwise surface as a wrong label much later.
            _check_rows("labels.user_rows", labels.user_rows, n_users)
            _check_rows("labels.item_rows", labels.item_rows, n_items)
        # A frozen dataclass refuses plain assignment; `init=False` because the arrays are converted first.
        others = {"n_users": n_users, "n_items": n_items, "rated_at": times, "features": features}
        context = {"labels": labels, "chosen_from": chosen_from, "is_graded": is_graded}
        kinds = {"liked_from": liked_from, "storage": storage}
        for name, value in (others | columns | context | kinds).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_arrays(cls, user_rows: ArrayLike, item_rows: ArrayLike, values: ArrayLike) -> "RatingMatrix":
        """The smallest matrix that holds these ratings."""
        n_users, n_items = (int(np.max(rows, initial=-1)) + 1 for rows in (user_rows, item_rows))
        return cls(n_users, n_items, user_rows, item_rows, values)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def by_user(self) -> sparse.csr_array:
        """(n_users, n_items) CSR float32; within a row the ratings keep their order."""
        if self.storage is not IN_MEMORY:
            starts = np.concatenate([[0], np.cumsum(self.user_counts)])
            return sparse.csr_array((self.values, self.item_rows, starts), shape=(self.n_users, self.n_items))
        return _compressed(self.user_rows, self.item_rows, self.values, (self.n_users, self.n_items))

    @cached_property
    def by_item(self) -> sparse.csr_array:
        """(n_items, n_users) CSR float32, the transpose of `by_user`; within a row the ratings keep their order."""
        if self.storage is not IN_MEMORY:
            return _sorted_by_item(self)
        return _compressed(self.item_rows, self.user_rows, self.values, (self.n_items, self.n_users))

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """(n,) int64 microseconds UTC, `UNKNOWN_TIME` where unknown."""
        if self.rated_at is not None:
            return self.rated_at
        return filled(len(self), np.int64, lambda span: np.full(span.stop - span.start, UNKNOWN_TIME), self.storage)

    @cached_property
    def user_counts(self) -> NDArray[np.int64]:
        """(n_users,) int64, the number of ratings of each user."""
        return count_rows(self.user_rows, self.n_users, self.storage)

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """(n_items,) int64, the number of ratings of each item."""
        return count_rows(self.item_rows, self.n_items, self.storage)

    @cached_property
    def observed(self) -> sparse.csr_array:
        """(n_users, n_items) CSR with an entry for each pair that has a rating or a label, whatever its value.

        No such pair is ever held out from these ratings. The values of the entries mean nothing.
        """
        # Without labels the rated pairs are all observed pairs, and their CSR is cached already.
        if self.labels is None:
            return self.by_user
        users, items = (
            np.append(self.user_rows, self.labels.user_rows),
            np.append(self.item_rows, self.labels.item_rows),
        )
        return _compressed(users, items, np.ones(len(users), np.float32), (self.n_users, self.n_items))

    @cached_property
    def user_observed_counts(self) -> NDArray[np.int64]:
        """(n_users,) int64, the number of items with a rating or a label, for each user."""
        return np.diff(self.observed.indptr).astype(np.int64)

    @cached_property
    def item_observed_counts(self) -> NDArray[np.int64]:
        """(n_items,) int64, the number of users with a rating or a label, for each item."""
        return np.bincount(self.observed.indices, minlength=self.n_items)

    @cached_property
    def chosen(self) -> sparse.csr_array:
        """(n_users, n_items) CSR with an entry for each item that a user chose: a rating or a positive label."""
        if self.chosen_from is not None:
            return self.at_least(self.chosen_from).by_user
        return self.with_positive(0.0).by_user

    @cached_property
    def user_choice_counts(self) -> NDArray[np.int64]:
        """(n_users,) int64, the number of items that each user chose: rated, or positive by its events."""
        return self._choice_counts(self.user_rows, self.n_users, None if self.labels is None else self.labels.user_rows)

    @cached_property
    def item_choice_counts(self) -> NDArray[np.int64]:
        """(n_items,) int64, the number of users who chose each item."""
        return self._choice_counts(self.item_rows, self.n_items, None if self.labels is None else self.labels.item_rows)

    @cached_property
    def least_liked(self) -> float:
        """Ratings at or above it are liked: what users choose with pleasure, as opposed to all that they rated.

        `chosen_from` or `liked_from` where one is known. Of two grades it is the higher; of more, on an unknown scale,
        and where values are no grades, every rating is liked.
        """
        given = self.liked_from if self.chosen_from is None and self.is_graded else self.chosen_from
        if given is not None:
            return float(np.float32(given))  # rounded like the ratings, so that equal stays equal
        if not self.is_graded or not len(self):
            # Strengths are above 0, also those of users that come later.
            return 0.0
        lowest, highest = self.ends
        return highest if self.has_values_among(lowest, highest) else lowest

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest of the ratings, of which there is at least one."""
        parts = [(self.values[span].min(), self.values[span].max()) for span in spans(len(self), self.storage)]
        return float(min(low for low, _ in parts)), float(max(high for _, high in parts))

    def has_values_among(self, *values: float) -> bool:
        """Whether no rating has another value than these."""
        return all(np.isin(self.values[span], values).all() for span in spans(len(self), self.storage))

    @cached_property
    def low_below(self) -> float:
        """Ratings below it are low: below the mean of all and in the lower half of the range, and not liked.

        Where there are two grades, or `chosen_from` is known, all that is not liked is low; strengths never are.
        """
        if self.chosen_from is not None or not self.is_graded or not len(self):
            return self.least_liked
        lowest, highest = self.ends
        return min(self.least_liked, mean(self.values, self.storage), (lowest + highest) / 2)

    @cached_property
    def liked(self) -> sparse.csr_array:
        """(n_users, n_items) CSR with an entry for each item that a user liked: by a rating or a positive label."""
        return self.at_least(self.least_liked).with_positive(0.0).by_user

    @cached_property
    def item_like_counts(self) -> NDArray[np.int64]:
        """(n_items,) int64, the number of users who liked each item."""
        labelled = None if self.labels is None else self.labels.item_rows
        return self._counts(self.item_rows, self.n_items, self.least_liked, labelled)

    def _choice_counts(
        self, rows: NDArray[np.int32], n_rows: int, labelled: NDArray[np.int32] | None
    ) -> NDArray[np.int64]:
        return self._counts(rows, n_rows, self.chosen_from, labelled)

    def _counts(
        self, rows: NDArray[np.int32], n_rows: int, least: float | None, labelled: NDArray[np.int32] | None
    ) -> NDArray[np.int64]:
        # Ratings at or above the threshold, plus positive labels; a pair never has both.
        counts = count_rows(
            rows, n_rows, self.storage, None if least is None else lambda span: self.values[span] >= least
        )
        if self.labels is not None and labelled is not None:
            counts += np.bincount(labelled[self.labels.are_positive], minlength=n_rows)
        return counts

    def with_positive(self, value: float) -> "RatingMatrix":
        """The ratings, followed by the positive labels as ratings of `value`; without times, features and labels."""
        if self.labels is None:
            return self
        # Only positive labels: a negative one is not a low rating.
        positive = self.labels.subset(self.labels.are_positive)
        return RatingMatrix(
            self.n_users,
            self.n_items,
            np.append(self.user_rows, positive.user_rows),
            np.append(self.item_rows, positive.item_rows),
            np.append(self.values, np.full(len(positive), value, np.float32)),
            **self._kinds,
        )

    def as_labels(self, liked_from: float) -> "RatingMatrix":
        """All observed pairs as labels: 1 where positive or rated at least `liked_from`, else 0; nothing else."""
        # The threshold is rounded to float32 like the ratings: a rating of 0.7 is not below a threshold of 0.7.
        shape, are_liked = (self.n_users, self.n_items), self.values >= np.float32(liked_from)
        if self.labels is None:
            return RatingMatrix(*shape, self.user_rows, self.item_rows, are_liked)
        return RatingMatrix(
            *shape,
            np.append(self.user_rows, self.labels.user_rows),
            np.append(self.item_rows, self.labels.item_rows),
            np.append(are_liked, self.labels.are_positive),
        )

    def at_least(self, value: float) -> "RatingMatrix":
        """The ratings at or above `value`; as `subset`."""
        return self.subset(filled(len(self), np.bool_, lambda span: self.values[span] >= value, self.storage))

    def subset(self, selected: NDArray[np.bool_] | NDArray[np.int64]) -> "RatingMatrix":
        """The ratings selected by a mask or by positions; users, items, features and labels stay.

        Outside of memory, positions must ascend.
        """
        if self.storage is not IN_MEMORY:
            return self._stored_subset(selected)
        rated_at = None if self.rated_at is None else self.rated_at[selected]
        columns = (self.user_rows[selected], self.item_rows[selected], self.values[selected])
        return RatingMatrix(self.n_users, self.n_items, *columns, rated_at, *self._context, **self._kinds)

    def _stored_subset(self, selected: NDArray[np.bool_] | NDArray[np.int64]) -> "RatingMatrix":
        storage, is_mask = self.storage, selected.dtype == np.bool_
        if is_mask:
            n = sum(int(np.count_nonzero(selected[span])) for span in spans(len(self), storage))
            if n == len(self):
                return self
        else:
            n = len(selected)

        def picked(column: NDArray[Any]) -> NDArray[Any]:
            if not is_mask:
                return filled(n, column.dtype, lambda span: column[selected[span]], storage)
            array, place = storage.empty(n, column.dtype), 0
            for span in spans(len(self), storage):
                part = column[span][selected[span]]
                array[place : place + len(part)] = part
                place += len(part)
            return array

        rated_at = None if self.rated_at is None else picked(self.rated_at)
        columns = picked(self.user_rows), picked(self.item_rows), picked(self.values)
        return RatingMatrix(self.n_users, self.n_items, *columns, rated_at, *self._context, **self._kinds)

    def select_users(self, chosen: NDArray[np.int64]) -> "RatingMatrix":
        """The ratings of some users, (n,) ascending rows, renumbered 0 to n - 1; all items stay.

        They are in memory, wherever those of all users are.
        """
        # row_of[old row] = new row, or -1 for users that are left out.
        row_of = np.full(self.n_users, -1, np.int32)
        row_of[chosen] = np.arange(len(chosen), dtype=np.int32)
        selected = np.concatenate(
            [
                np.empty(0, np.int64),
                *(
                    span.start + np.flatnonzero(row_of[self.user_rows[span]] >= 0)
                    for span in spans(len(self), self.storage)
                ),
            ]
        )
        rated_at = None if self.rated_at is None else self.rated_at[selected]
        columns = (row_of[self.user_rows[selected]], self.item_rows[selected], self.values[selected])
        features, labels, chosen_from = self._context
        # Features and labels are per user, too, and must follow the renumbering.
        if features is not None:
            features = replace(features, users=features.users[chosen])
        if labels is not None:
            labels = labels.subset(row_of[labels.user_rows] >= 0)
            labels = replace(labels, user_rows=row_of[labels.user_rows])
        context = (features, labels, chosen_from)
        kinds: _Kinds = {**self._kinds, "storage": IN_MEMORY}
        return RatingMatrix(len(chosen), self.n_items, *columns, rated_at, *context, **kinds)

    def user_blocks(self) -> Iterator[tuple[slice, slice]]:
        """The users of ratings in the order of users, about `storage.block` ratings at a time: rows, and positions."""
        starts, first = np.concatenate([[0], np.cumsum(self.user_counts)]), 0
        while first < self.n_users:
            past = int(np.searchsorted(starts, starts[first] + self.storage.block, side="right")) - 1
            past = min(max(past, first + 1), self.n_users)
            yield slice(first, past), slice(int(starts[first]), int(starts[past]))
            self.storage.relieve()
            first = past

    def select_span(self, rows: slice, span: slice) -> "RatingMatrix":
        """One of `user_blocks`, in memory, its users from 0 on; without features and labels."""
        rated_at = None if self.rated_at is None else self.rated_at[span]
        users = self.user_rows[span] - np.int32(rows.start)
        kinds: _Kinds = {**self._kinds, "storage": IN_MEMORY}
        columns = (users, self.item_rows[span], self.values[span], rated_at)
        return RatingMatrix(rows.stop - rows.start, self.n_items, *columns, chosen_from=self.chosen_from, **kinds)

    def with_features(self, features: Features | None) -> "RatingMatrix":
        """The same ratings with other features."""
        return replace(self, features=features)

    def with_labels(self, labels: EventLabels) -> "RatingMatrix":
        """The same ratings with other labels."""
        return replace(self, labels=labels)

    def with_liked_from(self, liked_from: float) -> "RatingMatrix":
        """The same ratings, on a scale on which they are liked from `liked_from` on."""
        return replace(self, liked_from=liked_from)

    def with_strengths(self, values: NDArray[np.float32]) -> "RatingMatrix":
        """The same pairs with `values` (n,), the strengths of choices, in place of grades."""
        return replace(self, values=values, is_graded=False)

    @property
    def _context(self) -> tuple[Features | None, EventLabels | None, float | None]:
        """The fields that belong to the matrix, not to a single rating."""
        return self.features, self.labels, self.chosen_from

    @property
    def _kinds(self) -> _Kinds:
        """What the values mean, by the names of arguments."""
        return {"is_graded": self.is_graded, "liked_from": self.liked_from, "storage": self.storage}


def _check_rows(name: str, rows: NDArray[Any], n_rows: int) -> None:
    if len(rows) and not (rows.min() >= 0 and rows.max() < n_rows):
        raise InvalidRatingsError(f"{name} must lie in 0..{n_rows - 1}, not {rows.min()}..{rows.max()}")


def _ascends(rows: NDArray[Any], span: slice) -> bool:
    """Whether the rows of `span` do not descend, beginning with the one before them."""
    part = rows[max(span.start - 1, 0) : span.stop]
    return bool((part[1:] >= part[:-1]).all())


def _sorted_by_item(ratings: RatingMatrix) -> sparse.csr_array:
    """As `_compressed`, by passes over all ratings that each put some rows in order, in memory, and write them out."""
    # numba takes a second to import, which a process that only serves must not pay; hence not at the top.
    from app.algorithms.sort_kernel import place_by_row

    storage, n = ratings.storage, len(ratings)
    starts = np.concatenate([[0], np.cumsum(ratings.item_counts)])
    users, values = storage.empty(n, np.int32), storage.empty(n, np.float32)
    first = 0
    while first < ratings.n_items:
        # As many rows as fit, and at least one.
        past = int(np.searchsorted(starts, starts[first] + storage.sorted_at_once, side="right")) - 1
        past = min(max(past, first + 1), ratings.n_items)
        begin, end = int(starts[first]), int(starts[past])
        placed = np.empty(end - begin, np.int32), np.empty(end - begin, np.float32)
        free = starts[first:past] - begin
        for span in spans(n, storage):
            columns = ratings.item_rows[span], ratings.user_rows[span], ratings.values[span]
            place_by_row(*columns, free, first, past, *placed)
        users[begin:end], values[begin:end] = placed
        storage.relieve()
        first = past
    return sparse.csr_array((values, users, starts), shape=(ratings.n_items, ratings.n_users))


def _compressed(
    rows: NDArray[np.int32], columns: NDArray[np.int32], values: NDArray[np.float32], shape: tuple[int, int]
) -> sparse.csr_array:
    """CSR with stable order within a row, in linear time."""
    # scipy adds up duplicates when it converts. With its own position as the column every entry is distinct and already
    # in order, so the conversion is a stable counting sort by row; the true columns are put in afterwards.
    positions = np.arange(len(rows), dtype=np.int32)
    order = sparse.csr_array((values, (rows, positions)), shape=(shape[0], len(rows)))
    return sparse.csr_array((order.data, columns[order.indices], order.indptr), shape=shape)
