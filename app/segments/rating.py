"""The segment `rating`: the rating that a user would give an item. No other segment predicts ratings.

It is left out where values are no grades: amounts and pairs.

    item part  [ q_i | b_i ]      user part  [ p_u | 1 ]      predicted rating  mu + b_u + b_i + p_u . q_i

mu and b_u are the same for all items of a user and change no order, so the dot product leaves them out.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.fold_in import fold_in, influences
from app.algorithms.progress import ProgressCallback, Stage
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.rating_uncertainty import RatingUncertainty, UserUncertainty
from app.algorithms.rating_vectors import RatingVectors
from app.algorithms.storage import total
from app.segments.base import AUTO, LEAST_WEIGHT, Float32Array, Layout, SegmentDivergedError, SegmentRecipe, Validation
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart

RATING = "rating"

SLOW_UP_TO = 300_000
"""Ratings up to which `auto` tries the better and slower learners."""

MAX_FEATURES = 2_048
"""Columns of item features up to which `auto` tries `content_linear`: its regressions on more take minutes."""


@dataclass(frozen=True)
class RatingFold(DenseFold):
    """Folds a user's ratings in by ridge regression on the item part.

    `mean`: mu, in the rating scale.
    `regularization`, `biased`, `precision`: as of `RatingVectors`.
    `user_uncertainty`: the deviation that a user brings, by the number of ratings and the error left on them.
    `new_item`: the deviation of an item without ratings, in the rating scale.
    """

    mean: float
    regularization: float
    biased: bool
    user_uncertainty: UserUncertainty
    new_item: float
    precision: NDArray[np.float64] | None = None

    @classmethod
    def from_vectors(cls, vectors: RatingVectors, uncertainty: RatingUncertainty) -> "RatingFold":
        """`uncertainty`: that of the vectors, or one estimated elsewhere for vectors that have none."""
        known = (vectors.mean, vectors.regularization, vectors.biased)
        return cls(*known, uncertainty.of_users, uncertainty.new_item, vectors.precision)

    @property
    def numbers(self) -> dict[str, float]:
        own = {"mean": self.mean, "regularization": self.regularization, "biased": float(self.biased)}
        return own | asdict(self.user_uncertainty) | {"new_item": self.new_item}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {} if self.precision is None else {"precision": self.precision}

    @staticmethod
    def user_parts(user_factors: Float32Array) -> Float32Array:
        """[p_u | 1] of (n_users, k) user factors."""
        return np.hstack([user_factors, np.ones((len(user_factors), 1), np.float32)])

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None = None,
    ) -> UserPart:
        """[p_u | 1], b_u, and the deviation that `UserUncertainty` gives the error left on the user's own ratings."""
        factors, item_biases = columns[:, :-1], columns[:, -1]
        # What is left to explain of each rating: r_ui - mu - b_i
        targets = values - self.mean - item_biases
        p_u, bias = fold_in(factors, targets, self.regularization, biased=self.biased, precision=self.precision)
        # The last column is 1, so that it meets b_i in the dot product.
        user_columns = np.ones(len(p_u) + 1, np.float32)
        user_columns[:-1] = p_u
        # e_u = sqrt(mean (target - q_i . p_u - b_u)^2): a user whose own ratings fit badly is predicted badly.
        left = targets - factors @ p_u - bias
        error = math.sqrt(float(left @ left) / len(left)) if len(left) else 0.0
        return UserPart(user_columns, float(bias), self.user_uncertainty.standard_deviation(error, len(left)))

    def influences(
        self, columns: Float32Array, values: NDArray[np.floating], shown: Float32Array
    ) -> NDArray[np.float64]:
        """(n, m), the share of each rating in p_u . q_i. b_i, the same for every user, belongs to no rating."""
        # The regression is linear in its targets, so p_u . q_i is a sum over ratings.
        factors, targets = columns[:, :-1], values - self.mean - columns[:, -1]
        return influences(
            factors, targets, self.regularization, shown[:, :-1], biased=self.biased, precision=self.precision
        )


