"""Rating errors. Predictions are to be clipped to the scale before."""

import math

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


def mse(predicted: Values, actual: Values) -> float:
    """Mean (predicted - actual)^2 over (n,) pairs, n > 0."""
    error = np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)
    return float(np.mean(error * error))


def rmse(predicted: Values, actual: Values) -> float:
    return math.sqrt(mse(predicted, actual))


def mae(predicted: Values, actual: Values) -> float:
    """Mean |predicted - actual| over (n,) pairs, n > 0."""
    return float(np.mean(np.abs(np.asarray(predicted, np.float64) - np.asarray(actual, np.float64))))
