"""An algorithm measured on splits of the ratings: fit on one part, asked about the other, once for each fold."""

import math
import re
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.algorithms.learner import Learner, Predictor, Ranker
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.evaluation import metrics as rating_metrics
from app.evaluation.ranking import Ranking, evaluate_ranking, users_with_relevant

RATING_METRICS: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32]], float]] = {
    "rmse": rating_metrics.rmse,
    "mse": rating_metrics.mse,
    "mae": rating_metrics.mae,
}
RANKING_METRICS: dict[str, Callable[[Ranking], float]] = {
    "ndcg": lambda ranking: float(ranking.ndcg.mean()),
    "ndcg_full": lambda ranking: float(ranking.ndcg_full.mean()),
    "recall": lambda ranking: float(ranking.recall.mean()),
    "recall_full": lambda ranking: float(ranking.recall_full.mean()),
    "precision": lambda ranking: float(ranking.precision.mean()),
    "hit_rate": lambda ranking: float(ranking.hit_rate.mean()),
    "map": lambda ranking: float(ranking.average_precision.mean()),
    "mrr": lambda ranking: float(ranking.reciprocal_rank.mean()),
    "coverage": lambda ranking: ranking.coverage,
}
WARM_UP_RATINGS = 2_000


@dataclass(frozen=True, slots=True)
class Metric:
    """`k` None for a rating error; else the length of the lists."""

    name: str
    k: int | None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @classmethod
    def parse(cls, text: str) -> "Metric":
        """`rmse`, `ndcg@10`. Raises `InvalidInputError` naming the metrics there are."""
        found = re.fullmatch(r"([a-z_]+)(?:@([1-9][0-9]{0,3}))?", text.strip())
        if found and found[1] in RATING_METRICS and found[2] is None:
            return cls(found[1], None)
        if found and found[1] in RANKING_METRICS and found[2] is not None:
            return cls(found[1], int(found[2]))
        known = [*RATING_METRICS, *(f"{name}@K" for name in RANKING_METRICS)]
        raise InvalidInputError(f"there is no metric {text!r}; there are: {', '.join(known)}", field="metrics")


@dataclass(frozen=True, slots=True)
class FoldResult:
    """`metrics`: by name; None where nothing could be measured (no relevant items, or no predicted ratings)."""

    metrics: dict[str, float | None]
    fit_seconds: float
    predict_seconds: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """What is measured, on what. `held_out`: one (n,) mask a fold. `relevant_from`: relevant is what is rated so."""

    ratings: RatingMatrix
    held_out: Sequence[NDArray[np.bool_]]
    scale: RatingScale
    metrics: Sequence[Metric]
    relevant_from: float
    seed: int = 0

    def run(self, learner: Learner | None, tell: Callable[[float, str], None]) -> list[FoldResult]:
        """One result a fold; `learner` None stands for the bestsellers. Fit times exclude compilation."""
        if learner is not None:
            learner.fit(self.ratings.subset(np.arange(min(WARM_UP_RATINGS, len(self.ratings)))), self._rng())
        results = []
        for fold, held_out in enumerate(self.held_out):
            tell(fold / len(self.held_out), f"fold {fold + 1} of {len(self.held_out)}")
            results.append(self._run_fold(learner, self.ratings.subset(~held_out), self.ratings.subset(held_out)))
        tell(1.0, "done")
        return results

    def _run_fold(self, learner: Learner | None, train: RatingMatrix, test: RatingMatrix) -> FoldResult:
        started = time.perf_counter()
        predictor = Bestsellers(train) if learner is None else learner.fit(train, self._rng())
        fitted = time.perf_counter()
        measured = self._errors(predictor, test) | self._lists(predictor, train, test)
        predicted = time.perf_counter()
        in_order = {str(metric): measured.get(str(metric)) for metric in self.metrics}
        return FoldResult(in_order, fitted - started, predicted - fitted)

    def _errors(self, predictor: Ranker, test: RatingMatrix) -> dict[str, float | None]:
        wanted = [metric for metric in self.metrics if metric.k is None]
        if not wanted or not len(test) or not isinstance(predictor, Predictor):
            return {}
        predicted = predictor.predict(test.user_rows, test.item_rows)
        clipped = predicted.clip(self.scale.minimum, self.scale.maximum)
        return {str(metric): RATING_METRICS[metric.name](clipped, test.values) for metric in wanted}

    def _lists(self, predictor: Ranker, train: RatingMatrix, test: RatingMatrix) -> dict[str, float | None]:
        wanted = [(metric, metric.k) for metric in self.metrics if metric.k is not None]
        user_rows = users_with_relevant(test, self.relevant_from)
        if not wanted or not len(user_rows):
            return {}
        longest = max(k for _, k in wanted)
        ranking = evaluate_ranking(predictor.scores, user_rows, train, test, liked_from=self.relevant_from, k=longest)
        return {str(metric): RANKING_METRICS[metric.name](ranking.at(k)) for metric, k in wanted}

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


class Bestsellers:
    """The same list for everybody: the items rated most. It predicts no ratings."""

    def __init__(self, train: RatingMatrix) -> None:
        self._counts = train.item_counts.astype(np.float32)

    def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
        return np.broadcast_to(self._counts, (len(user_rows), len(self._counts)))


def mean_metrics(results: Sequence[FoldResult]) -> dict[str, float | None]:
    """The mean over the folds that could be measured, by metric."""
    means: dict[str, float | None] = {}
    for name in results[0].metrics:
        values = [value for result in results if (value := result.metrics[name]) is not None]
        means[name] = math.fsum(values) / len(values) if values else None
    return means


def peak_rss_bytes() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
