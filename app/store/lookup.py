"""Small reads on the path of every answer: one statement, one parameter."""

from dataclasses import dataclass
from typing import Any

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Lookup:
    """`statement` holds one `?`, of type `by`, and names its `columns`; both databases take the same text.

    A database that is far away answers many who wait for the same look-up by one statement.
    """

    statement: str
    by: type[str | int]
    columns: tuple[str, ...]
