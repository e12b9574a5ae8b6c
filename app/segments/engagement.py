"""The segment `engagement`: whether a user engages with an item that is shown, learned from labels of events.

    item part  [ x_i | b_i ]      user part  [ p_u | 1 ]      log-odds  b + b_u + b_i + p_u . x_i

The segment `taste` treats an item that was shown without a positive event like one that was never shown. This segment
learns from the difference. Ratings are labels here as well: 1 if liked, 0 if not.
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
from app.segments.base import AUTO, Float32Array, Observations, SegmentRecipe
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart

ALGORITHM = "logistic"

ENOUGH_LABELS = 100
"""Labels of each kind that `auto` requires. With fewer, nearly all labels would be ratings, which `rating` reads."""


@dataclass(frozen=True)
class EngagementFold(DenseFold):
    """Folds labels in by logistic regression on the item part, see `EngagementFoldIn`."""

    regression: EngagementFoldIn

    @property
    def numbers(self) -> dict[str, float]:
        return self.regression.numbers

    def select(self, observed: Observations) -> tuple[NDArray[np.integer], NDArray[np.floating]]:
        """All rated, positive and negative items. The values of events are inf for the label 1 and -inf for 0."""
        # A label is 1 where the value reaches a threshold, and infinite values stay on their side of any threshold.
        positive_rows, negative_rows = observed.positive_rows, observed.negative_rows
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
        """(n, m), the share of each label in p_u . x_i. The shares add up to it; b_i belongs to no label."""
        return self.regression.influences(columns, values, shown)


class EngagementSegment(DenseSegment):
    """Learned by logistic factors; `auto` leaves the segment out unless there are enough labels of both kinds."""

    name = "engagement"
    algorithms = (ALGORITHM, AUTO)
    default_algorithm = AUTO
    algorithm_without_data = ALGORITHM
    starting_weight = 0.1
    reads_events = True

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedDenseSegment:
        """[x_i | b_i] and [p_u | 1], every user folded in against the final item side."""
        from app.algorithms.hyperparameters import build
        from app.algorithms.logistic import Logistic

        learner, liked_from = build(Logistic, recipe.hyperparameters), _labelled_from(ratings)
        if liked_from is None:
            raise InvalidRatingsError("there are no events to learn labels from")
        liked_from = liked_from if learner.threshold is None else learner.threshold
        # `as_labels` makes 0 and 1 of the values, so the learner must not apply a threshold again.
        odds = replace(learner, threshold=None).fit(ratings.as_labels(liked_from), rng, progress).log_odds
        # log-odds = b + b_u + b_i + p_u . x_i; b + b_u is the same for all items of a user and changes no order.
        item_part = np.hstack([odds.item_factors, odds.item_biases[:, None]])
        return LearnedDenseSegment(
            recipe=recipe,
            item_part=item_part,
            user_part=np.hstack([odds.user_factors, np.ones((len(odds.user_factors), 1), np.float32)]),
            unrated_item=np.zeros(item_part.shape[1], np.float32),
            fold=EngagementFold(EngagementFoldIn(odds.mean, odds.regularization, liked_from)),
        )

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> EngagementFold:
        return EngagementFold(EngagementFoldIn.from_state(numbers))

    def prepare(self, recipe: SegmentRecipe, ratings: RatingMatrix) -> tuple[SegmentRecipe | None, str | None]:
        """`auto` requires enough labels of each kind; a recipe that names the algorithm requires one of any kind."""
        is_auto = recipe.algorithm == AUTO
        # Labels of one kind alone fit a constant.
        n_positive, n_negative = counts = count_labels(ratings)
        if any(counts) and (not is_auto or min(n_positive, n_negative) >= ENOUGH_LABELS):
            return self.complete(ALGORITHM, recipe.hyperparameters), None
        # A service that sends no events needs no sentence on their absence.
        is_expected = _labelled_from(ratings) is not None or not is_auto
        return None, f"{self.name} left out: too few labels, {_counted(counts)}" if is_expected else None

    def note(self, weight: float, ratings: RatingMatrix) -> str | None:
        """The weight and the number of labels, if the segment is used."""
        if weight <= 0:
            return None
        return f"{self.name} by {ALGORITHM}: weight {weight:.3g}, {_counted(count_labels(ratings))}"

    def item_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        """Declined pairs count as well: an item's odds are learned from both kinds."""
        return ratings.item_observed_counts

    def user_counts(self, ratings: RatingMatrix) -> NDArray[np.int64]:
        return ratings.user_observed_counts


def count_labels(ratings: RatingMatrix) -> tuple[int, int]:
    """The numbers of positive and negative pairs by events; if events lead, ratings count among them."""
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
    return "{:,} positive and {:,} negative pairs before the hold-out".format(*counts)
