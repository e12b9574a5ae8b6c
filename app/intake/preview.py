"""Shows what an import would read: what the files are, what their columns are, and their first rows as stored."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.entities import (
    UNKNOWN_TIME,
    IncomingEvents,
    IncomingRatings,
    Patch,
    from_microseconds,
    to_microseconds,
)
from app.errors import InvalidInputError
from app.intake.blocks import Block, InputTable, RejectedRow
from app.intake.column_names.columns import IGNORED_NAMES, Kind, field_names
from app.intake.configuration import read_event_type, read_placement
from app.intake.entries import read_items, read_users
from app.intake.events import EventReader
from app.intake.export_rows import EVENT_NAMES, RATING_NAMES
from app.intake.hints import NO_HINTS, FileHints
from app.intake.layouts import recognise
from app.intake.ratings import RatingReader

ATTRIBUTE = "attribute"
IGNORED = "ignored"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FilePreview:
    """What an import would read of one file.

    `format`: what the format is called; empty for a file that is not imported.
    `kind`: what the rows are; None for a file that is not imported.
    `columns`: by the name in the file, the name in Reckon, `ATTRIBUTE` or `IGNORED`.
    `rows`: the first rows as they would be stored; times in ISO 8601, None where missing.
    `rejected`: of the first rows, those that would be rejected.
    `problem`: why the file is not imported; empty for others.
    """

    file: str
    format: str = ""
    kind: Kind | None = None
    columns: dict[str, str] = field(default_factory=dict)
    rows: Sequence[Row] = ()
    rejected: Sequence[RejectedRow] = ()
    problem: str = ""

    def as_json(self) -> Row:
        """Return the preview as a dictionary that `json.dumps` accepts."""
        return asdict(self) | {"rows": list(self.rows), "rejected": [asdict(row) for row in self.rejected]}


def preview(path: Path, n_rows: int, hints: FileHints = NO_HINTS) -> list[FilePreview]:
    """Preview the first `n_rows` rows of each file at `path`; files that would not be imported come last.

    Values are not checked against a rating scale, and types of events not against those that exist.

    Raises `InvalidInputError` where an import would refuse the whole path.
    """
    content = recognise(path, hints)
    tables = [_preview(table, n_rows) for table in content.tables]
    why = {name: f"{name} is none of the files that are read here" for name in content.ignored} | content.refused
    return tables + [FilePreview(name, problem=why[name]) for name in content.ignored]


def _preview(table: InputTable, n_rows: int) -> FilePreview:
    rows: list[Row] = []
    rejected: list[RejectedRow] = []
    for block in _first(table, n_rows):
        good, bad = _read(table.kind, block)
        rows += good
        rejected += bad
    columns = {name: _use(table.kind, name, ours) for name, ours in table.names.items()}
    return FilePreview(table.file.display_name, table.format, table.kind, columns, rows, rejected)


def _first(table: InputTable, n_rows: int) -> Iterator[Block]:
    """Yield blocks with the first rows, those that cannot be parsed included."""
    for block in table.blocks():
        columns = {name: column[:n_rows] for name, column in block.columns.items()}
        yield replace(block, columns=columns, lines=block.lines[:n_rows], rejected=block.rejected[:n_rows])
        n_rows -= len(block) + len(block.rejected)
        if n_rows <= 0:
            return


def _use(kind: Kind, name: str, ours: str) -> str:
    known = {"user_id", "item_id"} if kind in {Kind.RATINGS, Kind.EVENTS} else {f"{kind.value.removesuffix('s')}_id"}
    known |= {*field_names(kind), *{Kind.RATINGS: RATING_NAMES, Kind.EVENTS: EVENT_NAMES}.get(kind, ())}
    if kind is Kind.EVENT_TYPES:
        known.add("type")
    if ours in known:
        return ours
    is_attribute = kind in {Kind.ITEMS, Kind.USERS} and ours not in IGNORED_NAMES and name not in IGNORED_NAMES
    return ATTRIBUTE if is_attribute else IGNORED


def _read(kind: Kind, block: Block) -> tuple[list[Row], list[RejectedRow]]:
    """Convert the rows of a block as an import does."""
    now = to_microseconds(datetime.now(UTC))
    match kind:
        case Kind.RATINGS:
            ratings = RatingReader(now).read(block)
            return _rows(RATING_NAMES, ratings.ratings), ratings.rejected
        case Kind.EVENTS:
            # An import creates the types that do not exist.
            events = EventReader(now, lambda _: None).read(block)
            return _rows(EVENT_NAMES, events.events), events.rejected
        case Kind.ITEMS:
            items = read_items(block)
            return [_entry_row("item_id", patch) for patch in items.patches], items.rejected
        case Kind.USERS:
            users = read_users(block)
            return [_entry_row("user_id", patch) for patch in users.patches], users.rejected
    return _configuration_rows(kind, block)


def _rows(names: Sequence[str], columns: IncomingRatings | IncomingEvents) -> list[Row]:
    cells = zip(*(getattr(columns, name) for name in names), strict=True)
    return [{name: _shown(name, cell) for name, cell in zip(names, row, strict=True)} for row in cells]


def _entry_row(id_name: str, patch: Patch) -> Row:
    """The id and the fields that a row names; an import keeps the others. An attribute to remove is None."""
    fields = dict(patch.fields)
    if patch.attributes:
        fields["attributes"] = {**fields.get("attributes", {}), **patch.attributes}
    return {id_name: patch.entry_id} | {name: _shown(name, value) for name, value in fields.items()}


def _configuration_rows(kind: Kind, block: Block) -> tuple[list[Row], list[RejectedRow]]:
    rows, rejected = [], list(block.rejected)
    for index, cells in enumerate(zip(*block.columns.values(), strict=True)):
        row = dict(zip(block.columns, cells, strict=True))
        try:
            if kind is Kind.EVENT_TYPES:
                rows.append(asdict(read_event_type(row)))
            else:
                # The settings are checked by the import alone, which knows what the service accepts.
                name, settings = read_placement(row, lambda _, settings: dict(settings))
                rows.append({"placement": name, "settings": settings})
        except InvalidInputError as error:
            rejected.append(block.reject(index, f"{error.field}: {error}"))
    return rows, rejected


def _shown(name: str, cell: Any) -> Any:
    """Return a stored value as JSON has it."""
    if isinstance(cell, datetime):
        return cell.isoformat()
    if name in {"rated_at", "at"}:
        return None if cell == UNKNOWN_TIME else from_microseconds(int(cell)).isoformat()
    if isinstance(cell, np.floating | float):
        return None if math.isnan(cell) else float(cell)
    return list(cell) if isinstance(cell, tuple) else cell