class RatingSegment(DenseSegment):
    """Learned by any learner of rating vectors; `auto` takes the one that predicts held-out ratings best."""

    name = RATING
    algorithms = ("als", "bayesian_mf", "biases", "content_linear", "funk_svd", AUTO)
    default_algorithm = AUTO
    algorithm_without_data = "biases"
    is_required = True
    needs_grades = True
    starting_weight = 0.1
    # For an unknown user it only breaks ties, but keeps the expected rating readable from the user side.
    unknown_weight = LEAST_WEIGHT
    layouts: ClassVar[Mapping[str, Layout]] = {
        "precision": (np.dtype(np.float64), (2, "n_rating_columns", "n_rating_columns")),
    }

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedDenseSegment:
        """[q_i | b_i] and [p_u | 1]; learners return the fold-in of every user against their final item side."""
        from app.algorithms.by_name import make_rating_learner

        vectors = make_rating_learner(recipe.algorithm, recipe.hyperparameters).fit(ratings, rng, progress)
        return self.learned(recipe, vectors, ratings)

    def learned(self, recipe: SegmentRecipe, vectors: RatingVectors, ratings: RatingMatrix) -> LearnedDenseSegment:
        """The segment of vectors that were learned elsewhere from `ratings`."""
        uncertainty = vectors.uncertainty or RatingUncertainty.constant(
            _training_error(vectors, ratings), ratings.n_users, ratings.n_items
        )
        # The item part is q_i with b_i behind it.
        item_part = np.hstack([vectors.item_factors, vectors.item_biases[:, None]])
        return LearnedDenseSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=RatingFold.user_parts(vectors.user_factors),
            unrated_item=np.zeros(item_part.shape[1], np.float32),
            fold=RatingFold.from_vectors(vectors, uncertainty),
            vectors=replace(vectors, uncertainty=uncertainty),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> RatingFold:
        return RatingFold(
            mean=numbers["mean"],
            regularization=numbers["regularization"],
            biased=bool(numbers["biased"]),
            user_uncertainty=UserUncertainty(**{each.name: numbers[each.name] for each in fields(UserUncertainty)}),
            new_item=numbers["new_item"],
            precision=arrays.get("precision"),
        )

    def choose(
        self,
        validation: Validation,
        ratings: RatingMatrix,
        rng: np.random.Generator,
        progress: ProgressCallback,
        allowed: Collection[str] | None = None,
    ) -> tuple[LearnedDenseSegment, str]:
        """The learner with the lowest RMSE, of those that are fast enough for as many ratings as in `ratings`."""
        stage, names = Stage.from_progress(progress), _affordable(validation.train, len(ratings), allowed)
        tried: dict[str, LearnedDenseSegment] = {}
        errors: dict[str, float] = {}
        dropped: list[str] = []
        # Each learner has a generator of its own, so that adding one changes no other.
        for n, (name, each_rng) in enumerate(zip(names, rng.spawn(len(names)), strict=True)):
            with stage.part(name, (n + 1) / len(names)) as candidate:
                try:
                    tried[name] = self.fit(self.complete(name), validation.train, each_rng, candidate)
                except SegmentDivergedError as error:
                    dropped.append(candidate.decide(f"dropped, {error}"))
                    continue
                errors[name] = _rmse(tried[name], validation)
                candidate.note(rmse=round(errors[name], 4))
        if not tried:
            # Biases are a closed form, which cannot diverge.
            learned = self.fit(self.complete("biases"), validation.train, rng, progress)
            return learned, "; ".join(["rating by biases", *dropped])
        best = min(errors, key=lambda name: errors[name])
        figures = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
        reason = f"RMSE inside the training part {figures}"
        if names == ["biases"]:
            reason = "all ratings are equal"
        elif allowed is None and len(ratings) > SLOW_UP_TO:
            reason = f"more than {SLOW_UP_TO:,} ratings"
        return tried[best], "; ".join([f"rating by {best}: {reason}", *dropped])

    def unknown_part(self, n_columns: int) -> Float32Array:
        # p_u = 0: b_i alone, which is what to expect of a user without ratings.
        columns = np.zeros(n_columns, np.float32)
        columns[-1] = 1.0
        return columns

    def likeness(self, columns: slice) -> slice:
        """q_i without b_i: b_i is the quality of an item and no property that two items share."""
        return slice(columns.start, columns.stop - 1)

    def item_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """Ratings alone: this segment learns nothing from events."""
        return ratings.item_counts

    def user_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        return ratings.user_counts


def with_uncertainty(learned: LearnedDenseSegment, uncertainty: RatingUncertainty) -> LearnedDenseSegment:
    """The rating segment `learned` with `uncertainty`, estimated on a hold-out because its learner gave none."""
    if learned.vectors is None:
        raise ValueError("only the rating segment predicts ratings")
    fold = RatingFold.from_vectors(learned.vectors, uncertainty)
    return replace(learned, fold=fold, vectors=replace(learned.vectors, uncertainty=uncertainty))


def _affordable(ratings: RatingMatrix, n_ratings: int, allowed: Collection[str] | None = None) -> list[str]:
    # Equal ratings hold no differences between items for a factorisation to learn.
    if np.ptp(ratings.values) == 0:
        return ["biases"]
    if allowed is not None:
        return [name for name in RatingSegment.algorithms if name in allowed]
    if n_ratings > SLOW_UP_TO:
        return ["funk_svd"]
    features = ratings.features
    is_described = features is not None and 0 < features.items.shape[1] <= MAX_FEATURES
    return ["funk_svd", "bayesian_mf", *(["content_linear"] if is_described else []), "biases"]


def _rmse(learned: LearnedDenseSegment, validation: Validation) -> float:
    if learned.vectors is None:
        raise ValueError("a rating segment has rating vectors")
    # RMSE = sqrt(mean (r^_ui - r_ui)^2) over the held-out ratings
    return float(np.sqrt(np.mean(validation.errors(learned.vectors) ** 2)))


def _training_error(vectors: RatingVectors, ratings: RatingMatrix) -> float:
    """The RMSE on the training ratings: too small, but the only estimate without a hold-out."""
    n, storage = len(ratings), ratings.storage

    def squares(span: slice) -> NDArray[np.float32]:
        left = ratings.values[span] - vectors.predict(ratings.user_rows[span], ratings.item_rows[span])
        return left**2

    return math.sqrt(total(n, squares, storage) / n) if n else 0.0
