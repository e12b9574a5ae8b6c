"""A file's ratings as arrays, without a database: what `reckon evaluate` measures on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.entities import IncomingRatings, RatingColumns, RatingScale, to_microseconds
from app.errors import InvalidInputError
from app.intake.blocks import RejectedRow
from app.intake.columns import Kind
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader
from app.intake.scale import detect_scale

_KEPT_REJECTED = 5


@dataclass(frozen=True, slots=True)
class FileRatings:
    """All ratings of a file in its order, repeated pairs included.

    `ratings.user_key` and `.item_key` are places in `user_ids` and `item_ids`, which are in order of appearance.
    `scale`: detected. `n_rejected` rows could not be read; `rejected` holds the first few.
    """

    user_ids: list[str]
    item_ids: list[str]
    ratings: RatingColumns
    scale: RatingScale
    n_rejected: int
    rejected: list[RejectedRow]


def load_file(path: Path, columns: str | None = None) -> FileRatings:
    """Reads a file, folder or zip of any layout that `reckon import` takes; about 32 bytes a rating.

    Raises `InvalidInputError` where it holds no ratings.
    """
    tables = recognise(path, columns).of(Kind.RATINGS)
    reader = RatingReader(to_microseconds(datetime.now(UTC)))
    user_places: dict[str, int] = {}
    item_places: dict[str, int] = {}
    parts: list[RatingColumns] = []
    rejected: list[RejectedRow] = []
    n_rejected = 0
    for table in tables:
        for block in table.blocks():
            read = reader.read(block)
            parts.append(_columns(read.ratings, user_places, item_places))
            rejected += read.rejected[: _KEPT_REJECTED - len(rejected)]
            n_rejected += len(read.rejected)
    scale = detect_scale(part.value for part in parts)
    if scale is None:
        reason = f": {rejected[0].reason} (line {rejected[0].line})" if rejected else ""
        raise InvalidInputError(f"{path} holds no ratings{reason}", field="path")
    names = ("user_key", "item_key", "value", "rated_at")
    ratings = RatingColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return FileRatings(list(user_places), list(item_places), ratings, scale, n_rejected, rejected)


def _columns(ratings: IncomingRatings, user_places: dict[str, int], item_places: dict[str, int]) -> RatingColumns:
    n = len(ratings)
    return RatingColumns(
        np.fromiter((user_places.setdefault(user_id, len(user_places)) for user_id in ratings.user_id), np.int64, n),
        np.fromiter((item_places.setdefault(item_id, len(item_places)) for item_id in ratings.item_id), np.int64, n),
        ratings.value,
        ratings.rated_at,
    )
