"""Labels from events: positive, negative or unknown for a pair of user and item, the same in training and serving.

    strength = sum over event types of weight log2(1 + count) portion

with the count of events of each type on the pair, and the largest portion they reported (1 where none was reported).
The label is

    positive  if strength > 0: a user engages only with items they have observed
    negative  if strength < 0 (a dislike needs no proof of exposure), or if strength = 0 and the item was shown
    unknown   otherwise

Counts are stored without weights. Weights are applied here, so that a changed weight changes all labels at once.
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
    """The weights of t event types.

    `keys`: (t,) int64 surrogate keys of the types, ascending.
    `weights`: (t,) float64, negative for dislikes, 0 for types that say nothing.
    `are_exposures`: (t,) bool, the types that show an item to a user.
    """

    keys: Keys
    weights: NDArray[np.float64]
    are_exposures: NDArray[np.bool_]

    def __init__(self, keys: ArrayLike, weights: ArrayLike, are_exposures: ArrayLike) -> None:
        """Accepts the types in any order."""
        # Sorted by key, so that a lookup is a binary search over whole columns of events.
        order = np.argsort(keys)
        object.__setattr__(self, "keys", np.asarray(keys, np.int64)[order])
        object.__setattr__(self, "weights", np.asarray(weights, np.float64)[order])
        object.__setattr__(self, "are_exposures", np.asarray(are_exposures, np.bool_)[order])

    @cached_property
    def _padded(self) -> tuple[Keys, NDArray[np.float64], NDArray[np.float64]]:
        """Keys, weights and exposures with a sentinel row at the end, which `searchsorted` returns for larger keys."""
        return np.append(self.keys, -1), np.append(self.weights, 0.0), np.append(self.are_exposures, 0.0)

    def weights_of(self, type_key: Keys) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weight of each of (n,) types, and 1.0 where it is an exposure; both 0 for unknown types."""
        keys, weights, are_exposures = self._padded
        # The position of an unknown key holds another key, or the sentinel; both fail the comparison.
        rows = self.keys.searchsorted(type_key)
        is_known = keys[rows] == type_key
        return weights[rows] * is_known, are_exposures[rows] * is_known


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
    """Label pairs from n rows, each the events of one type on one pair.

    `pair`: (n,) the pair of each row, from 0 to n_pairs - 1. `type_key`: (n,). `count`: (n,) number of events.
    `portion`: (n,) the largest reported portion, from 0 to 1; NaN where none was reported. Unknown types count 0.
    """
    # Weights come from the configuration of today, whatever it was when the events were counted.
    weights, are_exposures = types.weights_of(type_key)
    # strength = sum weight log2(1 + count) portion: the logarithm lets the tenth view say less than the first.
    strength = np.bincount(pair, weights * np.log2(1.0 + count) * np.where(np.isnan(portion), 1.0, portion), n_pairs)
    labels = np.full(n_pairs, UNKNOWN, np.int8)
    # In this order: a later line overrides an earlier one, so that a click outweighs the exposure that led to it.
    labels[np.bincount(pair, are_exposures, n_pairs) > 0] = NEGATIVE
    labels[strength < 0] = NEGATIVE
    labels[strength > 0] = POSITIVE
    return PairLabels(labels, strength < 0)


class LabelledItems(NamedTuple):
    """The items of one user by label, as ascending surrogate keys.

    `positive`, `negative`: by label.
    `disliked`: the part of `negative` with strength < 0, as opposed to items that were shown without effect.
    """

    positive: Keys
    negative: Keys
    disliked: Keys


def label_items(
    types: TypeWeights, item_key: Keys, type_key: Keys, count: NDArray[np.integer], portion: NDArray[np.float64]
) -> LabelledItems:
    """Label the items of one user from its interactions, (n,) each in any order; rated items may be among them."""
    # `np.unique` sorts, which gives the ascending keys that `LabelledItems` promises.
    keys, pair = np.unique(item_key, return_inverse=True)
    labels, are_disliked = label_pairs(types, pair, len(keys), type_key, count, portion)
    return LabelledItems(keys[labels == POSITIVE], keys[labels == NEGATIVE], keys[are_disliked])


@dataclass(frozen=True, init=False)
class EventLabels:
    """Labels of n pairs without a rating, each pair at most once.

    `user_rows`, `item_rows`: (n,) int32.
    `values`: (n,) float32, 1 for positive, 0 for negative; unknown pairs are left out.
    `last_at`: (n,) int64, time of the pair's newest event in microseconds UTC.
    `counts_as`: the rating that a positive label counts as among ratings.
    """

    user_rows: NDArray[np.int32]
    item_rows: NDArray[np.int32]
    values: NDArray[np.float32]
    last_at: NDArray[np.int64]
    counts_as: float

    def __init__(
        self, user_rows: ArrayLike, item_rows: ArrayLike, values: ArrayLike, last_at: ArrayLike, counts_as: float
    ) -> None:
        # A frozen dataclass refuses plain assignment; the arrays are converted to the types that kernels expect.
        object.__setattr__(self, "user_rows", np.ascontiguousarray(user_rows, np.int32))
        object.__setattr__(self, "item_rows", np.ascontiguousarray(item_rows, np.int32))
        object.__setattr__(self, "values", np.ascontiguousarray(values, np.float32))
        object.__setattr__(self, "last_at", np.ascontiguousarray(last_at, np.int64))
        object.__setattr__(self, "counts_as", counts_as)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def are_positive(self) -> NDArray[np.bool_]:
        """(n,) bool mask of the positive labels."""
        return self.values > 0

    def subset(self, selected: NDArray[np.bool_]) -> "EventLabels":
        """The labels selected by a mask (n,)."""
        columns = (self.user_rows[selected], self.item_rows[selected], self.values[selected], self.last_at[selected])
        return EventLabels(*columns, self.counts_as)
