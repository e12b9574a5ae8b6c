"""Loads the items or users of a file without a database, for `reckon evaluate` and `reckon tune`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from app.entities import Item, User
from app.errors import InvalidInputError
from app.intake.blocks import Block, RejectedRow
from app.intake.columns import Kind
from app.intake.entries import Entry, ReadEntries, read_items, read_users
from app.intake.layouts import recognise


@dataclass(frozen=True, slots=True)
class FileEntries(Generic[Entry]):
    """Entries in the order of the file; an id may occur more than once. `rejected`: rows that could not be read."""

    entries: list[Entry]
    rejected: list[RejectedRow]


def load_items(path: Path) -> FileEntries[Item]:
    """Load the items of a file, folder or zip in any layout that `reckon import` reads.

    Raises `InvalidInputError` if it holds none.
    """
    return _load(path, Kind.ITEMS, read_items)


def load_users(path: Path) -> FileEntries[User]:
    """Load users, as `load_items` loads items."""
    return _load(path, Kind.USERS, read_users)


def _load(path: Path, kind: Kind, read: Callable[[Block], ReadEntries[Entry]]) -> FileEntries[Entry]:
    entries: list[Entry] = []
    rejected: list[RejectedRow] = []
    for table in recognise(path).tables_of(kind):
        for block in table.blocks():
            part = read(block)
            entries += part.entries
            rejected += part.rejected
    if not entries:
        reason = f": {rejected[0].reason} (line {rejected[0].line})" if rejected else ""
        raise InvalidInputError(f"{path} holds no {kind.value}{reason}", field=kind.value)
    return FileEntries(entries, rejected)
