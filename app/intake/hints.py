"""What a user states about files: the options that `reckon import`, `reckon evaluate` and `reckon tune` share."""

from dataclasses import dataclass, field
from enum import StrEnum

from app.errors import InvalidInputError
from app.intake.column_names.columns import Columns, Kind


class Shape(StrEnum):
    """How a file without a row per rating holds its ratings; a value of `--kind`."""

    MATRIX = "matrix"
    """Users in rows, items in columns."""
    ITEM_MATRIX = "item-matrix"
    """Items in rows, users in columns."""
    LISTS = "lists"
    """Each line is a user, then the items of that user."""
    COUNTED_LISTS = "counted-lists"
    """Each line is the number of items, then the items; the user is the number of the line."""
    BASKETS = "baskets"
    """Each line is the items of one user, who is the number of the line."""


def parse_kind(text: str | None) -> tuple[Kind | None, Shape | None]:
    """Return what a value of `--kind` states, a kind of rows or a shape; None states nothing.

    Raises `InvalidInputError` where the value is neither.
    """
    if text is None:
        return None, None
    name = text.strip().lower().replace(" ", "_")
    if name in set(Shape):
        return None, Shape(name)
    if name in set(Kind):
        return Kind(name), None
    raise InvalidInputError(f"--kind {text!r} is none of {', '.join([*Kind, *Shape])}", field="kind")


@dataclass(frozen=True, slots=True)
class FileHints:
    """Statements about files that override what Reckon recognises; a default means that nothing is stated.

    `columns`: the names of the columns; they describe a single file.
    `kind`: what the rows of the files are.
    `shape`: how the files hold ratings where they have no row per rating.
    `encoding`: a codec of Python for text files.
    `missing`: texts that stand for a missing rating, beside the common ones.
    `date_format`: how dates are written, as a format of `datetime.strptime`.
    `decimal`: the decimal sign of numbers, `.` or `,`.
    `is_export`: whether Reckon wrote the file, so that blanks around a value belong to it.
    """

    columns: Columns = field(default_factory=Columns)
    kind: Kind | None = None
    shape: Shape | None = None
    encoding: str | None = None
    missing: frozenset[str] = frozenset()
    date_format: str | None = None
    decimal: str | None = None
    is_export: bool = False


NO_HINTS = FileHints()
