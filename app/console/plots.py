"""Plots as Vega-Lite specifications (Satyanarayan et al., 2017), with the table of their values.

`static/console.js` draws them. Without JavaScript, and for readers who cannot see them, the table says the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]
Row = Sequence[Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
"""The name of the language; nothing is loaded from there."""

MAX_ROWS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Plot:
    """`meaning`: what it shows, in a sentence. `columns`: names of the values. `rows`: (n, columns) values; None is a
    missing one. `marks`: the part of the specification that says how the rows are drawn. `empty`: what to say, and to
    do, where there are no rows. Raises `ValueError` for a row of another length.
    """

    title: str
    meaning: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    marks: Spec
    empty: str = "There is nothing to show yet."
    height: int = 220
    spec: Spec = field(init=False)

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of the plot {self.title!r} has not {len(self.columns)} values")
        values = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        spec = {"$schema": SCHEMA, "width": "container", "height": self.height, "data": {"values": values}} | self.marks
        # Set through `object` because the class is frozen.
        object.__setattr__(self, "spec", spec)

    @property
    def rows_shown(self) -> Sequence[Row]:
        return self.rows[:MAX_ROWS_SHOWN]

    @property
    def n_left_out(self) -> int:
        return max(len(self.rows) - MAX_ROWS_SHOWN, 0)


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small line of values at equal distances. `label`: what a reader is told who cannot see it."""

    values: Sequence[float]
    label: str
    width: int = 100
    height: int = 30

    @property
    def points(self) -> str:
        """The corners of an SVG polyline."""
        if not self.values:
            return ""
        # A line of zeros lies at the bottom.
        most, step = max(*self.values, 0) or 1, self.width / max(len(self.values) - 1, 1)
        return " ".join(
            f"{place * step:.1f},{(self.height - 1) - (self.height - 2) * value / most:.1f}"
            for place, value in enumerate(self.values)
        )


def channel(name: str, kind: str, **options: Any) -> Spec:
    """How a column is drawn. `kind`: `quantitative`, `temporal`, `nominal` or `ordinal`."""
    # Dots and brackets in a name would be read as a path.
    escaped = name.replace("\\", "\\\\").replace(".", "\\.").replace("[", "\\[").replace("]", "\\]")
    return {"field": escaped, "type": kind, "title": name} | options


def bars(x: str, y: str, *, x_kind: str = "ordinal", colour: str | None = None, sort: Any = None) -> Spec:
    """A bar for each row."""
    encoding: dict[str, Any] = {"x": channel(x, x_kind, sort=sort), "y": channel(y, "quantitative")}
    if colour is not None:
        encoding["color"] = channel(colour, "nominal")
    encoding["tooltip"] = _tooltip(encoding)
    return {"mark": {"type": "bar"}, "encoding": encoding}


def lines(
    x: str, y: str, *, x_kind: str = "quantitative", series: str | None = None, zero: bool = False, points: bool = True
) -> Spec:
    """A line for each value of `series`, or one. `zero`: whether the y axis begins at 0."""
    encoding: dict[str, Any] = {
        "x": channel(x, x_kind),
        "y": channel(y, "quantitative", scale={"zero": zero}),
    }
    if series is not None:
        encoding["color"] = channel(series, "nominal")
    encoding["tooltip"] = _tooltip(encoding)
    return {"mark": {"type": "line", "point": points}, "encoding": encoding}


def _tooltip(encoding: Mapping[str, Spec]) -> list[Spec]:
    return [{name: each[name] for name in ("field", "type", "title")} for each in encoding.values()]
