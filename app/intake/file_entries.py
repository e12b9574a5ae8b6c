"""Loads the items or users of a file without a database, for `reckon evaluate` and `reckon tune`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from app.entities import Item, User
from app.errors import InvalidInputError
from app.intake.blocks import Block, RejectedRow
from app.intake.cells.left_out import LeftOut, count_left_out
from app.intake.column_names.columns import Columns, Kind
from app.intake.entries import ReadPatches, read_items, read_users
from app.intake.hints import NO_HINTS, FileHints
from app.intake.layouts import recognise

Entry = TypeVar("Entry", Item, User)


@dataclass(frozen=True, slots=True)
class FileEntries(Generic[Entry]):
    """Entries as an import into an empty store makes them, in the order of their first rows.

    `rejected`: rows that could not be read. `left_out`: cells of `entries` that could not be read, by column.
    """

    entries: list[Entry]
    rejected: list[RejectedRow]
    left_out: list[LeftOut]


def load_items(path: Path, hints: FileHints = NO_HINTS) -> FileEntries[Item]:
    """Load the items of a file, folder or zip in any layout that `reckon import` reads.

    `hints`: what the user states about the ratings that belong to the items; the columns of this file differ.

    Raises `InvalidInputError` if it holds none.
    """
    return _load(path, Kind.ITEMS, read_items, Item, hints)


def load_users(path: Path, hints: FileHints = NO_HINTS) -> FileEntries[User]:
    """Load users, as `load_items` loads items."""
    return _load(path, Kind.USERS, read_users, User, hints)


def _load(
    path: Path, kind: Kind, read: Callable[[Block], ReadPatches], make: Callable[[str], Entry], hints: FileHints
) -> FileEntries[Entry]:
    entries: dict[str, Entry] = {}
    rejected: list[RejectedRow] = []
    left_out: list[LeftOut] = []
    # The user states that a file holds items or users. A folder may hold ratings besides.
    stated = kind if path.is_file() else None
    for table in recognise(path, replace(hints, columns=Columns(), kind=stated)).tables_of(kind):
        for block in table.blocks():
            part = read(block)
            for patch in part.patches:
                entry = entries.get(patch.entry_id) or make(patch.entry_id)
                entries[patch.entry_id] = replace(entry, **patch.values(entry.attributes))
            rejected += part.rejected
            count_left_out(left_out, part.left_out)
    if not entries:
        reason = f": {rejected[0].reason} (line {rejected[0].line})" if rejected else ""
        raise InvalidInputError(f"{path} holds no {kind.value}{reason}", field=kind.value)
    return FileEntries(list(entries.values()), rejected, left_out)
