"""Files of ratings, items and users as columns, without a database: what `reckon evaluate` and `reckon tune` read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.entities import Item, RatingColumns, User
from app.intake.blocks import RejectedRow
from app.intake.file_entries import load_items, load_users
from app.intake.file_ratings import FileRatings, load_file
from app.intake.hints import NO_HINTS, FileHints
from app.intake.scales.scale import Detection, detect_scale
from app.intake.scales.value_counts import ValueCounts


@dataclass(frozen=True, slots=True)
class RatedFile:
    """All ratings in the order of their files, repeated pairs included.

    ratings: `user_key` and `item_key` are places in `user_ids` and `item_ids`.
    n_test: how many of the ratings, the last ones, come from the test file; None without a test file.
    detection: the scale of the values of all files, and which of them are no ratings.
    user_ids, item_ids: in order of appearance; those of ratings first, then those of the files of users and items.
    users, items: by id, what the further files say; empty without such a file.
    n_rejected: rows of all files that could not be read. first_rejected: the first of each file that has one.
    notes: sentences on how the files were read.
    n_missing: rows whose value the user stated to stand for a missing rating.
    """

    ratings: RatingColumns
    n_test: int | None
    detection: Detection
    user_ids: list[str]
    item_ids: list[str]
    users: dict[str, User]
    items: dict[str, Item]
    n_rejected: int
    first_rejected: list[RejectedRow]
    notes: list[str]
    n_missing: int


def load_rated_file(
    path: Path,
    test: Path | None = None,
    *,
    hints: FileHints = NO_HINTS,
    items: Path | None = None,
    users: Path | None = None,
) -> RatedFile:
    """Reads the ratings of `path` and of the `test` file, and the files of items and users.

    Raises `InvalidInputError` for a file that holds nothing of its kind.
    """
    files = [load_file(each, hints) for each in (path, test) if each is not None]
    read_items = None if items is None else load_items(items, hints)
    read_users = None if users is None else load_users(users, hints)
    items_by_id = {} if read_items is None else {item.item_id: item for item in read_items.entries}
    users_by_id = {} if read_users is None else {user.user_id: user for user in read_users.entries}
    user_ids = list(dict.fromkeys([user_id for file in files for user_id in file.user_ids] + list(users_by_id)))
    item_ids = list(dict.fromkeys([item_id for file in files for item_id in file.item_ids] + list(items_by_id)))
    rejected = [entries.rejected for entries in (read_items, read_users) if entries is not None]
    left_out = [each for entries in (read_items, read_users) if entries is not None for each in entries.left_out]
    return RatedFile(
        ratings=_joined(files, user_ids, item_ids),
        n_test=None if test is None else len(files[-1].ratings),
        # Of all values together, because a single file may not reach both ends of the scale.
        detection=detect_scale(
            ValueCounts.of(file.ratings.value for file in files), are_amounts=all(file.has_amounts for file in files)
        ),
        user_ids=user_ids,
        item_ids=item_ids,
        users=users_by_id,
        items=items_by_id,
        n_rejected=sum(file.n_rejected for file in files) + sum(map(len, rejected)),
        notes=[note for file in files for note in file.notes] + [f"left out in {each}" for each in left_out],
        first_rejected=[rows[0] for rows in (*(file.rejected for file in files), *rejected) if rows],
        n_missing=sum(file.n_missing for file in files),
    )


def _joined(files: list[FileRatings], user_ids: list[str], item_ids: list[str]) -> RatingColumns:
    """The ratings of all files, one after the other, with places in the common ids."""
    user_places = {user_id: place for place, user_id in enumerate(user_ids)}
    item_places = {item_id: place for place, item_id in enumerate(item_ids)}
    return RatingColumns(
        np.concatenate([_places(file.user_ids, user_places)[file.ratings.user_key] for file in files]),
        np.concatenate([_places(file.item_ids, item_places)[file.ratings.item_key] for file in files]),
        np.concatenate([file.ratings.value for file in files]),
        np.concatenate([file.ratings.rated_at for file in files]),
    )


def _places(ids: list[str], places: dict[str, int]) -> NDArray[np.int64]:
    return np.array([places[each] for each in ids], dtype=np.int64)
