"""The results of an experiment: metrics of every fold, their confidence intervals, and differences."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.evaluation.intervals import Difference, Interval, Resamples, mean_of_measured, resampled_means
from app.evaluation.metrics import CATALOGUE_METRICS, RATING_ERRORS, USER_METRICS, Metric, PerUnit
from app.evaluation.ranking import RankingMetrics


@dataclass(frozen=True, slots=True)
class Details:
    """The data for the plots of a report.

    `actual`: (n,) the test ratings.
    `item_factors`: (n_items, k); None for an algorithm without item vectors.
    """

    actual: NDArray[np.float32]
    ranking: RankingMetrics | None
    item_factors: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class FoldResult:
    """The results of one fold.

    `metrics`: by name; None if nothing could be measured.
    `reasons`: by name of a metric that is None, why.
    `errors`: (n,) float32 predicted - actual rating, in the order of the test ratings; None without predicted ratings.
    `user_rows`: (b,) the users with lists.
    `of_users`: metric name -> (b,) one value for each of `user_rows`, a mean where a user has several lists.
    `remark`: what the algorithm chose by itself; empty if nothing.
    """

    metrics: dict[str, float | None]
    errors: NDArray[np.float32] | None
    user_rows: NDArray[np.int64]
    of_users: dict[str, PerUnit]
    fit_seconds: float
    predict_seconds: float
    details: Details | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    remark: str = ""

    @classmethod
    def from_predictions(
        cls,
        metrics: Sequence[Metric],
        errors: NDArray[np.float32] | None,
        ranking: RankingMetrics | None,
        *,
        seconds: tuple[float, float],
        details: Details | None = None,
        why_no_errors: str = "",
        why_no_lists: str = "",
        remark: str = "",
    ) -> "FoldResult":
        """Build the result by computing the metrics.

        `seconds`: time to fit, and time to predict and rank.
        `why_no_errors`, `why_no_lists`: the reasons if `errors` or `ranking` is None.
        """
        figures: dict[str, float | None] = {str(metric): None for metric in metrics}
        of_users: dict[str, PerUnit] = {}
        for metric in metrics:
            name = str(metric)
            if metric.k is None:
                figures[name] = None if errors is None else _rating_error(metric, errors)
            elif ranking is not None and metric.name in CATALOGUE_METRICS:
                figures[name] = CATALOGUE_METRICS[metric.name](ranking.at(metric.k))
            elif ranking is not None:
                of_users[name] = ranking.over_users(USER_METRICS[metric.name](ranking.at(metric.k)))
                figures[name] = float(of_users[name].mean())
        why = {str(metric): why_no_errors if metric.k is None else why_no_lists for metric in metrics}
        reasons = {name: why[name] for name, value in figures.items() if value is None}
        user_rows = np.empty(0, np.int64) if ranking is None else ranking.users
        return cls(figures, errors, user_rows, of_users, *seconds, details, reasons, remark)


def _rating_error(metric: Metric, errors: NDArray[np.float32]) -> float:
    kind = RATING_ERRORS[metric.name]
    return float(kind.of_mean(kind.of_ratings(errors.astype(np.float64)).mean(keepdims=True))[0])


@dataclass(frozen=True)
class Outcome:
    """The results of one algorithm on all folds. Means are over the folds that could be measured.

    `n_users`: number of users of the whole experiment.
    `seed`: seed of the resamples; outcomes of the same experiment share it, so that they can be compared in pairs.
    """

    measured: tuple[Metric, ...]
    folds: tuple[FoldResult, ...]
    n_users: int
    seed: int

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """By name, the mean over the folds; None if nothing could be measured."""
        return {
            str(metric): mean_of_measured([fold.metrics[str(metric)] for fold in self.folds])
            for metric in self.measured
        }

    @cached_property
    def reasons(self) -> dict[str, str]:
        """By name of a metric that no fold could measure, why the first could not."""
        return {name: self.folds[0].reasons[name] for name, value in self.metrics.items() if value is None}

    @property
    def remark(self) -> str:
        """What the algorithm chose by itself in the first fold; empty if nothing."""
        return self.folds[0].remark

    @cached_property
    def intervals(self) -> dict[str, Interval | None]:
        """By name, the 95 % interval of the mean; None also for coverage and gini, which are not means over users."""
        resamples = self.resamples
        return {
            str(m): Interval.from_resamples(resamples[str(m)]) if str(m) in resamples else None for m in self.measured
        }

    @property
    def fit_seconds(self) -> float:
        return sum(fold.fit_seconds for fold in self.folds) / len(self.folds)

    @property
    def predict_seconds(self) -> float:
        return sum(fold.predict_seconds for fold in self.folds) / len(self.folds)

    def minus(self, other: "Outcome") -> dict[str, Difference | None]:
        """Return by name the paired difference from `other`, an outcome of the same experiment.

        None for a metric that either of them lacks.
        """
        differences: dict[str, Difference | None] = {}
        for name, mine in self.metrics.items():
            theirs = other.metrics[name]
            if mine is None or theirs is None:
                differences[name] = None
            elif name in self.resamples and name in other.resamples:
                differences[name] = Difference.from_resamples(
                    mine - theirs, self.resamples[name], other.resamples[name]
                )
            else:
                # Coverage and gini are not means over units, so there is nothing to resample.
                differences[name] = Difference(mine - theirs, None, None)
        return differences

    def why_not_minus(self, other: "Outcome", name: str) -> str:
        """Return why `minus` has no difference of the metric."""
        return self.reasons.get(name) or f"the first {other.reasons[name]}"

    @cached_property
    def resamples(self) -> dict[str, Resamples]:
        """By name, the (N_RESAMPLES,) values of the metric, for metrics that are means over users or ratings."""
        return self._of_ratings() | self._of_users()

    def _of_ratings(self) -> dict[str, Resamples]:
        """Return the resamples of the rating errors."""
        # A rating is in the test part of one fold only, so the folds are resampled independently and then averaged.
        wanted = [metric for metric in self.measured if metric.k is None]
        parts = []
        for place, fold in enumerate(self.folds):
            if wanted and fold.errors is not None:
                errors = fold.errors.astype(np.float64)
                losses = np.column_stack([RATING_ERRORS[metric.name].of_ratings(errors) for metric in wanted])
                # A generator for each fold, so that the draws of a fold do not depend on how many folds came before.
                parts.append(resampled_means(losses, np.random.default_rng([self.seed, place])))
        if not parts:
            return {}
        of_folds = np.stack(parts)
        return {
            str(metric): RATING_ERRORS[metric.name].of_mean(of_folds[:, :, column]).mean(axis=0)
            for column, metric in enumerate(wanted)
        }

    def _of_users(self) -> dict[str, Resamples]:
        """Return the resamples of the ranking metrics."""
        # A user may be measured in several folds, whose values correlate. So users are drawn together with all folds.
        folds = [fold for fold in self.folds if fold.of_users]
        if not folds:
            return {}
        names = list(folds[0].of_users)
        figures = np.full((self.n_users, len(folds), len(names)), np.nan)
        for place, fold in enumerate(folds):
            figures[fold.user_rows, place] = np.column_stack([fold.of_users[name] for name in names])
        # NaN: the user has no relevant items in the fold.
        is_measured = ~np.isnan(figures).all(axis=(1, 2))
        flat = figures[is_measured].reshape(np.count_nonzero(is_measured), -1)
        means = resampled_means(flat, np.random.default_rng([self.seed, len(self.folds)]))
        of_folds = means.reshape(len(means), len(folds), len(names))
        return {name: of_folds[:, :, column].mean(axis=1) for column, name in enumerate(names)}
