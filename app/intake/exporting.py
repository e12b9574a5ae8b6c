"""Exports everything that is stored to files, from which an import restores the same state."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from app.algorithms.progress import ProgressCallback, ignore
from app.entities import Event, RatingScale
from app.errors import ConflictError, InvalidInputError
from app.intake.export_rows import (
    EVENT_NAMES,
    EVENT_TYPE_NAMES,
    MARKED_ITEM_NAMES,
    PLACEMENT_NAMES,
    RATING_NAMES,
    TEXT_NAMES,
    USER_NAMES,
    as_digits,
    event_row,
    event_type_row,
    marked_item_row,
    placement_row,
    rating_rows,
    user_row,
)
from app.intake.files.table_writers import Format, TableWriter, writing_in
from app.intake.layouts import EXPORT_CARD, FOR, FOR_SPREADSHEETS
from app.store import Store

_EVENTS_PER_REPORT = 10_000
COLUMNS = {
    "ratings": RATING_NAMES,
    "events": EVENT_NAMES,
    "items": MARKED_ITEM_NAMES,
    "users": USER_NAMES,
    "event_types": EVENT_TYPE_NAMES,
    "placements": PLACEMENT_NAMES,
}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """`counts`: the number of rows by file name without suffix. `files`: the paths of all files."""

    counts: dict[str, int]
    files: list[Path]


def export_to(
    folder: Path,
    store: Store,
    format_: Format = Format.CSV,
    progress: ProgressCallback = ignore,
    *,
    is_for_spreadsheets: bool = False,
) -> ExportReport:
    """Write one file for each kind of entity to `folder`, and a card with the rating scale.

    `is_for_spreadsheets`: mark text that a spreadsheet would run as a formula, and say so on the card, by which an
    import takes the marks away.

    Files get their final names once all of them are complete. Times are exact to the microsecond; unknown times are
    empty. Fields are written unchanged but for marks.

    Raises `InvalidInputError` for JSONL for spreadsheets, `StorageFullError` if there is no space left, and
    `ConflictError` if the folder cannot be written to or holds an export in the other format, which an import would mix
    with this one.
    """
    if is_for_spreadsheets and format_ is not Format.CSV:
        raise InvalidInputError("spreadsheets read CSV, not JSONL", field="for_spreadsheets")
    with writing_in(folder):
        return _export(folder, store, format_, progress, is_for_spreadsheets=is_for_spreadsheets)


def _export(
    folder: Path, store: Store, format_: Format, progress: ProgressCallback, *, is_for_spreadsheets: bool
) -> ExportReport:
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_mixture(folder, format_)
    marked = TEXT_NAMES if is_for_spreadsheets else frozenset()
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(TableWriter(folder / f"{name}.{format_.value}", columns, format_, marked))
            for name, columns in COLUMNS.items()
        }
        # Ratings and events are read first, so that every item, user and type that they name is in a later file, even
        # if it is added during the export.
        n_ratings, n_events = store.ratings.count(), store.events.count()
        total = max(1, n_ratings + n_events)
        for chunk in store.ratings.stream():
            writers["ratings"].write(rating_rows(chunk, format_))
            progress(min(1.0, writers["ratings"].n_rows / total), "ratings")
        events = _reporting(store.events.stream(), lambda n: progress(min(1.0, (n_ratings + n) / total), "events"))
        writers["events"].write(event_row(event, format_) for event in events)
        writers["items"].write(marked_item_row(*each, format_) for each in store.items.stream_marked())
        writers["users"].write(user_row(user, format_) for user in store.users.stream())
        types = store.events.types().values()
        writers["event_types"].write(event_type_row(declared, format_) for declared in types)
        placements = store.placements.all().items()
        writers["placements"].write(placement_row(name, settings, format_) for name, settings in placements)
        progress(1.0, "items, users and settings")
        for writer in writers.values():
            writer.publish()
    card = folder / EXPORT_CARD
    kind = {FOR: FOR_SPREADSHEETS} if is_for_spreadsheets else {}
    card.write_text(json.dumps({"scale": _exactly(store.instance.scale())} | kind) + "\n")
    counts = {name: writer.n_rows for name, writer in writers.items()}
    return ExportReport(counts, [*(writer.path for writer in writers.values()), card])


def _reporting(events: Iterator[Event], progress: Callable[[int], None]) -> Iterator[Event]:
    """Yield `events` and report the number of events yielded so far."""
    for number, event in enumerate(events, start=1):
        yield event
        # Ratings come in chunks, events one by one: a report for each would take longer than writing it.
        if number % _EVENTS_PER_REPORT == 0:
            progress(number)


def _refuse_mixture(folder: Path, format_: Format) -> None:
    others = [folder / f"ratings.{other.value}" for other in Format if other is not format_]
    existing = next((path for path in others if path.exists()), None)
    if existing is not None:
        raise ConflictError(f"{existing} exists, and an import of {folder} would read both: export to another folder")


def _exactly(scale: RatingScale) -> str:
    """Format a scale for `RatingScale.parse`, with every digit."""
    if scale.kind != "stars":
        return str(scale)
    ends = (scale.minimum, scale.maximum) if scale.step is None else (scale.minimum, scale.maximum, scale.step)
    return ":".join(map(as_digits, ends))
