"""What events say of a user and an item: engaged, declined, or nothing known. The same before and after publication.

    strength = sum over types of weight log2(1 + count) portion

with the count of events of each type, and the largest portion that they told (1 where one told none). The label is 1
where the strength is above 0, since nobody is engaged by what they have not met; 0 where it is not, if the item was
shown, or if the strength is below 0 (a dislike needs no proof that the item was seen); of all others nothing is known.

Weights are applied here, not where events are counted, so a type that weighs otherwise changes all labels at once.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEGATIVE, POSITIVE, UNKNOWN = 0, 1, -1

Keys = NDArray[np.int64]


@dataclass(frozen=True, init=False)
class TypeWeights:
    """What one event of each of t types says. `keys`: (t,) int64 ascending; `weights`: (t,); `are_exposures`: (t,)."""

    keys: Keys
    weights: NDArray[np.float64]
    are_exposures: NDArray[np.bool_]

    def __init__(self, keys: ArrayLike, weights: ArrayLike, are_exposures: ArrayLike) -> None:
        """The types in any order."""
        order = np.argsort(keys)
        object.__setattr__(self, "keys", np.asarray(keys, np.int64)[order])
        object.__setattr__(self, "weights", np.asarray(weights, np.float64)[order])
        object.__setattr__(self, "are_exposures", np.asarray(are_exposures, np.bool_)[order])

    @cached_property
    def _padded(self) -> tuple[Keys, NDArray[np.float64], NDArray[np.float64]]:
        """Keys, weights and exposures, with a last one that is like no type and says nothing."""
        return np.append(self.keys, -1), np.append(self.weights, 0.0), np.append(self.are_exposures, 0.0)

    def of(self, type_key: Keys) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weight of each of (n,) types, and 1 where it is an exposure; zeros of one that is not there."""
        keys, weights, are_exposures = self._padded
        rows = self.keys.searchsorted(type_key)
        is_there = keys[rows] == type_key
        return weights[rows] * is_there, are_exposures[rows] * is_there


class PairLabels(NamedTuple):
    """`labels`: (n_pairs,) `POSITIVE`, `NEGATIVE` or `UNKNOWN`. `are_disliked`: (n_pairs,) where strength < 0."""

    labels: NDArray[np.int8]
    are_disliked: NDArray[np.bool_]


def label_pairs(
    types: TypeWeights,
    pair: NDArray[np.integer],
    n_pairs: int,
    type_key: Keys,
    count: NDArray[np.integer],
    portion: NDArray[np.float64],
) -> PairLabels:
    """`pair`: (n,) from 0 to n_pairs - 1, which pair each row is of; `count`: (n,) events of `type_key`, (n,);
    `portion`: (n,), NaN where it is the whole. Types that are not among `types` say nothing.
    """
    weights, are_exposures = types.of(type_key)
    strength = np.bincount(pair, weights * np.log2(1.0 + count) * np.where(np.isnan(portion), 1.0, portion), n_pairs)
    labels = np.full(n_pairs, UNKNOWN, np.int8)
    labels[np.bincount(pair, are_exposures, n_pairs) > 0] = NEGATIVE
    labels[strength < 0] = NEGATIVE
    labels[strength > 0] = POSITIVE
    return PairLabels(labels, strength < 0)


class Sorted(NamedTuple):
    """The items of one user by what is known of them: keys, ascending.

    `disliked`: those of `negative` that something speaks against (strength < 0), not only that nothing came of showing.
    """

    positive: Keys
    negative: Keys
    disliked: Keys


def label_items(
    types: TypeWeights, item_key: Keys, type_key: Keys, count: NDArray[np.integer], portion: NDArray[np.float64]
) -> Sorted:
    """What one user's interactions, (n,) each in any order, say; rated items among them, if there are any."""
    keys, pair = np.unique(item_key, return_inverse=True)
    labels, are_disliked = label_pairs(types, pair, len(keys), type_key, count, portion)
    return Sorted(keys[labels == POSITIVE], keys[labels == NEGATIVE], keys[are_disliked])


@dataclass(frozen=True, init=False)
class EventLabels:
    """n pairs of a matrix that nobody rated, of which events tell something; each pair at most once.

    `user_rows`, `item_rows`: (n,) int32. `values`: (n,) float32, 1 engaged, 0 declined. `last_at`: (n,) int64, of the
    newest event, microseconds UTC. `counts_as`: the rating that an engagement counts as among ratings.
    """

    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    values: NDArray[np.float32]
    last_at: NDArray[np.int64]
    counts_as: float

    def __init__(
        self, user_rows: ArrayLike, item_rows: ArrayLike, values: ArrayLike, last_at: ArrayLike, counts_as: float
    ) -> None:
        object.__setattr__(self, "user_rows", np.ascontiguousarray(user_rows, np.int32))
        object.__setattr__(self, "item_rows", np.ascontiguousarray(item_rows, np.int32))
        object.__setattr__(self, "values", np.ascontiguousarray(values, np.float32))
        object.__setattr__(self, "last_at", np.ascontiguousarray(last_at, np.int64))
        object.__setattr__(self, "counts_as", counts_as)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def are_positive(self) -> NDArray[np.bool_]:
        """(n,)"""
        return self.values > 0

    def where(self, kept: NDArray[np.bool_]) -> "EventLabels":
        columns = (self.user_rows[kept], self.item_rows[kept], self.values[kept], self.last_at[kept])
        return EventLabels(*columns, self.counts_as)
