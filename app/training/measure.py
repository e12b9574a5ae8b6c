"""How good is it: the report on a hold-out, with bestsellers and biases beside it as yardsticks."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_vectors import RatingVectors
from app.entities import RatingScale
from app.evaluation.metrics import mae, rmse
from app.evaluation.ranking import Ranking, Score, evaluate_ranking, users_with_relevant
from app.training.fit import Learned, fit
from app.training.recipe import fallback_recipe
from app.training.sides import Sides

K = 10
RMSE, MAE = "rmse", "mae"
NDCG, RECALL, COVERAGE = f"ndcg@{K}", f"recall@{K}", f"coverage@{K}"

MAX_USERS = 2000
"""Users whose lists are measured; drawn by lot where there are more. Their mean nDCG is known to about 0.004."""

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Report:
    """Metrics by name, empty where nothing could be measured. `ndcg_of_users`: (b,) nDCG@10 of the exam's users."""

    snapshot: Figures = field(default_factory=dict)
    bestsellers: Figures = field(default_factory=dict)
    biases: Figures = field(default_factory=dict)
    ndcg_of_users: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    is_finite: bool = True

    @property
    def metrics(self) -> dict[str, Figures]:
        return {"snapshot": self.snapshot, "bestsellers": self.bestsellers, "biases": self.biases}


@dataclass(frozen=True)
class Exam:
    """A training part, a hold-out, and the users whose lists are measured on it: the same for all that sit it."""

    train: RatingMatrix
    holdout: RatingMatrix
    scale: RatingScale
    user_rows: NDArray[np.int64]

    @classmethod
    def draw(
        cls,
        train: RatingMatrix,
        holdout: RatingMatrix,
        scale: RatingScale,
        rng: np.random.Generator,
        max_users: int = MAX_USERS,
    ) -> "Exam":
        """Up to `max_users` of those who like something held out."""
        user_rows = users_with_relevant(holdout, scale.liked_from)
        if len(user_rows) > max_users:
            user_rows = np.sort(rng.choice(user_rows, max_users, replace=False))
        return cls(train, holdout, scale, user_rows)

    @property
    def is_measurable(self) -> bool:
        return len(self.train) > 0 and len(self.user_rows) > 0

    def rank(self, score: Score) -> Ranking:
        """The lists by `score` for the users of the exam."""
        return evaluate_ranking(score, self.user_rows, self.train, self.holdout, liked_from=self.scale.liked_from, k=K)

    def errors(self, vectors: RatingVectors) -> Figures:
        """The rating errors of `vectors` on the hold-out, in units of the scale."""
        held = self.holdout
        predicted = vectors.predict(held.user_rows, held.item_rows).clip(self.scale.minimum, self.scale.maximum)
        return {RMSE: rmse(predicted, held.values), MAE: mae(predicted, held.values)}


def measure(learned: Learned, sides: Sides, exam: Exam) -> Report:
    """What was learned from `exam.train`, on the hold-out; the yardsticks are fitted on the same training part."""
    ranking = exam.rank(sides.score)
    biases = fit(fallback_recipe(), exam.train, np.random.default_rng(0)).rating
    bestsellers = exam.train.item_counts.astype(np.float32)
    return Report(
        snapshot=exam.errors(learned.rating) | _figures(ranking),
        bestsellers=_figures(exam.rank(_same_for_all(bestsellers))),
        biases=exam.errors(biases) | _figures(exam.rank(_same_for_all(biases.item_biases))),
        ndcg_of_users=ranking.ndcg,
        is_finite=learned.is_finite,
    )


def _figures(ranking: Ranking) -> Figures:
    return {NDCG: float(ranking.ndcg.mean()), RECALL: float(ranking.recall.mean()), COVERAGE: float(ranking.coverage)}


def _same_for_all(scores: NDArray[np.float32]) -> Score:
    return lambda user_rows: np.broadcast_to(scores, (len(user_rows), len(scores)))
