"""Whether there is a segment for what engages users once they meet it: events must have told both kinds of labels.

What users choose, the taste knows from ratings and engagements alone; to it, what was shown and declined is the same as
what nobody ever showed. This segment learns from the difference, and from ratings liked and not liked beside it.
"""

from dataclasses import replace

import numpy as np

from app.algorithms.rating_matrix import RatingMatrix
from app.training.recipe import AUTO, ENGAGEMENT, Recipe, complete
from app.training.sides import Weights

ALGORITHM = "logistic"

ENOUGH_LABELS = 100
"""Of each kind, for `auto`: fewer say little, and ratings as labels say nothing that the other segments do not know."""


def count_labels(ratings: RatingMatrix) -> tuple[int, int]:
    """Pairs that engaged and that were declined, by events; where events lead, with the few ratings among them."""
    if ratings.labels is not None:
        are_positive = ratings.labels.are_positive
    elif ratings.chosen_from is not None:
        are_positive = ratings.values >= ratings.chosen_from
    else:
        return 0, 0
    n_positive = int(np.count_nonzero(are_positive))
    return n_positive, len(are_positive) - n_positive


def labelled_from(ratings: RatingMatrix) -> float | None:
    """The rating that is the label 1, and all above: where it is liked; None where there are no events."""
    return ratings.chosen_from if ratings.labels is None else ratings.labels.counts_as


def resolve_engagement(recipe: Recipe, ratings: RatingMatrix) -> tuple[Recipe, tuple[str, ...]]:
    """`recipe` with the algorithm that learns the segment from `ratings`, or without it, and why, if there are events.

    Where it is `auto`, there must be enough labels of each kind; where it was asked for, any.
    """
    asked = next((segment for segment in recipe.segments if segment.name == ENGAGEMENT), None)
    if asked is None:
        return recipe, ()
    is_auto = asked.algorithm == AUTO
    n_positive, n_negative = counts = count_labels(ratings)
    if any(counts) and (not is_auto or min(n_positive, n_negative) >= ENOUGH_LABELS):
        settled = complete(ENGAGEMENT, ALGORITHM, asked.hyperparameters)
        segments = (settled if segment is asked else segment for segment in recipe.segments)
        return replace(recipe, segments=tuple(segments)), ()
    others = tuple(segment for segment in recipe.segments if segment is not asked)
    is_worth_a_word = labelled_from(ratings) is not None or not is_auto
    choices = (f"{ENGAGEMENT} left out: too few labels, {_told(counts)}",) if is_worth_a_word else ()
    return replace(recipe, segments=others), choices


def told_of_engagement(weights: Weights, ratings: RatingMatrix) -> list[str]:
    """That the segment is used, where it is, and from how many labels its weight was learned."""
    weight = weights.get(ENGAGEMENT, 0.0)
    return [f"{ENGAGEMENT} by {ALGORITHM}: weight {weight:g}, {_told(count_labels(ratings))}"] if weight > 0 else []


def _told(counts: tuple[int, int]) -> str:
    return "{:,} pairs engaged and {:,} declined before anything held out".format(*counts)
