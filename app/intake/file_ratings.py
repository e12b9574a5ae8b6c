"""Loads the ratings of a file as arrays without a database, as `reckon evaluate` and `reckon tune` need them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings, RatingColumns, to_microseconds
from app.errors import InvalidInputError
from app.intake.blocks import RejectedRow
from app.intake.column_names.columns import Kind
from app.intake.hints import NO_HINTS, FileHints
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader

_N_FIRST = 5


@dataclass(frozen=True, slots=True)
class FileRatings:
    """All ratings of a file in its order, including repeated ratings of the same pair.

    `user_ids`, `item_ids`: distinct ids in the order of their first appearance.
    `ratings`: n ratings; `user_key` and `item_key` are indices into `user_ids` and `item_ids`, and a missing time is
    `UNKNOWN_TIME`.
    `n_rejected`: number of rows with an error; these are not in `ratings`.
    `rejected`: the first rejected rows, at most five.
    `notes`: sentences on how files were read.
    `has_amounts`: whether the names of the columns say that the values are amounts.
    `n_missing`: number of rows whose value the user stated to stand for a missing rating.
    """

    user_ids: list[str]
    item_ids: list[str]
    ratings: RatingColumns
    n_rejected: int
    rejected: list[RejectedRow]
    notes: list[str]
    has_amounts: bool
    n_missing: int


def load_file(path: Path, hints: FileHints = NO_HINTS) -> FileRatings:
    """Load all ratings at `path`: a file, folder or zip in any layout that `reckon import` reads.

    `hints`: what the user states about the files. Needs about 32 bytes of memory per rating.

    Raises `InvalidInputError` where `path` cannot be read or holds no valid rating.
    """
    content = recognise(path, hints)
    reader = RatingReader(to_microseconds(datetime.now(UTC)), hints.missing)
    user_keys: dict[str, int] = {}
    item_keys: dict[str, int] = {}
    parts: list[RatingColumns] = []
    rejected: list[RejectedRow] = []
    n_rejected = n_missing = 0
    for table in content.tables_of(Kind.RATINGS):
        for block in table.blocks():
            read = reader.read(block)
            # Ids become integers block by block, so that only the distinct ones are kept as text.
            parts.append(_to_columns(read.ratings, user_keys, item_keys))
            # All rejected rows are counted, but memory holds only the few that are shown.
            rejected += read.rejected[: _N_FIRST - len(rejected)]
            n_rejected += len(read.rejected)
            n_missing += read.n_set_aside
    if not any(map(len, parts)):
        reason = f": {rejected[0].reason} (line {rejected[0].line})" if rejected else ""
        raise InvalidInputError(f"{path} holds no ratings{reason}", field="path")
    names = ("user_key", "item_key", "value", "rated_at")
    ratings = RatingColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return FileRatings(
        list(user_keys), list(item_keys), ratings, n_rejected, rejected, content.notes, content.has_amounts, n_missing
    )


def _to_columns(ratings: IncomingRatings, user_keys: dict[str, int], item_keys: dict[str, int]) -> RatingColumns:
    """Replace ids by their indices; ids that are not in `user_keys` and `item_keys` are added to them."""
    n = len(ratings)
    return RatingColumns(
        np.fromiter((user_keys.setdefault(user_id, len(user_keys)) for user_id in ratings.user_id), np.int64, n),
        np.fromiter((item_keys.setdefault(item_id, len(item_keys)) for item_id in ratings.item_id), np.int64, n),
        ratings.value,
        ratings.rated_at,
    )
