"""The metrics by name: of rating errors, of the lists of users, and of all lists together.

The ranking metrics are defined in `ranking`. Predicted ratings must be clipped to the scale beforehand.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidInputError
from app.evaluation.ranking import RankingMetrics

Values = NDArray[np.floating]
PerUnit = NDArray[np.float64]


def mse(predicted: Values, actual: Values) -> float:
    """Return the mean of (predicted - actual)^2 over (n,) pairs, n > 0."""
    return float(np.mean(errors(predicted, actual) ** 2))


def rmse(predicted: Values, actual: Values) -> float:
    """Return the square root of `mse`."""
    return math.sqrt(mse(predicted, actual))


def mae(predicted: Values, actual: Values) -> float:
    """Return the mean of |predicted - actual| over (n,) pairs, n > 0."""
    return float(np.mean(np.abs(errors(predicted, actual))))


def errors(predicted: Values, actual: Values) -> PerUnit:
    """Return (n,) predicted - actual in double precision."""
    difference: PerUnit = np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)
    return difference


@dataclass(frozen=True, slots=True)
class RatingError:
    """A rating error as a function of mean losses, so that resamples need only means.

    `of_ratings`: maps (n,) errors to (n,) losses.
    `of_mean`: maps the mean of losses to the metric; takes an array of any shape.
    """

    of_ratings: Callable[[PerUnit], PerUnit]
    of_mean: Callable[[PerUnit], PerUnit]


# RMSE = sqrt(mean e^2), MSE = mean e^2, MAE = mean |e|.
RATING_ERRORS = {
    "rmse": RatingError(np.square, np.sqrt),
    "mse": RatingError(np.square, np.asarray),
    "mae": RatingError(np.abs, np.asarray),
}

USER_METRICS: dict[str, Callable[[RankingMetrics], PerUnit]] = {
    "ndcg": lambda ranking: ranking.ndcg,
    "ndcg_full": lambda ranking: ranking.ndcg_full,
    "recall": lambda ranking: ranking.recall,
    "recall_full": lambda ranking: ranking.recall_full,
    "precision": lambda ranking: ranking.precision,
    "hit_rate": lambda ranking: ranking.hit_rate,
    "map": lambda ranking: ranking.average_precision,
    "mrr": lambda ranking: ranking.reciprocal_rank,
    "novelty": lambda ranking: ranking.novelty,
}
"""Name -> (b,) one value for each user; the metric is their mean."""

CATALOGUE_METRICS: dict[str, Callable[[RankingMetrics], float]] = {
    "coverage": lambda ranking: ranking.coverage,
    "gini": lambda ranking: ranking.gini,
}
"""Name -> one value for all lists together."""

# A high Gini coefficient means that few items take most of the places in the lists.
_LOWER_IS_BETTER = {*RATING_ERRORS, "gini"}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with the length of its lists.

    `k`: the length; None for a rating error.
    """

    name: str
    k: int | None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def is_lower_better(self) -> bool:
        return self.name in _LOWER_IS_BETTER

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """Parse `rmse`, `ndcg@10` and the like. Raises `InvalidInputError`, which lists the metrics."""
        of_lists = [*USER_METRICS, *CATALOGUE_METRICS]
        match = re.fullmatch(r"([a-z_]+)(?:@([1-9][0-9]{0,3}))?", text.strip())
        if match and match[1] in RATING_ERRORS and match[2] is None:
            return cls(match[1], None)
        if match and match[1] in of_lists and match[2] is not None:
            return cls(match[1], int(match[2]))
        known = [*RATING_ERRORS, *(f"{name}@K" for name in of_lists)]
        raise InvalidInputError(f"{text!r} is not a metric; the metrics are {', '.join(known)}", field="metrics")
