"""How sure a mean is: the bootstrap (Efron 1979), which draws the measured units anew, with replacement.

Whoever is measured on the same units with the same seed gets the same draws, so that the difference of two algorithms,
resample by resample, is the paired bootstrap: what both find hard cancels.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_RESAMPLES = 1000
LEVEL = 0.95
MAX_UNITS = 5_000
"""More units than these are dealt by lot into so many bags, and bags are drawn: the variance stays, to 2 %."""

_DRAWS_PER_BATCH = 1_000_000
_MIN_UNITS = 2

Resamples = NDArray[np.float64]
"""(N_RESAMPLES,) a figure, once for each resample."""


def resampled_means(values: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, m) figures of n units -> (N_RESAMPLES, m) means over n units drawn with replacement.

    NaN: not measured; it is left out of its column's mean, which is NaN where nothing measured was drawn. One unit
    tells nothing of its spread: all is NaN.
    """
    n, m = values.shape
    if n < _MIN_UNITS:
        return np.full((N_RESAMPLES, m), np.nan)
    is_measured = ~np.isnan(values)
    summands = np.hstack([np.where(is_measured, values, 0.0), is_measured])
    if n > MAX_UNITS:
        summands, n = _dealt(summands, rng.permutation(n) % MAX_UNITS), MAX_UNITS
    batches = np.array_split(np.arange(N_RESAMPLES), max(1, N_RESAMPLES * n // _DRAWS_PER_BATCH))
    sums = np.vstack([_times_drawn(len(batch), n, rng) @ summands for batch in batches])
    with np.errstate(invalid="ignore"):  # 0 / 0
        means: NDArray[np.float64] = sums[:, :m] / sums[:, m:]
    return means


def _times_drawn(n_resamples: int, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n_resamples, n) how often each unit is drawn, n times in all."""
    drawn = rng.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=n_resamples * n).reshape(n_resamples, n).astype(np.float64)


def _dealt(summands: NDArray[np.floating], bag: NDArray[np.int64]) -> NDArray[np.float64]:
    """(MAX_UNITS, m) sums of each bag."""
    return np.column_stack([np.bincount(bag, column, MAX_UNITS) for column in summands.T])


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the mean lies with 95 % confidence, as far as the choice of units decides."""

    low: float
    high: float

    @classmethod
    def of(cls, resamples: Resamples) -> "Interval | None":
        """The percentile interval; None where nothing can be said."""
        finite = resamples[np.isfinite(resamples)]
        if not len(finite):
            return None
        low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return cls(float(low), float(high))


@dataclass(frozen=True, slots=True)
class Difference:
    """One algorithm's metric minus another's, on the same units.

    `chance`: how often so clear a difference, of either sign, comes from the choice of units alone: twice the share of
    resamples on the far side of 0, like a p-value. None where nothing can be said.
    """

    value: float
    interval: Interval | None
    chance: float | None

    @classmethod
    def of(cls, value: float, resamples: Resamples, of_other: Resamples) -> "Difference":
        """`value`: the difference itself; the resamples are those of both algorithms."""
        differences = resamples - of_other
        differences = differences[np.isfinite(differences)]
        if not len(differences):
            return cls(value, None, None)
        beyond = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
        # (r + 1) / (B + 1): a share of resamples is never 0 (Davison & Hinkley 1997)
        chance = min(1.0, 2 * (beyond + 1) / (len(differences) + 1))
        return cls(value, Interval.of(differences), chance)


def mean_of_measured(values: list[float | None]) -> float | None:
    """The mean of those that could be measured; None where none could."""
    measured = [value for value in values if value is not None]
    return math.fsum(measured) / len(measured) if measured else None
