"""How much memory a run needs, estimated from the numbers of ratings, users and items: all estimates are here.

Above `RECKON_TRAINING_MEMORY` the ratings live in mapped files (`scratch.py`), which the learners of `IN_BLOCKS` walk.
What has a row for each user or item stays in memory, and is the least that a run needs. The engine `spark` changes
nothing of this: it gives its executors blocks of the mapped files, and what they return has a row for each item.
"""

from dataclasses import dataclass

from app.segments.base import AUTO, SegmentRecipe
from app.segments.popularity import POPULARITY
from app.segments.rating import RATING
from app.training.engines import EngineName, allowed_by
from app.training.errors import TrainingFailedError
from app.training.recipe import Recipe

IN_BLOCKS = ("funk_svd", "als", "als_implicit", "biases", POPULARITY)
"""The learners that walk ratings a block at a time."""

OF_PROCESS = 1_100 << 20
"""The process with its libraries and compiled kernels, and the largest step that works on blocks. A run of 1 million
ratings was seen to take 0.8 GB in all; the rest is for what is read before pages are dropped."""

OF_USER, OF_ITEM = 200, 2_500
"""Bytes of a user and of an item beside their vectors: keys, ids, entries, similar items."""

OF_RATING = 75
"""Bytes of a rating in memory: columns, their two parts, the histories of a snapshot, orders by user and by item."""

OF_MEASURED = 150
"""Bytes of a rating that is measured on: as above, and what the comparison of candidates adds."""

MOST_MEASURED = 5_000_000
"""Ratings of the users that a run larger than memory is measured on, about."""

MEASURED_SHARE = 0.25
"""The share of the setting that measuring may take."""

DEFAULT_FACTORS = 64


@dataclass(frozen=True)
class RunSize:
    """The numbers of what a run learns from."""

    n_ratings: int
    n_users: int
    n_items: int


def in_memory(recipe: Recipe, size: RunSize) -> int:
    """The bytes that a run needs with all ratings in memory."""
    largest = max(of_learner(segment, size) for segment in recipe.segments)
    return OF_PROCESS + OF_RATING * size.n_ratings + largest + _published(recipe, size)


def in_blocks(recipe: Recipe, size: RunSize) -> int:
    """The least bytes that a run needs with all ratings in files, without what is measured."""
    rows = size.n_users + size.n_items
    largest = max(4 * rows * _width(segment) * 4 for segment in recipe.segments)
    return OF_PROCESS + largest + _published(recipe, size)


def n_measured(most_bytes: int) -> int:
    """How many ratings a run larger than memory is measured on."""
    return min(MOST_MEASURED, int(MEASURED_SHARE * most_bytes) // OF_MEASURED)


def of_learner(segment: SegmentRecipe, size: RunSize) -> int:
    """The bytes that the fit of one segment adds to the ratings in memory."""
    n, items = size.n_ratings, size.n_items
    k, rows = _width(segment), size.n_users + size.n_items
    square = 8 * items**2
    estimates = {
        "funk_svd": 20 * n + 12 * rows * k,
        "als": 30 * n + 12 * rows * k,
        "als_implicit": 30 * n + 12 * rows * k,
        "biases": 16 * n + 16 * rows,
        POPULARITY: 24 * n,
        # Sums of samples of all vectors, and the ratings by user and by item.
        "bayesian_mf": 40 * n + 60 * rows * k,
        # A regression for each user on the features of items.
        "content_linear": 40 * n + 8 * rows * k,
        # The inverse of a matrix of all pairs of items, and its copies.
        "ease": 24 * n + 3 * square,
        "transitions": 24 * n + 3 * square,
        # Neighbours of each item alone.
        "slim": 60 * n + 6_000 * items,
        "sparse_transitions": 60 * n + 6_000 * items,
        "two_tower": 60 * n + 400 * rows,
        "logistic": 60 * n + 400 * rows,
    }
    # What the data choose is one of the lighter ones where there are many ratings.
    return estimates.get(segment.algorithm, 60 * n + 12 * rows * k)


def choose_place(recipe: Recipe, size: RunSize, most_bytes: int | None) -> bool:
    """Whether the ratings must stay outside of memory: they need more than `most_bytes`; None: any amount is there.

    Raises `TrainingFailedError` where the recipe has a learner that needs them in memory, or where `most_bytes` is less
    than the least that the run needs.
    """
    if most_bytes is None or (needed := in_memory(recipe, size)) <= most_bytes:
        return False
    of_run = f"{size.n_ratings:,} ratings of {size.n_users:,} users and {size.n_items:,} items"
    if others := [segment for segment in recipe.segments if not _is_in_blocks(segment)]:
        each = ", ".join(
            f"{segment.name} by {segment.algorithm} about {shown(_alone(segment, recipe, size))}" for segment in others
        )
        raise TrainingFailedError(
            f"{of_run} need about {shown(needed)} with this recipe, above RECKON_TRAINING_MEMORY"
            f" {shown(most_bytes)}: {each}",
            _what_fits(recipe.engine),
        )
    if (least := in_blocks(recipe, size)) > most_bytes:
        raise TrainingFailedError(
            f"the vectors and entries of {of_run} need at least {shown(least)}, above RECKON_TRAINING_MEMORY"
            f" {shown(most_bytes)}",
            "Raise RECKON_TRAINING_MEMORY, or learn fewer factors.",
        )
    return True


def shown(n_bytes: float) -> str:
    """Such as `12 GB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if n_bytes >= size:
            return f"{n_bytes / size:.3g} {unit}"
    return f"{n_bytes / 1e6:.0f} MB"


def _what_fits(engine: EngineName) -> str:
    allowed = allowed_by(engine, RATING)
    *most, last = [name for name in ("funk_svd", "als", "biases") if allowed is None or name in allowed]
    return (
        f"What fits: {RATING} by {', '.join(most)} or {last}, taste by als_implicit, and {POPULARITY}, alone or"
        " together: name these segments in a recipe (`reckon train --recipe FILE`, `--segments taste,popularity`), or"
        " raise RECKON_TRAINING_MEMORY."
    )


def _is_in_blocks(segment: SegmentRecipe) -> bool:
    # What the data choose of many ratings is one of these.
    return segment.algorithm in IN_BLOCKS or (
        segment.algorithm == AUTO and segment.name in {RATING, "taste", POPULARITY}
    )


def _alone(segment: SegmentRecipe, recipe: Recipe, size: RunSize) -> int:
    return OF_PROCESS + OF_RATING * size.n_ratings + of_learner(segment, size) + _published(recipe, size)


def _published(recipe: Recipe, size: RunSize) -> int:
    """Vectors of all segments, joined and in parts, and what belongs to users and items beside them."""
    width = sum(_width(segment) for segment in recipe.segments) + 16
    return (size.n_users + size.n_items) * width * 4 * 2 + OF_USER * size.n_users + OF_ITEM * size.n_items


def _width(segment: SegmentRecipe) -> int:
    if segment.name not in {RATING, "taste"}:
        return 1
    if segment.algorithm == "biases":
        return 1
    return int(segment.hyperparameters.get("n_factors", DEFAULT_FACTORS))
