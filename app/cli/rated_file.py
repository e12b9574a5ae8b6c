"""A file of ratings, and files of what is known of items and users, as one matrix: what is evaluated and tuned on."""

import hashlib
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import Item, RatingScale, User
from app.errors import InvalidInputError
from app.evaluation.splits import held_out_by, keep_newest
from app.intake.blocks import RejectedRow
from app.intake.file_entries import load_items, load_users
from app.intake.file_ratings import FileRatings, load_file
from app.intake.scale import detect_scale
from app.snapshots.features import describe


@dataclass(frozen=True)
class RatedFile:
    """One rating for each pair, the newest; rows are places in `user_ids` and `item_ids`.

    `is_test`: (n,) the ratings of the test file, which come last; None where there was none. `items`: (n_items) what is
    known of each row; empty without a file of items. `n_rejected`: rows of all files that could not be read.
    """

    ratings: RatingMatrix
    scale: RatingScale
    user_ids: list[str]
    item_ids: list[str]
    items: list[Item]
    is_test: NDArray[np.bool_] | None
    n_rejected: int

    def held_out(self, split: str, seed: int) -> list[NDArray[np.bool_]]:
        """(n,) masks, one a fold; with a test file that is the only one."""
        return held_out_by(split, self.ratings, seed) if self.is_test is None else [self.is_test]

    def relevant_from(self, wanted: float | None) -> float:
        """From which rating on an item is relevant: as liked on the scale, unless said."""
        if wanted is None:
            return self.scale.liked_from
        if not np.isfinite(wanted):
            raise InvalidInputError(f"{wanted} is not a rating", field="relevant-from")
        return wanted

    @property
    def titles(self) -> list[str]:
        """(n_items) to be shown to people: the title where one is known, else the id."""
        if not self.items:
            return self.item_ids
        return [item.title or item.item_id for item in self.items]

    @property
    def groups(self) -> list[str]:
        """(n_items) the first category of each, where one is known, else ""."""
        if not self.items:
            return [""] * len(self.item_ids)
        return [item.categories[0] if item.categories else "" for item in self.items]

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same ratings, ids and features in the same order, and only then."""
        digest = hashlib.sha256(repr((self.user_ids, self.item_ids)).encode("utf-8", "backslashreplace"))
        arrays = [self.ratings.user_rows, self.ratings.item_rows, self.ratings.values, self.ratings.times]
        if self.ratings.features is not None:
            matrices = (self.ratings.features.items, self.ratings.features.users)
            arrays += [part for matrix in matrices for part in (matrix.indptr, matrix.indices, matrix.data)]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def load_rated_file(
    path: Path,
    test: Path | None = None,
    *,
    columns: str | None = None,
    items: Path | None = None,
    users: Path | None = None,
) -> RatedFile:
    """Reads it all. Items and users of the further files are rows of the matrix even if nobody rated them.

    Raises `InvalidInputError` where a file holds nothing of what it is to hold.
    """
    files = [load_file(each, columns) for each in (path, test) if each is not None]
    of_items = None if items is None else load_items(items)
    of_users = None if users is None else load_users(users)
    item_of = {} if of_items is None else {entry.item_id: entry for entry in of_items.entries}
    user_of = {} if of_users is None else {entry.user_id: entry for entry in of_users.entries}
    user_ids = list(dict.fromkeys([user_id for file in files for user_id in file.user_ids] + list(user_of)))
    item_ids = list(dict.fromkeys([item_id for file in files for item_id in file.item_ids] + list(item_of)))
    parts = [_matrix(file, user_ids, item_ids) for file in files]
    ratings = _joined(parts)
    known_items = [item_of.get(item_id) or Item(item_id) for item_id in item_ids] if item_of else []
    if item_of or user_of:
        ratings = _described(ratings, known_items or [Item(item_id) for item_id in item_ids], user_ids, user_of)
    for rejected in (*(file.rejected for file in files), *(each.rejected for each in (of_items, of_users) if each)):
        _tell_rejected(rejected)
    return RatedFile(
        ratings,
        detect_scale([file.ratings.value for file in files]) or files[0].scale,
        user_ids,
        item_ids,
        known_items,
        None if test is None else np.arange(len(ratings)) >= len(parts[0]),
        sum(file.n_rejected for file in files) + sum(len(each.rejected) for each in (of_items, of_users) if each),
    )


def _matrix(file: FileRatings, user_ids: list[str], item_ids: list[str]) -> RatingMatrix:
    """The newest rating of each pair of one file, by the rows of all."""
    user_rows, item_rows = (
        np.array([rows[each] for each in ids])[keys]
        for ids, keys, rows in (
            (file.user_ids, file.ratings.user_key, {user_id: row for row, user_id in enumerate(user_ids)}),
            (file.item_ids, file.ratings.item_key, {item_id: row for row, item_id in enumerate(item_ids)}),
        )
    )
    newest = keep_newest(user_rows, item_rows, file.ratings.rated_at)
    user_rows, item_rows = user_rows[newest], item_rows[newest]
    values, rated_at = file.ratings.value[newest], file.ratings.rated_at[newest]
    return RatingMatrix(len(user_ids), len(item_ids), user_rows, item_rows, values, rated_at)


def _joined(parts: list[RatingMatrix]) -> RatingMatrix:
    user_rows, item_rows, values, times = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("user_rows", "item_rows", "values", "times")
    )
    return RatingMatrix(parts[0].n_users, parts[0].n_items, user_rows, item_rows, values, times)


def _described(ratings: RatingMatrix, items: list[Item], user_ids: list[str], user_of: dict[str, User]) -> RatingMatrix:
    features, _ = describe(items, [user_of.get(user_id) or User(user_id) for user_id in user_ids])
    return ratings.with_features(features)


def _tell_rejected(rejected: list[RejectedRow]) -> None:
    if rejected:
        first = rejected[0]
        sys.stderr.write(f"reckon: some rows could not be read, as {first.file} line {first.line}: {first.reason}\n")
