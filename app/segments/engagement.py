"""The segment `engagement`: what engages users once they meet it, learned from labels of events.

    item part  [ x_i | b_i ]      user part  [ p_u | 1 ]      log-odds  b + b_u + b_i + p_u . x_i

To the taste, an item that was shown and declined is the same as one that was never shown. This segment learns from the
difference, and from ratings liked and not liked beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.engagement_fold_in import EngagementFoldIn
from app.algorithms.errors import InvalidRatingsError
from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.segments.base import (
    AUTO,
    DenseFold,
    Float32Array,
    LearnedSegment,
    Observations,
    Segment,
    SegmentRecipe,
    UserPart,
)

ALGORITHM = "logistic"

ENOUGH_LABELS = 100
"""Labels of each kind that `auto` wants: fewer say little, and ratings as labels say nothing new."""


@dataclass(frozen=True)
class EngagementFold(DenseFold):
    """Folds labels in by logistic regression on the item part, see `EngagementFoldIn`."""

    regression: EngagementFoldIn

    @property
    def numbers(self) -> dict[str, float]:
        return self.regression.numbers

    def select(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """Everything the user met. Of events, inf is the label 1 and -inf the label 0, wherever liking begins."""
        _, _, positive_rows, negative_rows, _ = observed
        n_of_events = len(positive_rows), len(negative_rows)
        if not any(n_of_events):
            return observed.item_rows, observed.values
        values = np.concatenate([observed.values, np.repeat([np.inf, -np.inf], n_of_events)])
        return np.concatenate([observed.item_rows, positive_rows, negative_rows]), values

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None = None,
    ) -> UserPart:
        return UserPart(self.regression.part(columns, values))

    def influences(
        self, columns: Float32Array, values: NDArray[np.floating], shown: Float32Array
    ) -> NDArray[np.float64]:
        """How much of p_u . x_i each label carries; over all of them that adds up to it. b_i is carried by none."""
        return self.regression.influences(columns, values, shown)


class EngagementSegment(Segment):
    """Learned by logistic factors; `auto` wants enough labels of both kinds, or leaves the segment out."""

    name = "engagement"
    algorithms = (ALGORITHM, AUTO)
    default_algorithm = AUTO
    algorithm_without_data = ALGORITHM
    starting_weight = 0.1

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment:
        """[x_i | b_i] and [p_u | 1], every user folded in against the final item side."""
        from app.algorithms.hyperparameters import build  # noqa: PLC0415  see `Segment`
        from app.algorithms.logistic import Logistic  # noqa: PLC0415  see `Segment`

        learner, liked_from = build(Logistic, recipe.hyperparameters), _labelled_from(ratings)
        if liked_from is None:
            raise InvalidRatingsError("no event says what any user met")
        liked_from = liked_from if learner.threshold is None else learner.threshold
        # The labels are 0 and 1 already, so the learner must not put a threshold to them again.
        odds = replace(learner, threshold=None).fit(ratings.as_labels(liked_from), rng, progress).log_odds
        # [x_i | b_i] and [p_u | 1]; b + b_u moves no item and is left out.
        item_part = np.hstack([odds.item_factors, odds.item_biases[:, None]])
        return LearnedSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=np.hstack([odds.user_factors, np.ones((len(odds.user_factors), 1), np.float32)]),
            unrated_item=np.zeros(item_part.shape[1], np.float32),
            fold=EngagementFold(EngagementFoldIn(odds.mean, odds.regularization, liked_from)),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> EngagementFold:
        return EngagementFold(EngagementFoldIn.from_state(numbers))

    def prepare(self, recipe: SegmentRecipe, ratings: RatingMatrix) -> tuple[SegmentRecipe | None, str | None]:
        """By `auto` there must be enough labels of each kind; where an algorithm was asked for, any will do."""
        is_auto = recipe.algorithm == AUTO
        # Of one kind alone nothing can be told apart.
        n_positive, n_negative = counts = count_labels(ratings)
        if any(counts) and (not is_auto or min(n_positive, n_negative) >= ENOUGH_LABELS):
            return self.complete(ALGORITHM, recipe.hyperparameters), None
        # A service without events is not told that it lacks them.
        is_expected = _labelled_from(ratings) is not None or not is_auto
        return None, f"{self.name} left out: too few labels, {_counted(counts)}" if is_expected else None

    def note(self, weight: float, ratings: RatingMatrix) -> str | None:
        """How many labels the weight was learned from, where the segment is used."""
        if weight <= 0:
            return None
        return f"{self.name} by {ALGORITHM}: weight {weight:g}, {_counted(count_labels(ratings))}"

    def item_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """What was declined counts as well: an item is new until a user meets it."""
        return ratings.item_observed_counts

    def user_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        return ratings.user_observed_counts


def count_labels(ratings: RatingMatrix) -> tuple[int, int]:
    """How many pairs engaged and how many were declined, by events; where events lead, ratings count among them."""
    if ratings.labels is not None:
        are_positive = ratings.labels.are_positive
    elif ratings.chosen_from is not None:
        are_positive = ratings.values >= ratings.chosen_from
    else:
        return 0, 0
    n_positive = int(np.count_nonzero(are_positive))
    return n_positive, len(are_positive) - n_positive


def _labelled_from(ratings: RatingMatrix) -> float | None:
    """The lowest rating that is the label 1, where it is liked; None where there are no events."""
    return ratings.chosen_from if ratings.labels is None else ratings.labels.counts_as


def _counted(counts: tuple[int, int]) -> str:
    return "{:,} pairs engaged and {:,} declined before anything held out".format(*counts)
