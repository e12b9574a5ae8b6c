"""The table that `make bench` prints: one row for each figure, with its target."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    target: str
    measured: str
    note: str = ""


def as_text(rows: Sequence[Row]) -> str:
    """The rows under a heading, as a Markdown table whose columns line up."""
    table = [("what", "reach", "measured", "note"), *map(astuple, rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, cells, widths)) + " |" for cells in table]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
