"""The way out: ratings, items and users as files, such that importing them gives the same ones."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.entities import RatingScale
from app.errors import ConflictError
from app.intake.export_rows import (
    ITEM_NAMES,
    RATING_NAMES,
    USER_NAMES,
    as_digits,
    item_row,
    rating_rows,
    user_row,
)
from app.intake.layouts import EXPORT_CARD
from app.intake.table_writers import Format, TableWriter
from app.intake.writing import writing_in
from app.store import Store

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many rows were written, and where."""

    ratings: int
    items: int
    users: int
    files: list[Path]


def export_to(
    folder: Path,
    store: Store,
    format_: Format = Format.CSV,
    progress: Progress = lambda fraction, stage: None,  # noqa: ARG005  the default takes what every other takes
) -> ExportReport:
    """Writes `ratings`, `items` and `users` in `folder`, and a card with the rating scale.

    Files appear once all of them are complete. Times are exact to the microsecond, unknown ones empty; ids stand as
    they are. Raises `StorageFullError` where there is no room, `ConflictError` where the folder cannot be written to or
    holds an export in the other format, which an import would mix with this one.
    """
    with writing_in(folder):
        return _export(folder, store, format_, progress)


def _export(folder: Path, store: Store, format_: Format, progress: Progress) -> ExportReport:
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_mixture(folder, format_)
    with ExitStack() as stack:
        ratings, items, users = (
            stack.enter_context(TableWriter(folder / f"{name}.{format_.value}", names, format_))
            for name, names in (("ratings", RATING_NAMES), ("items", ITEM_NAMES), ("users", USER_NAMES))
        )
        # Ratings first: an item or user that comes meanwhile is then in the later files.
        total = max(1, store.ratings.count())
        for chunk in store.ratings.stream():
            ratings.write(rating_rows(chunk, format_))
            progress(min(1.0, ratings.n_rows / total), "ratings")
        items.write(item_row(item, format_) for item in store.items.stream())
        users.write(user_row(user, format_) for user in store.users.stream())
        progress(1.0, "items, users")
        for writer in (ratings, items, users):
            writer.publish()
    card = folder / EXPORT_CARD
    card.write_text(json.dumps({"scale": _exactly(store.installation.scale())}) + "\n")
    return ExportReport(ratings.n_rows, items.n_rows, users.n_rows, [ratings.path, items.path, users.path, card])


def _refuse_mixture(folder: Path, format_: Format) -> None:
    others = [folder / f"ratings.{other.value}" for other in Format if other is not format_]
    found = next((path for path in others if path.exists()), None)
    if found is not None:
        raise ConflictError(
            f"{found} is there already: an import of {folder} would read both; export to another folder"
        )


def _exactly(scale: RatingScale) -> str:
    """As `RatingScale.parse` reads it, with every digit."""
    ends = (scale.minimum, scale.maximum) if scale.step is None else (scale.minimum, scale.maximum, scale.step)
    return ":".join(map(as_digits, ends))
