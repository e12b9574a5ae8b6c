"""The ratings of files as one matrix, the data of `reckon evaluate` and `reckon tune`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import Features, RatingMatrix
from app.entities import Item, RatingColumns, RatingScale
from app.errors import InvalidInputError
from app.evaluation.splits import held_out_by, keep_newest


@dataclass(frozen=True)
class RatedData:
    """The newest rating of each pair. Rows are positions in `user_ids` and `item_ids`.

    is_test: (n,) whether each rating comes from the test file; None without a test file.
    items: (n_items) the item of each row; empty without a file of items.
    n_rejected: rows of all files that could not be read.
    """

    ratings: RatingMatrix
    scale: RatingScale
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    items: Sequence[Item]
    is_test: NDArray[np.bool_] | None
    n_rejected: int

    def held_out(self, split: str, seed: int) -> list[NDArray[np.bool_]]:
        """Return one (n,) mask for each fold; a test file is the only fold."""
        return held_out_by(split, self.ratings, seed) if self.is_test is None else [self.is_test]

    def relevant_from(self, wanted: float | None) -> float:
        """Return the lowest rating of a relevant item: `wanted`, or the threshold of liked on the scale."""
        if wanted is None:
            return self.scale.liked_from
        if not np.isfinite(wanted):
            raise InvalidInputError(f"{wanted} is not a rating", field="relevant-from")
        return wanted

    @property
    def titles(self) -> list[str]:
        """(n_items) the title of each item, or its id if the title is not known."""
        if not self.items:
            return list(self.item_ids)
        return [item.title or item.item_id for item in self.items]

    @property
    def groups(self) -> list[str]:
        """(n_items) the first category of each item; empty if none is known."""
        if not self.items:
            return [""] * len(self.item_ids)
        return [item.categories[0] if item.categories else "" for item in self.items]

    @cached_property
    def fingerprint(self) -> str:
        """A text that is equal only for the same ratings, ids and features in the same order."""
        # Ids from files may hold surrogates, which UTF-8 cannot encode.
        digest = hashlib.sha256(repr((self.user_ids, self.item_ids)).encode("utf-8", "backslashreplace"))
        arrays = [self.ratings.user_rows, self.ratings.item_rows, self.ratings.values, self.ratings.times]
        if self.ratings.features is not None:
            # All three arrays of a CSR matrix, since each alone leaves the matrix undetermined.
            matrices = (self.ratings.features.items, self.ratings.features.users)
            arrays += [part for matrix in matrices for part in (matrix.indptr, matrix.indices, matrix.data)]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def newest_ratings(
    ratings: RatingColumns, n_test: int | None, shape: tuple[int, int], features: Features | None = None
) -> tuple[RatingMatrix, NDArray[np.bool_] | None]:
    """Return the newest rating of each pair, and the (n,) mask of those among the last `n_test` ratings.

    `ratings`: keys are rows of a matrix of `shape` (n_users, n_items).
    `n_test`: number of ratings from the test file, which come last; the mask is None without one.
    """
    # Repeated pairs are removed from each file separately: the test file may hold a pair of the training file.
    n_train = len(ratings) - (n_test or 0)
    train, test = (
        part.start + keep_newest(ratings.user_key[part], ratings.item_key[part], ratings.rated_at[part])
        for part in (slice(0, n_train), slice(n_train, len(ratings)))
    )
    kept = np.concatenate([train, test])
    matrix = RatingMatrix(
        *shape,
        ratings.user_key[kept],
        ratings.item_key[kept],
        ratings.value[kept],
        ratings.rated_at[kept],
        features,
    )
    return matrix, None if n_test is None else kept >= n_train
