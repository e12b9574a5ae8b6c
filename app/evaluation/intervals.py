"""Confidence intervals of means by the bootstrap (Efron 1979), which draws the measured units with replacement.

Algorithms that are measured on the same units with the same seed get the same draws. The differences of two algorithms
per resample are then a paired bootstrap, in which units that are hard for both algorithms cancel.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 1000
LEVEL = 0.95
MAX_UNITS = 5_000
"""More units are put into this many bags at random, and bags are drawn; the variance changes by less than 2 %."""

_DRAWS_PER_BATCH = 1_000_000
_MIN_UNITS = 2

Resamples = NDArray[np.float64]
"""(N_RESAMPLES,) the value of a metric in each resample."""


def resampled_means(values: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (N_RESAMPLES, m) means over n units drawn with replacement, of the (n, m) `values` of n units.

    NaN means not measured and is left out of the mean of its column; a mean without measured units is NaN. With fewer
    than two units all means are NaN, because one unit has no variance.
    """
    n, m = values.shape
    if n < _MIN_UNITS:
        return np.full((N_RESAMPLES, m), np.nan)
    # The mean of a column is its sum over measured units / their number; both sums are resampled together.
    is_measured = ~np.isnan(values)
    summands = np.hstack([np.where(is_measured, values, 0.0), is_measured])
    if n > MAX_UNITS:
        summands, n = _sums_of_bags(summands, rng.permutation(n) % MAX_UNITS), MAX_UNITS
    batches = np.array_split(np.arange(N_RESAMPLES), max(1, N_RESAMPLES * n // _DRAWS_PER_BATCH))
    # A resample is a vector of how often each unit is drawn, so the sums of all resamples are one matrix product.
    sums = np.vstack([_times_drawn(len(batch), n, rng) @ summands for batch in batches])
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: nothing was measured
        means: NDArray[np.float64] = sums[:, :m] / sums[:, m:]
    return means


def _times_drawn(n_resamples: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (n_resamples, n) how often each unit is drawn in n draws."""
    # The offset n r gives each resample r its own range of n bins, so that one bincount counts all of them.
    drawn = rng.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)


def _sums_of_bags(summands: NDArray[np.floating], bag: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (MAX_UNITS, m) sums of the units in each bag."""
    return np.column_stack([np.bincount(bag, column, MAX_UNITS) for column in summands.T])


@dataclass(frozen=True, slots=True)
class Interval:
    """The 95 % confidence interval of a mean, over the choice of units."""

    low: float
    high: float

    @classmethod
    def from_resamples(cls, resamples: Resamples) -> "Interval | None":
        """Build the percentile interval; None without a finite resample."""
        finite = resamples[np.isfinite(resamples)]
        if not len(finite):
            return None
        low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high))


@dataclass(frozen=True, slots=True)
class Difference:
    """One algorithm's metric minus another's, on the same units.

    `interval`: None without a finite resample.
    `chance`: like a p-value, the probability of a difference at least as large, of either sign, by the choice of units
    alone: twice the share of resamples on the other side of 0. None without a finite resample.
    """

    value: float
    interval: Interval | None
    chance: float | None

    @classmethod
    def from_resamples(cls, value: float, resamples: Resamples, of_other: Resamples) -> "Difference":
        """Build the difference `value` with its interval, from the resamples of both algorithms."""
        differences = resamples - of_other
        differences = differences[np.isfinite(differences)]
        if not len(differences):
            return cls(value, None, None)
        beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
        # p = 2 (r + 1) / (B + 1), with r of B resamples beyond 0: never exactly 0 (Davison & Hinkley 1997).
        chance = min(1.0, 2 * (beyond + 1) / (len(differences) + 1))
        return cls(value, Interval.from_resamples(differences), chance)


def mean_of_measured(values: list[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if all of them are."""
    measured = [value for value in values if value is not None]
    return math.fsum(measured) / len(measured) if measured else None
