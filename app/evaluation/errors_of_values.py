"""Rating errors by the value that was to be predicted: one mean hides that extreme ratings are predicted worst."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 21
N_BINS = 10


@dataclass(frozen=True, slots=True)
class ErrorsOfValue:
    """Of the `n` ratings with one value, or in one bin with this centre: the mean of predicted minus actual, and the
    root of the mean square.
    """

    value: float
    n: int
    mean: float
    rmse: float


def errors_of_values(actual: NDArray[np.floating], errors: NDArray[np.floating]) -> list[ErrorsOfValue]:
    """Return the errors for each value of (n,) ratings `actual`, ascending. More than 21 values are put into 10 bins.

    `errors`: (n,) predicted minus actual.
    """
    if not len(actual):
        return []
    actual, errors = actual.astype(np.float64), errors.astype(np.float64)
    values, group = np.unique(actual, return_inverse=True)
    if len(values) > MAX_VALUES:
        # Each bin stands at its centre. `edges[1:-1]` puts the largest rating into the last bin.
        edges = np.linspace(values[0], values[-1], N_BINS + 1)
        values, group = (edges[1:] + edges[:-1]) / 2, np.searchsorted(edges[1:-1], actual, side="right")
    counts = np.bincount(group, minlength=len(values))
    # The mean of e and of e^2 for each value; the maximum avoids 0 / 0 in empty bins, which are left out below.
    mean, squares = (
        np.bincount(group, weights, len(values)) / np.maximum(counts, 1) for weights in (errors, errors**2)
    )
    return [
        ErrorsOfValue(float(value), int(n), float(error), float(np.sqrt(square)))
        for value, square, error, n in zip(values, squares, mean, counts, strict=True)
        if n
    ]
