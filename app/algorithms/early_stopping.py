"""When to stop an iterative fit, and how large the penalty must be: both from ratings that the fit does not see.

L. Prechelt, "Early Stopping - But When?" (1998). Funk SVD, SVD++ and explicit ALS share one schedule in two phases:

1. A search over at most 2/3 of the epochs without a held-out slice of the ratings. Its error tells when more epochs no
   longer help, and estimates the noise variance, which is the unit of the penalty.
2. A cool-down over the last 1/3 of the epochs that learns from all ratings, the slice included. A second fit from
   scratch would cost as much as the first and gain nothing.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from app.algorithms.storage import IN_MEMORY, Storage, filled

HELD_OUT_SHARE = 0.05
# A variance estimated from n errors has a relative standard error of sqrt(2 / n): 1 % at 20,000.
MAX_HELD_OUT = 20_000
# Fewer ratings estimate nothing: all variance then counts as noise, and all epochs are run.
MIN_HELD_OUT = 10

# The share of epochs, the last, that learn from all ratings.
COOL_DOWN = 1 / 3

# A validation error that falls by a smaller share has stopped falling.
RELATIVE_GAIN = 1e-4

# Ratings are rounded, so no fit can explain more than all but this share of their variance.
MIN_NOISE = 1e-4


@dataclass
class EarlyStopping:
    """Tells when a measure that should fall has not fallen for `patience` epochs.

    `patience`: epochs without improvement before the search stops, at least 1 (also a fraction of an epoch count).
    `relative_gain`: an epoch improves if its value is below (1 - relative_gain) times the best value so far.
    `best`, `best_epoch`: the best value and the epoch, counted from 0, that reached it.
    """

    patience: float
    relative_gain: float = 0.0
    best: float = math.inf
    best_epoch: int = 0

    def improves(self, epoch: int, value: float) -> bool:
        """Record the value of an epoch; whether it is a new best."""
        # The test is a strict <, so a NaN never counts as an improvement.
        if value < (1 - self.relative_gain) * self.best:
            self.best, self.best_epoch = value, epoch
            return True
        return False

    def is_over(self, epoch: int) -> bool:
        """Whether `epoch`, already recorded, ends the search."""
        return epoch - self.best_epoch >= self.patience


class Schedule(NamedTuple):
    """The two phases of a fit.

    `n_search_epochs`: epochs of the first phase at most, 0 where there is none. `held_out`: (m,) int64 positions of the
    ratings that the first phase does not see, empty where there is no first phase.
    """

    n_search_epochs: int
    held_out: NDArray[np.int64]

    @classmethod
    def draw(cls, n_ratings: int, n_epochs: int, rng: np.random.Generator) -> Self:
        """Choose the held-out slice at random; no slice, and no search, where it would be too small to measure."""
        # 5 % of the ratings, but no more than an accurate estimate needs
        n_held_out = min(int(HELD_OUT_SHARE * n_ratings), MAX_HELD_OUT)
        # The cool-down is rounded up: a fit of one epoch learns from all ratings.
        n_search_epochs = n_epochs - math.ceil(COOL_DOWN * n_epochs)
        if n_held_out < MIN_HELD_OUT or not n_search_epochs:
            return cls(0, np.empty(0, np.int64))
        # The order of the slice carries no meaning, so the generator need not shuffle it.
        return cls(n_search_epochs, rng.choice(n_ratings, n_held_out, replace=False, shuffle=False))

    def is_train(self, n_ratings: int, storage: Storage = IN_MEMORY) -> NDArray[np.bool_]:
        """(n_ratings,) mask of the ratings that the first phase learns from, which lives in `storage`."""
        is_train = filled(n_ratings, np.bool_, lambda span: np.ones(span.stop - span.start, np.bool_), storage)
        is_train[self.held_out] = False
        return is_train


def noise_variance(validation_error: float) -> float:
    """The noise variance, as a share of the variance of the ratings, from a mean squared validation error in that unit.

    Clipped to `MIN_NOISE`..1: a fit that predicts worse than the mean says nothing of the noise.
    """
    return min(1.0, max(MIN_NOISE, validation_error))
