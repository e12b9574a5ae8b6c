"""Measures an algorithm on splits of the ratings: for each fold, fits it on one part and tests it on the other."""

import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.errors import FeaturesNeededError, FitDivergedError
from app.algorithms.learner import Learner, Predictor, Ranker
from app.algorithms.progress import ProgressCallback, ignore, part
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Details, FoldResult, Outcome
from app.evaluation.ranking import RankingMetrics, evaluate_ranking, users_with_relevant
from app.evaluation.rolling import Questions, evaluate_next, history_score

WARM_UP_RATINGS = 2_000
LONGEST_DRAWN = 50
"""The length of the lists that a report draws."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Ratings, their splits and the metrics to compute.

    held_out: one (n,) mask for each fold.
    relevant_from: the lowest rating of a relevant item.
    is_rolling: whether held-out interactions are asked one after the other, see `rolling`.
    is_detailed: whether outcomes keep the details for the plots of a report.
    """

    ratings: RatingMatrix
    held_out: Sequence[NDArray[np.bool_]]
    scale: RatingScale
    metrics: Sequence[Metric]
    relevant_from: float
    seed: int = 0
    is_detailed: bool = False
    is_rolling: bool = False

    def warm_up(self, learner: Learner) -> None:
        """Fit the learner on few ratings, to compile it and to detect missing features or packages early.

        Raises the errors of the learner, except `FitDivergedError`.
        """
        few = _few(self.ratings)
        try:
            learned = learner.fit(few, self._rng())
        except FitDivergedError:
            # On so few ratings, a fit that diverges tells nothing about the whole.
            return
        except FeaturesNeededError:
            if _lost_features(self.ratings, few):
                return
            raise
        # Scoring and predicting are compiled too.
        learned.scores(few.user_rows[:1])
        if isinstance(learned, Predictor):
            learned.predict(few.user_rows[:1], few.item_rows[:1])

    def run(self, learner: Learner, progress: ProgressCallback = ignore) -> Outcome:
        """Measure all folds, one after the other. Times exclude compilation if the learner was warmed up.

        Raises `AlgorithmError` if the learner fails.
        """
        n_folds = len(self.held_out)
        folds = []
        for fold in range(n_folds):
            train, test = self.parts(fold)
            of_fold = part(progress, fold / n_folds, (fold + 1) / n_folds, f"fold {fold + 1} of {n_folds}")
            folds.append(self.run_fold(learner, train, test, of_fold))
        progress(1.0, "done")
        return Outcome(tuple(self.metrics), tuple(folds), self.ratings.n_users, self.seed)

    def parts(self, fold: int) -> tuple[RatingMatrix, RatingMatrix]:
        """Return the training part and the test part of a fold."""
        held_out = self.held_out[fold]
        return self.ratings.subset(~held_out), self.ratings.subset(held_out)

    def run_fold(
        self, learner: Learner, train: RatingMatrix, test: RatingMatrix, progress: ProgressCallback = ignore
    ) -> FoldResult:
        """Fit on `train` and measure on `test`."""
        started = time.perf_counter()
        learned = learner.fit(train, self._rng(), progress)
        fitted = time.perf_counter()
        why_no_errors = self._why_no_errors(learned)
        errors = None if why_no_errors else self._errors(learned, test)
        lists = self._lists(learned, train, test)
        ranked = time.perf_counter()
        ranking = lists if isinstance(lists, RankingMetrics) else None
        return FoldResult.from_predictions(
            self.metrics,
            errors,
            ranking,
            seconds=(fitted - started, ranked - fitted),
            details=Details(test.values, ranking, _item_factors(learned)) if self.is_detailed else None,
            why_no_errors=why_no_errors,
            why_no_lists=lists if isinstance(lists, str) else "",
            remark=getattr(learned, "remark", ""),
        )

    def _why_no_errors(self, learned: Ranker) -> str:
        """Return why no error of predicted ratings can be measured; empty if it can."""
        if not isinstance(learned, Predictor):
            return "predicts no ratings"
        values = self.ratings.values
        if len(values) and (values == values[0]).all():
            return f"no value scale: every rating is {values[0]:g}"
        # Learners read amounts as ranks, and an error of a rank is none of an amount.
        return "" if self.scale.is_graded else f"no value scale: values are {self.scale.kind}"

    def _errors(self, learned: Ranker, test: RatingMatrix) -> NDArray[np.float32] | None:
        is_wanted = self.is_detailed or any(metric.k is None for metric in self.metrics)
        if not is_wanted or not isinstance(learned, Predictor):
            return None
        predicted = learned.predict(test.user_rows, test.item_rows)
        # NaN would pass `clip` and make the mean of all errors NaN.
        if not np.isfinite(predicted).all():
            raise FitDivergedError("a predicted rating is not a finite number")
        errors: NDArray[np.float32] = predicted.clip(self.scale.minimum, self.scale.maximum) - test.values
        return errors

    def _lists(self, learned: Ranker, train: RatingMatrix, test: RatingMatrix) -> RankingMetrics | str:
        """Return the lists, or why there are none."""
        # One ranking of the greatest length serves all metrics: shorter lists are its first items.
        longest = max([metric.k or 0 for metric in self.metrics] + [LONGEST_DRAWN] * self.is_detailed)
        if not longest:
            return ""
        user_rows = users_with_relevant(test, self.relevant_from)
        if not len(user_rows):
            return f"no relevant item: no held-out rating is {self.relevant_from:g} or higher"
        if not self.is_rolling:
            liked_from = self.relevant_from
            return evaluate_ranking(learned.scores, user_rows, train, test, liked_from=liked_from, k=longest)
        score = history_score(learned)
        if score is None:
            return "cannot rank for a history that grew after the fit"
        questions = Questions.from_parts(train, test, self.relevant_from)
        if not len(questions):
            return "no relevant item: no user with a held-out interaction has an earlier one"
        return evaluate_next(score, questions, train, k=longest)

    def _rng(self) -> np.random.Generator:
        # A new generator for each fit, so that a fold does not depend on the folds before it.
        return np.random.default_rng(self.seed)


