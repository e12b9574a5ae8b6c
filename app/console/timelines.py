"""Counts by day, month or year, for plots over time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from app.console.plots import Row, Spec, lines
from app.entities import UNKNOWN_TIME

MAX_POINTS = 60
"""Of a line with more periods, the points would cover it."""

MANY_MONTHS = 600
"""Beyond them, as where one time is wrong by centuries, years are counted."""


def by_period(series: Mapping[str, NDArray[np.int64]]) -> tuple[str, list[Row]]:
    """Returns the unit, and rows: the first day of a period, the name of a series, how many of its times are in it.

    The unit is `month`, `day` for times within two months, or `year` for times that are centuries apart. `series`:
    times in microseconds UTC by name; unknown ones are left out. Periods between the first and the last one without
    any time are zeros, not gaps.
    """
    known = {name: times[times != UNKNOWN_TIME].astype("datetime64[us]") for name, times in series.items()}
    months = np.concatenate([times.astype("datetime64[M]") for times in known.values()])
    n_months = int((months.max() - months.min()).astype(int)) if len(months) else 0
    unit = "day" if n_months <= 1 else "month" if n_months <= MANY_MONTHS else "year"
    code = {"day": "datetime64[D]", "month": "datetime64[M]", "year": "datetime64[Y]"}[unit]
    periods = {name: times.astype(code) for name, times in known.items()}
    every = np.concatenate(list(periods.values()))
    if not len(every):
        return unit, []
    axis = np.arange(every.min(), every.max() + 1)
    names = axis.astype("datetime64[D]").astype(str).tolist()
    counts = {name: np.bincount((of - axis[0]).astype(np.int64), minlength=len(axis)) for name, of in periods.items()}
    return unit, [(at, name, int(counts[name][place])) for place, at in enumerate(names) for name in series]


def over_time(unit: str, n: str, n_periods: int, *, series: str | None = None) -> Spec:
    """How `by_period` is drawn. `n`, `series`: the columns of the numbers and of the names."""
    return lines(unit, n, x_kind="temporal", zero=True, points=n_periods <= MAX_POINTS, series=series)
