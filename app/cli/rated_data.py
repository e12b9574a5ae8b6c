"""Loads files of ratings, items and users as one matrix with features, for `evaluate` and `tune`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.entities import RatingScale
    from app.evaluation.rated_data import RatedData
    from app.intake.blocks import RejectedRow
    from app.intake.hints import FileHints
    from app.intake.rated_file import RatedFile


def load_rated_data(
    path: Path,
    test: Path | None = None,
    *,
    hints: "FileHints | None" = None,
    items: Path | None = None,
    users: Path | None = None,
    scale: "RatingScale | None" = None,
) -> "RatedData":
    """Load the files. Items and users without ratings also have rows in the matrix.

    `scale`: by default detected. Ratings that are not on it are left out, as by an import.

    Raises `InvalidInputError` for a file without the ratings, items or users that it should hold.
    """
    from app.entities import Item, User
    from app.evaluation.rated_data import RatedData, newest_ratings, on_scale
    from app.intake.hints import NO_HINTS
    from app.intake.rated_file import load_rated_file
    from app.scoring.features import describe
    from app.training.dataset import learnable

    file = load_rated_file(path, test, hints=hints or NO_HINTS, items=items, users=users)
    all_items = [file.items.get(item_id) or Item(item_id) for item_id in file.item_ids]
    features = None
    if file.items or file.users:
        features, _ = describe(all_items, [file.users.get(user_id) or User(user_id) for user_id in file.user_ids])
    shape = (len(file.user_ids), len(file.item_ids))
    scale_used = scale or file.detection.scale
    columns_on_scale, n_test = on_scale(file.ratings, file.n_test, scale_used)
    set_aside = file.detection.missing_of(scale_used)
    n_off_scale = len(file.ratings) - len(columns_on_scale) - set_aside.total
    notes = file.detection.notes(scale_used, set_aside.values, {}, is_asking=scale is None)
    ratings, is_test, n_shared = newest_ratings(columns_on_scale, n_test, shape, features)
    ratings = learnable(ratings, scale_used)
    for note in file.notes:
        sys.stderr.write(f"reckon: {note}\n")
    for row in file.first_rejected:
        _report_rejected(row)
    return RatedData(
        ratings,
        scale_used,
        file.user_ids,
        file.item_ids,
        all_items if file.items else [],
        is_test,
        file.n_rejected,
        n_shared,
        # The notes name outliers.
        n_off_scale=n_off_scale - (file.detection.outliers.total if scale_used == file.detection.scale else 0),
        is_scale_detected=scale is None,
        notes=[*_missing_notes(file.n_missing), *notes],
        warnings=_warnings(file, scale_used, n_off_scale),
    )


def _missing_notes(n_missing: int) -> list[str]:
    return [f"{n_missing:,} rows have a value that --missing names and were left out"] if n_missing else []


def _warnings(file: "RatedFile", scale: "RatingScale", n_off_scale: int) -> list[str]:
    """Warn of rejected rows as `reckon import` does. `n_off_scale`: ratings that are not on the `scale`."""
    from app.intake.report import REJECTED_SHARE, rejection_warning

    n_rejected = file.n_rejected + n_off_scale
    share = n_rejected / max(1, n_rejected + len(file.ratings) - n_off_scale - file.detection.missing_of(scale).total)
    reason = file.first_rejected[0].reason if file.first_rejected else f"value: {scale.fault}"
    return [rejection_warning(share, reason)] if share > REJECTED_SHARE else []


def _report_rejected(row: "RejectedRow") -> None:
    sys.stderr.write(f"reckon: some rows were rejected, the first in {row.file}, line {row.line}: {row.reason}\n")
