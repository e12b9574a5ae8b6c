"""The ratings of files as one matrix, the data of `reckon evaluate` and `reckon tune`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import Features, RatingMatrix
from app.entities import UNKNOWN_TIME, Item, RatingColumns, RatingScale
from app.errors import InvalidInputError
from app.evaluation.splits import held_out_by, is_rolling, keep_newest


@dataclass(frozen=True)
class RatedData:
    """The newest rating of each pair. Rows are positions in `user_ids` and `item_ids`.

    is_test: (n,) whether each rating comes from the test file; None without a test file.
    items: (n_items) the item of each row; empty without a file of items.
    n_rejected: rows of all files that could not be read.
    n_shared: pairs of both files, which were dropped from the training part.
    n_off_scale: ratings that were left out because they are not on the scale, without those that `notes` name.
    is_scale_detected: whether the scale follows from the ratings; else it was given.
    notes: how the values of the files were read.
    warnings: why the figures may be of too few data.
    """

    ratings: RatingMatrix
    scale: RatingScale
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    items: Sequence[Item]
    is_test: NDArray[np.bool_] | None
    n_rejected: int
    n_shared: int = 0
    n_off_scale: int = 0
    is_scale_detected: bool = True
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()

    def held_out(self, split: str, seed: int) -> list[NDArray[np.bool_]]:
        """Return one (n,) mask for each fold; a test file is the only fold."""
        return held_out_by(split, self.ratings, seed) if self.is_test is None else [self.is_test]

    @property
    def remarks(self) -> list[str]:
        """What was changed before anything was measured."""
        remarks = [*self.notes]
        if self.n_off_scale:
            remarks.append(f"{self.n_off_scale:,} ratings are not on the scale {self.scale} and were left out")
        if self.n_shared:
            remarks.append(
                f"{self.n_shared:,} pairs of user and item are in both files; they were dropped from the training part,"
                " because what is measured must not have been learned"
            )
        return remarks

    @property
    def has_times(self) -> bool:
        return bool((self.ratings.times != UNKNOWN_TIME).any())

    def relevant_from(self, wanted: float | None, split: str = "") -> float:
        """Return the lowest rating of a relevant item: `wanted`, or else the threshold of liked on the scale.

        A rolling split asks what comes next, not what is liked: without a wanted threshold, every rating is relevant.
        """
        if wanted is None and is_rolling(split):
            return float(self.ratings.values.min(initial=np.inf))
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


def on_scale(ratings: RatingColumns, n_test: int | None, scale: RatingScale) -> tuple[RatingColumns, int | None]:
    """Return the ratings on the scale, valued as a store keeps them, and how many of the last `n_test` these are.

    Raises `InvalidInputError` if there are none in one of the files.
    """
    kept = scale.contains(ratings.value)
    if not kept.any():
        raise InvalidInputError(f"none of the {len(ratings):,} ratings is on the scale {scale}", field="scale")
    n_kept_of_test = None if n_test is None else int(np.count_nonzero(kept[len(ratings) - n_test :]))
    if n_kept_of_test == 0:
        raise InvalidInputError(f"no rating of the test file is on the scale {scale}", field="scale")
    values = scale.stored(ratings.value[kept])
    return RatingColumns(ratings.user_key[kept], ratings.item_key[kept], values, ratings.rated_at[kept]), n_kept_of_test


def newest_ratings(
    ratings: RatingColumns, n_test: int | None, shape: tuple[int, int], features: Features | None = None
) -> tuple[RatingMatrix, NDArray[np.bool_] | None, int]:
    """Return the newest rating of each pair, the (n,) mask of the test part, and the number of pairs of both files.

    `ratings`: keys are rows of a matrix of `shape` (n_users, n_items).
    `n_test`: number of ratings from the test file, which come last; the mask is None without one.

    Pairs of both files are dropped from the training part: the test file says what is measured, and figures on it stay
    comparable. Raises `InvalidInputError` if no training part is left.
    """
    # The newest rating of a pair is taken from each file separately: a newer one to learn from must not replace what is
    # measured.
    n_train = len(ratings) - (n_test or 0)
    train, test = (
        part.start + keep_newest(ratings.user_key[part], ratings.item_key[part], ratings.rated_at[part])
        for part in (slice(0, n_train), slice(n_train, len(ratings)))
    )
    pairs = ratings.user_key * shape[1] + ratings.item_key
    is_shared = np.isin(pairs[train], pairs[test])
    if n_test is not None and is_shared.all():
        message = "the test file holds every pair of the training file, so nothing is left to learn from"
        raise InvalidInputError(message, field="test")
    kept = np.concatenate([train[~is_shared], test])
    matrix = RatingMatrix(
        *shape,
        ratings.user_key[kept],
        ratings.item_key[kept],
        ratings.value[kept],
        ratings.rated_at[kept],
        features,
    )
    return matrix, None if n_test is None else kept >= n_train, int(np.count_nonzero(is_shared))
