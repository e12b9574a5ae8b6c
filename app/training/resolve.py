"""Resolves what a recipe leaves to the data, on a split inside the training part: algorithms, settings, weights.

The hold-out of the run plays no part. The work is bounded by the size of the data, never by the clock: the same seed
and ratings give the same snapshot on any machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.algorithms.progress import ProgressCallback, Stage, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.segments.base import AUTO, LearnedSegment, SegmentFitError
from app.segments.registry import SEGMENTS
from app.training.blend import learn_weights, unlearned_weights
from app.training.engines import allowed_by
from app.training.fit import Learned, left_out
from app.training.recipe import Recipe, complete
from app.training.sides import Weights
from app.training.validation_split import inner_split

MAX_RATINGS = 500_000
"""Of larger data, users are drawn at random until they have given this many ratings; all others are left out here."""

MAX_USERS = 4000
"""Users whose lists are compared, at most."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe after the data chose.

    `recipe`: without `auto`, and without segments of weight 0.
    `choices`: why it is this one, a sentence each; the snapshot's card shows them.
    """

    recipe: Recipe
    weights: Weights
    choices: tuple[str, ...] = ()


def resolve(
    recipe: Recipe,
    ratings: RatingMatrix,
    scale: RatingScale,
    rng: np.random.Generator,
    progress: ProgressCallback = ignore,
) -> ResolvedRecipe:
    """What `ratings`, all of them a training part, make of `recipe`. Raises `TrainingFailedError`.

    Each segment is a part of the stage `progress`, and each choice is a decision of it.
    """
    stage = Stage.from_progress(progress)
    # Generators are spawned in a fixed order, so that equal seeds give equal snapshots.
    (split_rng,) = rng.spawn(1)
    sizes = {"max_ratings": MAX_RATINGS, "max_users": MAX_USERS}
    # A second split by the same rule: choices made on the hold-out would flatter the report.
    inner = inner_split(ratings, scale, recipe.holdout_fraction, split_rng, recipe.question, **sizes)
    stage.note(n_ratings=len(inner.train), n_held_out=len(inner.holdout), n_users_measured=len(inner.user_rows))
    choices: list[str] = []
    if len(inner.next_items):
        measure = "the geometric mean of two nDCG@10, of what is liked and of what is chosen next"
        choices.append(stage.decide(f"nDCG@10 inside the training part is {measure}"))
    recipe, reasons = prepare(recipe, inner.train if inner.is_measurable else ratings)
    choices += [stage.decide(reason) for reason in reasons]
    if not inner.is_measurable:
        choices.append(stage.decide("too few ratings to compare anything"))
        return _without_comparison(recipe, choices)
    learned: list[LearnedSegment] = []
    n = len(recipe.segments)
    for place, (segment, segment_rng) in enumerate(zip(recipe.segments, rng.spawn(n), strict=True)):
        with stage.part(segment.name, 0.9 * (place + 1) / n, algorithm=segment.algorithm) as part:
            try:
                if segment.algorithm == AUTO:
                    allowed = allowed_by(recipe.engine, segment.name)
                    chosen, choice = SEGMENTS[segment.name].choose(inner, ratings, segment_rng, part, allowed)
                    choices.append(part.decide(choice))
                else:
                    chosen = SEGMENTS[segment.name].fit(segment, inner.train, segment_rng, part)
                learned.append(chosen)
            except SegmentFitError as error:
                choices.append(part.decide(left_out(segment, error)))
    with stage.part("weights") as part:
        # The blend is learned from the same fits, so no segment is learned twice.
        if any(SEGMENTS[segment.recipe.name].anchors_weights for segment in learned):
            weights = learn_weights(Learned.from_segments(tuple(learned), inner.train), inner, part)
        else:  # a recipe without popularity whose taste diverged
            weights = unlearned_weights([segment.recipe.name for segment in learned])
        notes = [SEGMENTS[name].note(weight, inner.train) for name, weight in weights.items()]
        choices += [part.decide(note) for note in notes if note is not None]
        choices += [
            part.decide(f"{name} left out: it improves no list") for name, weight in weights.items() if weight == 0
        ]
        if (unread := unread_events([name for name, weight in weights.items() if weight > 0], inner.train)) is not None:
            choices.append(part.decide(unread))
    # A segment of weight 0 would cost columns and memory and change no list.
    kept = tuple(segment.recipe for segment in learned if weights[segment.recipe.name] > 0)
    return ResolvedRecipe(replace(recipe, segments=kept), weights, tuple(choices))


def unread_events(names: Sequence[str], ratings: RatingMatrix) -> str | None:
    """A sentence where `ratings` have positive events that none of the segments `names` reads; None otherwise."""
    labels = ratings.labels
    if labels is None or not labels.are_positive.any() or any(SEGMENTS[name].reads_events for name in names):
        return None
    # The weights are learned on ratings alone, so nothing above speaks for these users.
    return "users known by events alone get popular items: no segment that reads events helps the others"


def prepare(recipe: Recipe, ratings: RatingMatrix) -> tuple[Recipe, list[str]]:
    """`recipe` without the segments that cannot be learned from `ratings`, and why each of them is missing."""
    prepared = [SEGMENTS[segment.name].prepare(segment, ratings) for segment in recipe.segments]
    segments = tuple(segment for segment, _ in prepared if segment is not None)
    return replace(recipe, segments=segments), [reason for _, reason in prepared if reason is not None]


def _without_comparison(recipe: Recipe, choices: list[str]) -> ResolvedRecipe:
    """The recipe for data in which no two candidates can be compared: simple algorithms and fixed weights."""
    segments = tuple(
        complete(segment.name, SEGMENTS[segment.name].algorithm_without_data, {})
        if segment.algorithm == AUTO
        else segment
        for segment in recipe.segments
    )
    weights = unlearned_weights([segment.name for segment in segments])
    return ResolvedRecipe(replace(recipe, segments=segments), weights, tuple(choices))
