"""Draws plots as SVG for an HTML page, whose style sheet colours the classes `s0` to `s7` for light and dark mode."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app.evaluation.report_data import ItemMap, Point, Series

N_COLOURS = 8
_WIDTH, _HEIGHT = 560, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 14, 44
_MAP_WIDTH, _MAP_HEIGHT = 1120, 680
_MAX_LABELS = 60
# The approximate width of a letter and height of a line of a label, in pixels.
_LETTER, _LINE = 6.2, 14


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps the values `low` to `high` to the pixels `start` to `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    @property
    def ticks(self) -> list[float]:
        step = _nice_step(self.high - self.low)
        # The tolerance keeps a tick at the end of the axis in spite of rounding.
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]


def _nice_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, such that four to nine steps fit into the span."""
    power = 10.0 ** math.floor(math.log10(span / 4))
    return next(power * factor for factor in (5, 2, 1) if span / (power * factor) >= 4)  # noqa: PLR2004  ticks


def _axis(values: Sequence[float], start: float, stop: float, margin: float = 0.06) -> _Axis:
    low, high = min(values), max(values)
    # An axis of equal values still needs a width.
    room = (high - low) * margin or abs(high) * margin or 1.0
    return _Axis(low - room, high + room, start, stop)


def line_plot(series: Series, names: Sequence[str], x_label: str, y_label: str, *, as_percent: bool = False) -> str:
    """Draw a line with points for each series.

    `names`: the series of all plots of a page, so that a series has the same colour in all of them.
    `as_percent`: whether x is written as a percentage.
    """
    points = [point for line in series.values() for point in line]
    x_axis = _axis([point.x for point in points], _LEFT, _WIDTH - _RIGHT)
    y_axis = _axis([point.y for point in points], _HEIGHT - _BOTTOM, _TOP)
    label = f"{y_label} by {x_label}: {', '.join(series)}"
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    parts += _frame(x_axis, y_axis, x_label, y_label, as_percent=as_percent)
    styles = {name: _style(names.index(name)) for name in series}
    for name, line in series.items():
        parts += _line(line, x_axis, y_axis, styles[name])
    return "".join([*parts, "</svg>", _legend(styles) if len(series) > 1 else ""])


def _legend(styles: Mapping[str, str]) -> str:
    entries = (f'<li><i class="{style}"></i>{escape(name)}</li>' for name, style in styles.items())
    return f'<ul class="legend">{"".join(entries)}</ul>'


def _style(place: int) -> str:
    """Return the classes of a series; colours repeat after the last, with dashed lines."""
    return f"s{place % N_COLOURS}" + (" again" if place >= N_COLOURS else "")


def _frame(x_axis: _Axis, y_axis: _Axis, x_label: str, y_label: str, *, as_percent: bool) -> list[str]:
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.at(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    for tick in x_axis.ticks:
        x, shown = x_axis.at(tick), f"{_number(tick * 100)} %" if as_percent else _number(tick)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{shown}</text>')
    bottom = _HEIGHT - _BOTTOM
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{bottom}"/>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="name" x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    across = (_TOP + bottom) / 2
    turned = f'transform="rotate(-90 14 {across})"'
    parts.append(f'<text class="name" x="14" y="{across}" text-anchor="middle" {turned}>{escape(y_label)}</text>')
    return parts


def _number(value: float) -> str:
    return f"{round(value, 10):g}"


def _line(points: Sequence[Point], x_axis: _Axis, y_axis: _Axis, style: str) -> list[str]:
    places = [(f"{x_axis.at(point.x):.1f}", f"{y_axis.at(point.y):.1f}") for point in points]
    path = " ".join(",".join(place) for place in places)
    dots = (
        f'<circle cx="{x}" cy="{y}" r="4"><title>{escape(point.note)}</title></circle>'
        for (x, y), point in zip(places, points, strict=True)
    )
    return [f'<g class="{style}"><polyline points="{path}"/>{"".join(dots)}</g>']


def map_plot(items: ItemMap, titles: Sequence[str], groups: Sequence[str]) -> str:
    """Draw every item as a dot whose size grows with its number of ratings. The tooltip holds the title.

    The most rated items have labels. `titles`, `groups`: by item row; the most frequent groups have colours and a
    legend.
    """
    x_axis = _axis(items.places[:, 0].tolist(), 20, _MAP_WIDTH - 20, margin=0.02)
    y_axis = _axis(items.places[:, 1].tolist(), _MAP_HEIGHT - 20, 20, margin=0.02)
    styles = {group: _style(place) for place, group in enumerate(_most_frequent([groups[row] for row in items.rows]))}
    # The items are sorted by their number of ratings. Counts have a long tail, so the radius grows with log(1 + n).
    most = math.log1p(float(items.n_ratings[0]))
    dots, centres = [], []
    for row, (x, y), n in zip(items.rows.tolist(), items.places.tolist(), items.n_ratings.tolist(), strict=True):
        centre = (x_axis.at(x), y_axis.at(y))
        note = f"{titles[row]} ({n:,} ratings)" + (f", {groups[row]}" if groups[row] else "")
        style = styles.get(groups[row], "other" if styles else "s0")
        radius = 1.5 + 5.5 * math.log1p(n) / most
        dots.append(
            f'<circle class="{style}" cx="{centre[0]:.1f}" cy="{centre[1]:.1f}" r="{radius:.1f}">'
            f"<title>{escape(note)}</title></circle>"
        )
        centres.append(centre)
    names = _labels(centres, [titles[row] for row in items.rows])
    # SVG paints in order, so the most rated items are drawn last and lie on top.
    drawn = "".join(reversed(dots))
    svg = f'<svg class="map" viewBox="0 0 {_MAP_WIDTH} {_MAP_HEIGHT}" role="img" aria-label="map of the items">'
    return f"{svg}{drawn}{''.join(names)}</svg>{_legend(styles) if styles else ''}"


def _most_frequent(groups: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    for group in groups:
        if group:
            counts[group] = counts.get(group, 0) + 1
    return sorted(counts, key=lambda group: (-counts[group], group))[:N_COLOURS]


def _labels(centres: Sequence[tuple[float, float]], titles: Sequence[str]) -> list[str]:
    """Return the titles beside their dots, the most rated items first, where there is room."""
    taken: list[tuple[float, float, float]] = []
    labels = []
    for (x, y), title in zip(centres, titles, strict=True):
        shown = title if len(title) <= 28 else f"{title[:27]}…"  # noqa: PLR2004  longer ones cover too much
        width = _LETTER * len(shown)
        # A label is left out if it overlaps one that is already there: on another line, or beside it, it does not.
        is_free = all(abs(y - line) > _LINE or x + 10 > right or left > x + 10 + width for left, right, line in taken)
        if is_free and x + 10 + width < _MAP_WIDTH:
            taken.append((x, x + 10 + width, y))
            labels.append(f'<text class="label" x="{x + 10:.1f}" y="{y + 4:.1f}">{escape(shown)}</text>')
            if len(labels) == _MAX_LABELS:
                break
    return labels
