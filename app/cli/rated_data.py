"""Loads files of ratings, items and users as one matrix with features, for `evaluate` and `tune`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.evaluation.rated_data import RatedData
    from app.intake.blocks import RejectedRow


def load_rated_data(
    path: Path,
    test: Path | None = None,
    *,
    columns: str | None = None,
    items: Path | None = None,
    users: Path | None = None,
) -> "RatedData":
    """Load the files. Items and users without ratings also have rows in the matrix.

    Raises `InvalidInputError` for a file without the ratings, items or users that it should hold.
    """
    from app.entities import Item, User
    from app.evaluation.rated_data import RatedData, newest_ratings
    from app.intake.rated_file import load_rated_file
    from app.scoring.features import describe

    file = load_rated_file(path, test, columns=columns, items=items, users=users)
    all_items = [file.items.get(item_id) or Item(item_id) for item_id in file.item_ids]
    features = None
    if file.items or file.users:
        features, _ = describe(all_items, [file.users.get(user_id) or User(user_id) for user_id in file.user_ids])
    shape = (len(file.user_ids), len(file.item_ids))
    ratings, is_test = newest_ratings(file.ratings, file.n_test, shape, features)
    for row in file.first_rejected:
        _report_rejected(row)
    known_items = all_items if file.items else []
    return RatedData(ratings, file.scale, file.user_ids, file.item_ids, known_items, is_test, file.n_rejected)


def _report_rejected(row: "RejectedRow") -> None:
    sys.stderr.write(f"reckon: some rows were rejected, the first in {row.file}, line {row.line}: {row.reason}\n")
