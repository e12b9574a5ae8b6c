"""Applies patches to stored rows of items or users, one after the other."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.entities import MAX_ATTRIBUTES, AttributeValue, Patch
from app.errors import InvalidInputError
from app.store.ratings import REPLACED, STORED, UNCHANGED

Columns = Mapping[str, Any]
"""Values of columns by name, as rows hold them."""


class PatchedRows:
    """Rows by the id of their item or user, as they are after the patches so far."""

    def __init__(self, rows: Mapping[str, dict[str, Any]], new_ids: Collection[str]) -> None:
        """`rows`: as stored. `new_ids`: those that are new, whose rows hold defaults."""
        self._rows = rows
        self._new_ids = set(new_ids)
        # Dictionaries instead of sets, for their order.
        self._changed_ids: dict[str, None] = {}
        self._changed_columns: dict[str, None] = {}

    def __getitem__(self, entry_id: str) -> Columns:
        return self._rows[entry_id]

    def apply(self, entry_id: str, values: Columns) -> int:
        """Set columns of one row; return STORED the first time for a new row, otherwise REPLACED or UNCHANGED."""
        row = self._rows[entry_id]
        is_changed = any(row[name] != value or _differ_in_kind(row[name], value) for name, value in values.items())
        if is_changed:
            row.update(values)
            self._changed_ids[entry_id] = None
            self._changed_columns |= dict.fromkeys(values)
        if entry_id in self._new_ids:
            self._new_ids.remove(entry_id)
            return STORED
        return REPLACED if is_changed else UNCHANGED

    def to_write(
        self, keys: Mapping[str, int], also: Collection[str] = ()
    ) -> tuple[Sequence[str], list[dict[str, Any]]]:
        """Return the names of all columns that changed in any row, and for each changed row its `key` and these.

        `also`: ids of rows to write even if they did not change.
        """
        # All rows have the same columns, so that the driver writes them in bulk.
        names = list(self._changed_columns)
        rows = ((keys[entry_id], self._rows[entry_id]) for entry_id in self._changed_ids | dict.fromkeys(also))
        return names, [{"key": key, **{name: row[name] for name in names}} for key, row in rows]


def check_n_attributes(patch: Patch, attributes: Mapping[str, AttributeValue], field: str) -> None:
    """Raise `InvalidInputError` if `patch` adds to the stored `attributes` more than a request may store.

    `field`: the part of the input that holds the patch.
    """
    n_attributes = len(patch.values(attributes).get("attributes", ()))
    # An import may have stored more, and a patch must still be able to change those.
    if n_attributes > max(MAX_ATTRIBUTES, len(attributes)):
        message = f"there may be at most {MAX_ATTRIBUTES} attributes, and this patch makes {n_attributes}"
        raise InvalidInputError(message, field=f"{field}.attributes")


def _differ_in_kind(stored: Any, value: Any) -> bool:
    """Whether attributes that are equal in Python differ in JSON, as 1, 1.0 and true do."""
    return type(value) is dict and any(type(value[name]) is not type(kept) for name, kept in stored.items())
