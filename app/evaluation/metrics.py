"""The metrics by name: of single ratings, of single users, of the catalogue. Definitions stand where they are computed.

Predicted ratings are to be clipped to the scale before.
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
    """Mean (predicted - actual)^2 over (n,) pairs, n > 0."""
    return float(np.mean(errors(predicted, actual) ** 2))


def rmse(predicted: Values, actual: Values) -> float:
    return math.sqrt(mse(predicted, actual))


def mae(predicted: Values, actual: Values) -> float:
    """Mean |predicted - actual| over (n,) pairs, n > 0."""
    return float(np.mean(np.abs(errors(predicted, actual))))


def errors(predicted: Values, actual: Values) -> PerUnit:
    """(n,) predicted - actual, in double precision."""
    difference: PerUnit = np.asarray(predicted, np.float64) - np.asarray(actual, np.float64)
    return difference


@dataclass(frozen=True, slots=True)
class RatingError:
    """`of_ratings`: (n,) errors -> (n,) losses; `of_mean`: mean loss or losses -> the metric."""

    of_ratings: Callable[[PerUnit], PerUnit]
    of_mean: Callable[[PerUnit], PerUnit]


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
"""Name -> (b,) one figure a user; the metric is their mean."""

CATALOGUE_METRICS: dict[str, Callable[[RankingMetrics], float]] = {
    "coverage": lambda ranking: ranking.coverage,
    "gini": lambda ranking: ranking.gini,
}
"""Name -> one figure for all lists together."""

_LOWER_IS_BETTER = {*RATING_ERRORS, "gini"}


@dataclass(frozen=True, slots=True)
class Metric:
    """`k` None for a rating error; else the length of the lists."""

    name: str
    k: int | None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def is_lower_better(self) -> bool:
        return self.name in _LOWER_IS_BETTER

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """`rmse`, `ndcg@10`. Raises `InvalidInputError` naming the metrics there are."""
        of_lists = [*USER_METRICS, *CATALOGUE_METRICS]
        found = re.fullmatch(r"([a-z_]+)(?:@([1-9][0-9]{0,3}))?", text.strip())
        if found and found[1] in RATING_ERRORS and found[2] is None:
            return cls(found[1], None)
        if found and found[1] in of_lists and found[2] is not None:
            return cls(found[1], int(found[2]))
        known = [*RATING_ERRORS, *(f"{name}@K" for name in of_lists)]
        raise InvalidInputError(f"there is no metric {text!r}; there are: {', '.join(known)}", field="metrics")
