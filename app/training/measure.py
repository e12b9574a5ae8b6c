"""How good a recipe is: the report on a hold-out, with bestsellers, recent favourites and biases as baselines."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.algorithms.decayed_counts import DatedChoices, find_half_life
from app.algorithms.rating_vectors import RatingVectors
from app.evaluation.errors_of_values import errors_of_values
from app.evaluation.exposure import exposure_by_popularity, lorenz_curve
from app.evaluation.intervals import Interval, resampled_means
from app.evaluation.ranking import RankingMetrics, Score
from app.snapshots.manifest import Diagnosis, ErrorAtRating, Exposure
from app.training.fit import Learned, fit
from app.training.recipe import fallback_recipe
from app.training.sides import Sides
from app.training.uncertainty import HoldoutUncertainty
from app.training.validation_split import MAE, RMSE, Common, K, ValidationSplit

NDCG, RECALL, COVERAGE = f"ndcg@{K}", f"recall@{K}", f"coverage@{K}"

INTERVAL_SEED = 0


@dataclass(frozen=True)
class Figures:
    """`values`: by metric.
    `intervals`: 95 %, [low, high], for metrics that are means over users or ratings.
    """

    values: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __or__(self, other: "Figures") -> "Figures":
        return Figures(self.values | other.values, self.intervals | other.intervals)


@dataclass(frozen=True)
class RecipeReport:
    """Empty where nothing could be measured; `unmeasured` then says why.

    `recent`: a list by decayed counts, empty where no time says anything. `recent_half_life_days`: of these counts.
    `biases`: None where no ratings are predicted.
    `ndcg_of_users`: (b,) nDCG@10 of the split's users; where two recipes are compared, of what is common to both.
    `uncertainty`: the deviation of predictions, for a learner that gives none itself; None otherwise.
    `diagnosis`: without a learning curve.
    """

    snapshot: Figures = field(default_factory=Figures)
    bestsellers: Figures = field(default_factory=Figures)
    recent: Figures = field(default_factory=Figures)
    biases: Figures | None = field(default_factory=Figures)
    ndcg_of_users: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    is_finite: bool = True
    uncertainty: HoldoutUncertainty | None = None
    recent_half_life_days: float | None = None
    unmeasured: str | None = None
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    @property
    def by_name(self) -> Mapping[str, Figures]:
        named = {
            "snapshot": self.snapshot,
            "bestsellers": self.bestsellers,
            "recent": self.recent,
            "biases": self.biases,
        }
        return {name: figures for name, figures in named.items() if figures is not None}


def measure(learned: Learned, sides: Sides, split: ValidationSplit, common: Common | None = None) -> RecipeReport:
    """What was learned from `split.train`, measured on the hold-out; the baselines are fitted on the same part.

    `common`: what `ndcg_of_users` is restricted to; None for all users and items.
    """
    # Lists are ranked by the whole blend, errors are those of the rating segment alone.
    ranking, rating = split.rank(sides.score), learned.rating
    # `biases` draws nothing, so any generator will do.
    biases = None if rating is None else fit(fallback_recipe(), split.train, np.random.default_rng(0)).rating
    # The same scores for every user: how often each item was chosen, by the rule of the segment `popularity`.
    bestsellers = DatedChoices.from_ratings(split.train).counts(None).astype(np.float32)
    # The best half-life counts, even if plain counts are better: the baseline is what was popular of late.
    days = find_half_life(split.train).days
    return RecipeReport(
        snapshot=(Figures() if rating is None else _errors(split, rating)) | _lists(ranking),
        bestsellers=_lists(split.rank(_same_for_all(bestsellers))),
        recent=Figures() if days is None else _lists(split.rank(_same_for_all(_decayed(split, days)))),
        biases=None if biases is None else _biases(split, biases),
        ndcg_of_users=ranking.ndcg if common is None else split.ndcg_among(sides.score, common),
        is_finite=learned.is_finite,
        uncertainty=None if rating is None else _uncertainty(split, rating),
        recent_half_life_days=days,
        diagnosis=Diagnosis(() if rating is None else _errors_by_rating(split, rating), _exposure(ranking)),
    )


def _errors_by_rating(split: ValidationSplit, rating: RatingVectors) -> tuple[ErrorAtRating, ...]:
    return tuple(
        ErrorAtRating(each.value, each.n, each.rmse, each.mean)
        for each in errors_of_values(split.holdout.values, split.errors(rating))
        if math.isfinite(each.rmse)
    )


def _exposure(ranking: RankingMetrics) -> Exposure:
    return Exposure(len(ranking.shown), ranking.gini, lorenz_curve(ranking), exposure_by_popularity(ranking))


def _decayed(split: ValidationSplit, half_life_days: float) -> NDArray[np.float32]:
    return DatedChoices.from_ratings(split.train).counts(half_life_days).astype(np.float32)


def _biases(split: ValidationSplit, biases: RatingVectors) -> Figures:
    return _errors(split, biases) | _lists(split.rank(_same_for_all(biases.item_biases)))


def _uncertainty(split: ValidationSplit, rating: RatingVectors) -> HoldoutUncertainty | None:
    is_constant = rating.uncertainty is None or rating.uncertainty.is_constant
    return HoldoutUncertainty.from_holdout(rating, split) if is_constant else None


def _errors(split: ValidationSplit, vectors: RatingVectors) -> Figures:
    errors = split.errors(vectors)
    # RMSE = sqrt(mean e^2). The root is monotone, so the roots of an interval of the mean square are one of the RMSE.
    return _roots(_means({RMSE: errors**2})) | _means({MAE: np.abs(errors)})


def _roots(squares: Figures) -> Figures:
    return Figures(
        {name: math.sqrt(value) for name, value in squares.values.items()},
        {name: (math.sqrt(low), math.sqrt(high)) for name, (low, high) in squares.intervals.items()},
    )


def _lists(ranking: RankingMetrics) -> Figures:
    return _means({NDCG: ranking.ndcg, RECALL: ranking.recall}) | Figures({COVERAGE: float(ranking.coverage)})


def _means(per_unit: Mapping[str, NDArray[np.float64]]) -> Figures:
    # A fixed seed of its own, so that the intervals depend on the measured values alone.
    resamples = resampled_means(np.column_stack([*per_unit.values()]), np.random.default_rng(INTERVAL_SEED))
    intervals = {name: Interval.from_resamples(column) for name, column in zip(per_unit, resamples.T, strict=True)}
    return Figures(
        {name: float(values.mean()) for name, values in per_unit.items()},
        {name: (each.low, each.high) for name, each in intervals.items() if each is not None},
    )


def _same_for_all(scores: NDArray[np.float32]) -> Score:
    return lambda user_rows: np.broadcast_to(scores, (len(user_rows), len(scores)))
