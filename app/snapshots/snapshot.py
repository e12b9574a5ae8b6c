"""A snapshot in use: mapped arrays, the index, and what serving asks of them."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.fold_in import fold_in
from app.entities import RatingScale
from app.snapshots.arrays import SnapshotArrays
from app.snapshots.index import Index, Neighbours, search
from app.snapshots.manifest import Manifest, Segment
from app.snapshots.sides import join_user_parts
from app.snapshots.similar import similar_to, unit_directions

RATING = "rating"
PRIOR = "prior"


class UserSide(NamedTuple):
    """One user: the weighted vector (d,) float32 whose dot product with an item's row is the score, and b_u."""

    vector: NDArray[np.float32]
    bias: float


@dataclass(frozen=True)
class Snapshot(SnapshotArrays):
    """A published set of learned vectors; immutable, shared by all requests. See `SnapshotArrays` for the arrays."""

    manifest: Manifest
    index: Index

    @property
    def version(self) -> int:
        return self.manifest.version

    @property
    def n_items(self) -> int:
        return len(self.item_keys)

    def user_row(self, user_key: int) -> int | None:
        """None for a user who came after the snapshot."""
        return _row_of(self.user_keys, user_key)

    def item_row(self, item_key: int) -> int | None:
        """None for an item that came after the snapshot."""
        return _row_of(self.item_keys, item_key)

    def history(self, user_row: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Item rows and values of the ratings the user had given at the snapshot, newest first."""
        ratings = slice(self.history_starts[user_row], self.history_starts[user_row + 1])
        return self.history_rows[ratings], self.history_values[ratings]

    def user_side(self, user_row: int) -> UserSide:
        return UserSide(self.user_vectors[user_row], float(self.user_biases[user_row]))

    def fold_in(self, item_rows: NDArray[np.integer], values: NDArray[np.floating]) -> UserSide:
        """The user side of somebody with these ratings: the arithmetic that made `user_vectors`, for one user.

        `item_rows`, `values`: (m,), m >= 0, in the rating scale. On an unchanged history it agrees with the stored
        user side to 1e-4.
        """
        columns = self.item_vectors[item_rows, self._rating.slice]
        factors, item_biases = columns[:, :-1], columns[:, -1]
        targets = values - self.manifest.mean_rating - item_biases
        user_factors, bias = fold_in(factors, targets, self.manifest.regularization, biased=self.manifest.is_biased)
        parts = {RATING: rating_part(user_factors[None]), PRIOR: prior_part(1)}
        vector = join_user_parts(parts, self.manifest.segments, self.item_covariance)[0]
        return UserSide(vector, float(bias))

    def predicted_ratings(self, user: UserSide, item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The ratings mu + b_u + b_i + p_u . q_i of (m,) items, clipped to the scale; the rating segment alone."""
        return self._predict(user, self.item_vectors[item_rows, self._rating.slice])

    def predicted_rating_of_unrated(self, user: UserSide) -> float:
        """The prediction for any item that came after the snapshot."""
        return float(self._predict(user, self.unrated_item[None, self._rating.slice])[0])

    def _predict(self, user: UserSide, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        weighted = user.vector[self._rating.slice]
        # The last column of the weighted part is a_u, and a_u > 0.
        deviations = columns @ weighted / weighted[-1]
        predicted: NDArray[np.float32] = np.float32(self.manifest.mean_rating + user.bias) + deviations
        return predicted.clip(self._scale.minimum, self._scale.maximum)

    def nearest(self, vector: NDArray[np.float32], n: int, allowed: NDArray[np.bool_] | None = None) -> Neighbours:
        """The `n` items with the highest score for the user side `vector` (d,): rows and scores, best first.

        `allowed`: (n_items,) bool, None for all. Fewer only where fewer are allowed; ties by row.
        """
        return search(self.index, self.item_vectors, vector, n, allowed)

    def similar(self, item_row: int, n: int) -> Neighbours:
        """Up to `n` items most like this one, rows and similarities, best first; none for an unrated item."""
        stored = self.similar_rows.shape
        if stored[0] and n <= stored[1]:
            rows = self.similar_rows[item_row]
            n = min(n, int(np.count_nonzero(rows >= 0)))
            return rows[:n].astype(np.int64), self.similar_scores[item_row, :n]
        return similar_to(item_row, self._directions, self.item_counts, n)

    @cached_property
    def _directions(self) -> NDArray[np.float32]:
        return unit_directions(np.ascontiguousarray(self.item_vectors[:, self._rating.slice][:, :-1]))

    @cached_property
    def _rating(self) -> Segment:
        return self.manifest.segment(RATING)

    @cached_property
    def _scale(self) -> RatingScale:
        return self.manifest.scale


def rating_part(user_factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[p_u | 1] of (b, k) user factors: the user part that meets [q_i | b_i]."""
    return np.hstack([user_factors, np.ones((len(user_factors), 1), np.float32)])


def prior_part(n_users: int) -> NDArray[np.float32]:
    """[1] for everybody: the user part that meets [prior_i]."""
    return np.ones((n_users, 1), np.float32)


def _row_of(keys: NDArray[np.int64], key: int) -> int | None:
    row = int(np.searchsorted(keys, key))
    return row if row < len(keys) and keys[row] == key else None
