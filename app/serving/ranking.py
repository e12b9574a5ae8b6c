"""One dot product over the union of the candidates.

score(u, i) = user side . item side
"""

import math

import numpy as np
from numpy.typing import NDArray

from app.scoring import UserSide
from app.serving.candidates import Candidates, Ranked
from app.serving.parts import Context
from app.serving.rows import Rows
from app.serving.serving_state import ServingState


def rank(candidates: Candidates, context: Context) -> Ranked:
    """Candidates by score, best first; ties by row."""
    scores = score(candidates.rows, context.side, context.serving)
    # Candidates come in ascending rows, so a stable sort breaks ties by row.
    order = (-scores).argsort(kind="stable")
    scores = scores.take(order)
    return Ranked(candidates.rows.take(order), scores, scores, candidates.proposed_by.take(order))


def scored(rows: Rows, proposed_by: int, context: Context) -> Ranked:
    """Rows (n,) in the order given, with their scores; `proposed_by`: the bits of all of them."""
    scores = score(rows, context.side, context.serving)
    return Ranked(rows, scores, scores, np.full(len(rows), proposed_by))


def score(rows: Rows, side: UserSide, serving: ServingState) -> NDArray[np.float32]:
    """(n,) scores of rows (n,)."""
    return vectors_of(rows, serving) @ side.vector


def vectors_of(rows: Rows, serving: ServingState) -> NDArray[np.float32]:
    """(n, d) the item side; of items newer than the scorer, by their features."""
    item_vectors = serving.scorer.item_vectors
    is_held = rows < len(item_vectors)
    if is_held.all():  # nearly always, and one `take` is faster than two indexed copies
        return item_vectors.take(rows, axis=0)
    vectors = np.empty((len(rows), item_vectors.shape[1]), dtype=np.float32)
    vectors[is_held] = item_vectors[rows[is_held]]
    vectors[~is_held] = serving.newer_vectors(rows[~is_held])
    return vectors


def null_where_nan(values: NDArray[np.float32]) -> list[float | None]:
    """(n,) rounded to four decimals for an answer, in which null stands for what is not predicted."""
    rounded: list[float] = values.astype(np.float64).round(4).tolist()
    # All or none are NaN: a scorer predicts ratings or it does not.
    return [None] * len(rounded) if rounded and math.isnan(rounded[0]) else [*rounded]
