"""A dense segment: a block of columns of the item side and of the user side.

    score of the segment  user part(u) . item part(i)

Its `fit` returns the item part and the user part of everything learned from, and a `DenseFold`, which folds one more
user in. The columns of all dense segments stand side by side and are searched by one index.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.feature_map import FeatureMap, mapped
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.segments.base import Float32Array, Fold, LearnedSegment, Observations, Segment

TRUST = 10.0
"""A vector learned from n ratings counts n / (n + 10) when a map from features is learned."""


class UserPart(NamedTuple):
    """One user's part of a segment.

    `columns`: (c,) float32, unweighted.
    `bias`: added to each predicted rating, in units of the rating scale; 0 in segments that predict no ratings.
    `uncertainty`: the user's share of the standard deviation of a predicted rating, in the same units; likewise.
    """

    columns: Float32Array
    bias: float = 0.0
    uncertainty: float = 0.0


class DenseFold(Fold):
    """The state of one dense segment: folds users in, and maps items and users that have nothing but features."""

    reads_features: ClassVar[bool] = False
    """Whether `fold_in` reads the user's features."""

    def select(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """The item rows (m,) that the user part is folded in from, and what each was rated or counts as, (m,).

        The rated items come first, then the positive, then the negative ones: the columns of `influences`. Unless
        overridden, the ratings alone.
        """
        return observed.item_rows, observed.values

    @abstractmethod
    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None,
    ) -> UserPart:
        """The part of one user from what `select` gave.

        `columns`: (m, c) float32, the item part of `item_rows`. `features`: (1, g), None unless `reads_features`.
        """

    def influences(
        self, columns: Float32Array, values: NDArray[np.floating], shown: Float32Array
    ) -> NDArray[np.float64] | None:
        """(n, m): how much of user part . item part each of m observations carries, for n items of parts `shown`.

        `columns`, `values`: as of `fold_in`; `shown`: (n, c). None where the part is no sum over observations.
        """

    def item_parts(self, features: sparse.csr_array) -> Float32Array | None:
        """(n, c), the part of items with features (n, f) alone; None: by the map from features."""

    def described_part(self, features: sparse.csr_array) -> Float32Array | None:
        """(c,), the part of a user with features (1, g) alone; None: by the map from features."""


@dataclass(frozen=True)
class LearnedDenseSegment(LearnedSegment):
    """A dense segment as learned.

    `item_part`: (n_items, c) float32.
    `user_part`: (n_users, c) float32, every user folded in.
    `unrated_item`: (c,), the part of an item without ratings, events and features.
    `vectors`: predict ratings, in the one segment that does.
    `item_map`, `user_map`: from features to parts, None where there are no features.
    """

    fold: DenseFold
    item_part: Float32Array
    user_part: Float32Array
    unrated_item: Float32Array
    vectors: RatingVectors | None = None
    item_map: FeatureMap | None = None
    user_map: FeatureMap | None = None

    def scores(self, user_rows: NDArray[np.integer]) -> Float32Array:
        scores: Float32Array = self.user_part[user_rows] @ self.item_part.T
        return scores

    @property
    def is_finite(self) -> bool:
        parts = (self.item_part, self.user_part)
        return all(bool(np.isfinite(part).all()) for part in parts)


class DenseSegment(Segment[LearnedDenseSegment, DenseFold]):
    """One kind of dense segment."""

    unknown_weight: ClassVar[float] = 0.0
    """Its weight in the user side of an unknown user, one without ratings, events and features."""

    def unknown_part(self, n_columns: int) -> Float32Array:
        """(n_columns,), the part of an unknown user, weighted by `unknown_weight`."""
        return np.zeros(n_columns, np.float32)

    def likeness(self, columns: slice) -> slice | None:
        """Its columns whose directions are compared to find similar items; None if there are none."""

    def item_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """(n_items,), how many observations each item's part is learned from."""
        return ratings.item_choice_counts

    def user_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """(n_users,), how many observations each user's part is learned from."""
        return ratings.user_choice_counts

    def item_trust(self, counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n_items,), the weight of each item in the regression of parts on features; 0 for `item_counts` of 0."""
        # n / (n + 10): a part learned from few observations is mostly noise.
        return counts / (counts + TRUST)

    def extend(self, learned: LearnedDenseSegment, ratings: RatingMatrix) -> LearnedDenseSegment:
        """`learned` with the parts of items and users that were not learned from filled in from their features.

        Each segment learns a map from features to its own parts (`FeatureMap`). A new item so gets a rating, a taste
        and a popularity part and enters the same dot product as every other item. A row without features keeps the part
        that `fit` gave it.
        """
        features = ratings.features
        if features is None:
            return learned
        of_items, of_users = mapped(features.items, features.item_text), mapped(features.users)
        if of_items.shape[1]:
            # An item is new to this segment if the segment learned nothing from it, whatever others learned.
            counts = self.item_counts(ratings)
            learned_map, item_part = _extended(
                of_items, learned.item_part, self.item_trust(counts), is_learned=counts > 0
            )
            learned = replace(learned, item_part=item_part, item_map=learned_map)
        if of_users.shape[1]:
            counts = self.user_counts(ratings)
            # A user with any choice has been folded in, which is more specific than features, so the part is kept.
            learned_map, user_part = _extended(
                of_users, learned.user_part, counts / (counts + TRUST), is_learned=ratings.user_choice_counts > 0
            )
            learned = replace(learned, user_part=user_part, user_map=learned_map)
        return learned


def _extended(
    features: sparse.csr_array, part: Float32Array, trust: NDArray[np.float64], *, is_learned: NDArray[np.bool_]
) -> tuple[FeatureMap, Float32Array]:
    """The map from (n, f) features to (n, c) parts, and the parts with rows that have features alone mapped."""
    learned = FeatureMap.fit(features, part, trust)
    # part_n = offset + features_n . map for new rows alone: for others, the learned part is the better estimate.
    is_cold = ~is_learned & (np.diff(features.indptr) > 0)
    part = part.copy()
    part[is_cold] = learned.predict(features[is_cold])
    return learned, part


def first_likeness(segments: Sequence[tuple[DenseSegment, slice]]) -> slice:
    """The columns by which items are compared. `segments`: each with its columns, in the order of the registry.

    The last segment that has such columns is taken: the registry lists taste after rating, and what users choose
    describes items better than how they rate them.
    """
    columns = (segment.likeness(columns) for segment, columns in reversed(segments))
    return next((each for each in columns if each is not None), slice(0, 0))
