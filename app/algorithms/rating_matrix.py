"""The ratings as a learner sees them: rows, columns, values. A missing cell is unknown, never 0."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from app.algorithms.errors import InvalidRatingsError
from app.algorithms.labels import EventLabels

if TYPE_CHECKING:
    from app.algorithms.features import Features

UNKNOWN_TIME = np.iinfo(np.int64).min
"""The time of a rating whose time is not known: older than any known one."""


@dataclass(frozen=True, init=False)
class RatingMatrix:
    """n observed ratings of `n_users` x `n_items`, in any order, at most one for each pair.

    `user_rows`, `item_rows`: (n,) int32. `values`: (n,) float32 in the caller's own scale, finite. Users and items
    without a rating are allowed: they are rows of the matrix like any other. `rated_at`: (n,) int64 microseconds UTC,
    `UNKNOWN_TIME` where not known; None where no time is. `features`: what is known of users and items beside ratings.
    `labels`: what events say of pairs that nobody rated, here or in what is held out. `chosen_from`: ratings below it
    are no choices, since they are labels themselves; None where to rate an item is to have chosen it.
    """

    n_users: int
    n_items: int
    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    values: NDArray[np.float32]
    rated_at: NDArray[np.int64] | None
    features: "Features | None"
    labels: EventLabels | None
    chosen_from: float | None

    def __init__(
        self,
        n_users: int,
        n_items: int,
        user_rows: ArrayLike,
        item_rows: ArrayLike,
        values: ArrayLike,
        rated_at: ArrayLike | None = None,
        features: "Features | None" = None,
        labels: EventLabels | None = None,
        chosen_from: float | None = None,
    ) -> None:
        """Converts what is not of the types above; else keeps the arrays themselves, which nobody may change any more.

        Raises `InvalidRatingsError` for unequal lengths, rows out of range and values that are not finite.
        """
        columns = {
            "user_rows": np.ascontiguousarray(user_rows, np.int32),
            "item_rows": np.ascontiguousarray(item_rows, np.int32),
            "values": np.ascontiguousarray(values, np.float32),
        }
        times = None if rated_at is None else np.ascontiguousarray(rated_at, np.int64)
        shapes = {column.shape for column in (*columns.values(), *(() if times is None else (times,)))}
        if len(shapes) > 1 or columns["values"].ndim != 1:
            raise InvalidRatingsError("user_rows, item_rows, values and times must be of one length")
        _check_rows("user_rows", columns["user_rows"], n_users)
        _check_rows("item_rows", columns["item_rows"], n_items)
        if not np.isfinite(columns["values"]).all():
            raise InvalidRatingsError("every rating must be a finite number")
        if labels is not None:
            _check_rows("labels.user_rows", labels.user_rows, n_users)
            _check_rows("labels.item_rows", labels.item_rows, n_items)
        others = {"n_users": n_users, "n_items": n_items, "rated_at": times, "features": features}
        for name, value in (others | columns | {"labels": labels, "chosen_from": chosen_from}).items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, user_rows: ArrayLike, item_rows: ArrayLike, values: ArrayLike) -> "RatingMatrix":
        """The matrix just large enough for these ratings."""
        n_users, n_items = (int(np.max(rows, initial=-1)) + 1 for rows in (user_rows, item_rows))
        return cls(n_users, n_items, user_rows, item_rows, values)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def by_user(self) -> sparse.csr_array:
        """(n_users, n_items) CSR; inside a row the ratings keep their order."""
        return _compressed(self.user_rows, self.item_rows, self.values, (self.n_users, self.n_items))

    @cached_property
    def by_item(self) -> sparse.csr_array:
        """(n_items, n_users) CSR: the transpose of `by_user`."""
        return _compressed(self.item_rows, self.user_rows, self.values, (self.n_items, self.n_users))

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """(n,) int64 microseconds UTC, `UNKNOWN_TIME` where not known."""
        return np.full(len(self), UNKNOWN_TIME) if self.rated_at is None else self.rated_at

    @cached_property
    def user_counts(self) -> NDArray[np.int64]:
        """(n_users,) how many items each user rated."""
        return np.bincount(self.user_rows, minlength=self.n_users)

    @cached_property
    def item_counts(self) -> NDArray[np.int64]:
        """(n_items,) how many users rated each item."""
        return np.bincount(self.item_rows, minlength=self.n_items)

    @cached_property
    def observed(self) -> sparse.csr_array:
        """(n_users, n_items) CSR with an entry for each item that a user rated or that has a label, whatever its value.

        No such pair is ever held out from these ratings.
        """
        if self.labels is None:
            return self.by_user
        users, items = (
            np.append(self.user_rows, self.labels.user_rows),
            np.append(self.item_rows, self.labels.item_rows),
        )
        return _compressed(users, items, np.ones(len(users), np.float32), (self.n_users, self.n_items))

    @cached_property
    def user_observed_counts(self) -> NDArray[np.int64]:
        """(n_users,) of how many items something is known: a rating, or a label of either kind."""
        return np.diff(self.observed.indptr).astype(np.int64)

    @cached_property
    def item_observed_counts(self) -> NDArray[np.int64]:
        """(n_items,) of how many users something is known."""
        return np.bincount(self.observed.indices, minlength=self.n_items)

    @cached_property
    def chosen(self) -> sparse.csr_array:
        """(n_users, n_items) CSR with an entry for each item that a user chose, whatever its value."""
        if self.chosen_from is not None:
            return self.subset(self.values >= self.chosen_from).by_user
        return self.with_positive(0.0).by_user

    @cached_property
    def user_choice_counts(self) -> NDArray[np.int64]:
        """(n_users,) how many items each user chose: rated, or was engaged by."""
        return self._choice_counts(self.user_rows, self.n_users, None if self.labels is None else self.labels.user_rows)

    @cached_property
    def item_choice_counts(self) -> NDArray[np.int64]:
        """(n_items,) how many users chose each item."""
        return self._choice_counts(self.item_rows, self.n_items, None if self.labels is None else self.labels.item_rows)

    def _choice_counts(
        self, rows: NDArray[np.int32], n_rows: int, labelled: NDArray[np.int32] | None
    ) -> NDArray[np.int64]:
        chosen = rows if self.chosen_from is None else rows[self.values >= self.chosen_from]
        counts = np.bincount(chosen, minlength=n_rows)
        if self.labels is not None and labelled is not None:
            counts += np.bincount(labelled[self.labels.are_positive], minlength=n_rows)
        return counts

    def with_positive(self, value: float) -> "RatingMatrix":
        """The ratings, and after them the engaged pairs as ratings of `value`; without times, features and labels."""
        if self.labels is None:
            return self
        positive = self.labels.where(self.labels.are_positive)
        return RatingMatrix(
            self.n_users,
            self.n_items,
            np.append(self.user_rows, positive.user_rows),
            np.append(self.item_rows, positive.item_rows),
            np.append(self.values, np.full(len(positive), value, np.float32)),
        )

    def as_labels(self, liked_from: float) -> "RatingMatrix":
        """All that is known, as labels: 1 where engaged, or rated `liked_from` or better, else 0; nothing beside."""
        shape, are_liked = (self.n_users, self.n_items), self.values >= np.float32(liked_from)
        if self.labels is None:
            return RatingMatrix(*shape, self.user_rows, self.item_rows, are_liked)
        return RatingMatrix(
            *shape,
            np.append(self.user_rows, self.labels.user_rows),
            np.append(self.item_rows, self.labels.item_rows),
            np.append(are_liked, self.labels.are_positive),
        )

    def subset(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> "RatingMatrix":
        """The ratings picked by a mask or by positions; the same users, items and labels."""
        rated_at = None if self.rated_at is None else self.rated_at[kept]
        columns = (self.user_rows[kept], self.item_rows[kept], self.values[kept])
        return RatingMatrix(self.n_users, self.n_items, *columns, rated_at, *self._known)

    def of_users(self, chosen: NDArray[np.int64]) -> "RatingMatrix":
        """The ratings of some users, (n,) rows ascending, who become the rows 0 to n - 1; all items stay."""
        row_of = np.full(self.n_users, -1, np.int32)
        row_of[chosen] = np.arange(len(chosen), dtype=np.int32)
        kept = row_of[self.user_rows] >= 0
        rated_at = None if self.rated_at is None else self.rated_at[kept]
        columns = (row_of[self.user_rows[kept]], self.item_rows[kept], self.values[kept])
        features, labels, chosen_from = self._known
        if features is not None:
            features = replace(features, users=features.users[chosen])
        if labels is not None:
            labels = labels.where(row_of[labels.user_rows] >= 0)
            labels = replace(labels, user_rows=row_of[labels.user_rows])
        return RatingMatrix(len(chosen), self.n_items, *columns, rated_at, features, labels, chosen_from)

    def described_by(self, features: "Features | None") -> "RatingMatrix":
        """The same ratings, of users and items that are described by `features`."""
        columns = (self.user_rows, self.item_rows, self.values)
        return RatingMatrix(
            self.n_users, self.n_items, *columns, self.rated_at, features, self.labels, self.chosen_from
        )

    def with_labels(self, labels: EventLabels) -> "RatingMatrix":
        """The same ratings beside other labels."""
        columns = (self.user_rows, self.item_rows, self.values)
        return RatingMatrix(
            self.n_users,
            self.n_items,
            *columns,
            self.rated_at,
            self.features,
            labels,
            self.chosen_from,
        )

    @property
    def _known(self) -> tuple["Features | None", EventLabels | None, float | None]:
        """What is not of a single rating."""
        return self.features, self.labels, self.chosen_from


def _check_rows(name: str, rows: NDArray[Any], n_rows: int) -> None:
    if len(rows) and not (rows.min() >= 0 and rows.max() < n_rows):
        raise InvalidRatingsError(f"{name} must lie in 0..{n_rows - 1}, found {rows.min()}..{rows.max()}")


def _compressed(
    rows: NDArray[np.int32], columns: NDArray[np.int32], values: NDArray[np.float32], shape: tuple[int, int]
) -> sparse.csr_array:
    # With its own position as the column every entry is distinct, so scipy's linear counting sort adds nothing up.
    positions = np.arange(len(rows), dtype=np.int32)
    order = sparse.csr_array((values, (rows, positions)), shape=(shape[0], len(rows)))
    return sparse.csr_array((order.data, columns[order.indices], order.indptr), shape=shape)
