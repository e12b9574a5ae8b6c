"""Rows of one table in bulk, given as columns: inserted, or merged into the rows that are there."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Upsert:
    """A statement that both databases can be given.

    `columns`: name and Postgres type of each. `key`: the names of the primary key's. `merged`: name and new value, an
    expression over the table's and `excluded`'s columns, of what changes in a row that is there; nothing: it stays.
    """

    table: str
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    merged: tuple[tuple[str, str], ...] = ()

    def _statement(self, rows: str) -> str:
        changes = ", ".join(f"{name} = {value}" for name, value in self.merged)
        return (
            f"INSERT INTO {self.table} ({self._names}) {rows}"
            f" ON CONFLICT ({', '.join(self.key)}) {f'DO UPDATE SET {changes}' if changes else 'DO NOTHING'}"
        )

    @property
    def _names(self) -> str:
        return ", ".join(name for name, _ in self.columns)

    @cached_property
    def of_one(self) -> str:
        """Takes one row."""
        return self._statement(f"VALUES ({', '.join('?' * len(self.columns))})")

    @cached_property
    def of_arrays(self) -> str:
        """Takes an array a column; locks rows in the order of their keys, as every other does."""
        arrays = ", ".join(f"%s::{type_}[]" for _, type_ in self.columns)
        given = f"unnest({arrays}) AS given ({self._names})"
        return self._statement(f"SELECT * FROM {given} ORDER BY {', '.join(self.key)}")  # noqa: S608  names of ours