@dataclass(frozen=True, slots=True)
class BestsellerLearner:
    """Recommends the items with the most ratings to every user. Predicts no ratings."""

    def fit(
        self, ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore
    ) -> "Bestsellers":
        return Bestsellers(ratings.item_counts.astype(np.float32))


@dataclass(frozen=True, slots=True)
class Bestsellers:
    """`item_counts`: (n_items,) float32, the number of ratings of each item."""

    item_counts: NDArray[np.float32]

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return np.broadcast_to(self.item_counts, (len(user_rows), len(self.item_counts)))

    def scores_of(self, histories: RatingMatrix) -> NDArray[np.float32]:
        return np.broadcast_to(self.item_counts, (histories.n_users, len(self.item_counts)))


def _few(ratings: RatingMatrix) -> RatingMatrix:
    """Return the first ratings with only their users and items."""
    first = slice(0, WARM_UP_RATINGS)
    users, user_rows = np.unique(ratings.user_rows[first], return_inverse=True)
    items, item_rows = np.unique(ratings.item_rows[first], return_inverse=True)
    features = ratings.features
    if features is not None:
        text = features.item_text
        features = replace(
            features,
            items=features.items[items],
            users=features.users[users],
            item_text=None if text is None else text[items],
        )
    shape = (len(users), len(items))
    return RatingMatrix(*shape, user_rows, item_rows, ratings.values[first], ratings.times[first], features)


def _lost_features(ratings: RatingMatrix, few: RatingMatrix) -> bool:
    """Whether items or users have features in all ratings, but not in the first ones."""
    if ratings.features is None or few.features is None:
        return False
    sides = ((ratings.features.items, few.features.items), (ratings.features.users, few.features.users))
    return any(bool(of_all.nnz) and not of_few.nnz for of_all, of_few in sides)


def _item_factors(learned: Ranker) -> NDArray[np.float32] | None:
    """Return the (n_items, k) vectors of items; None if the algorithm has none."""
    factors: NDArray[np.float32] | None = getattr(learned, "item_factors", getattr(learned, "item_vectors", None))
    return factors if factors is not None and factors.ndim == 2 and factors.shape[1] > 0 else None  # noqa: PLR2004  rows, columns


def peak_rss_bytes() -> int:
    """Return the peak memory of this process."""
    # Linux reports kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
