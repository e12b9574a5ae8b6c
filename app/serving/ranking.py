"""One dot product over the union of the candidates.

score(u, i) = dense user side . dense item side + sum over history j of decay^age(j) B[j, i]
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
    return serving.scorer.scores(side, rows, serving.vectors_of(rows))


def score_between(start: int, stop: int, side: UserSide, serving: ServingState) -> NDArray[np.float32]:
    """The scores of all rows from `start` up to `stop`, (stop - start,)."""
    return serving.scorer.scores(side, np.arange(start, stop), serving.vectors_between(start, stop))


def null_where_nan(values: NDArray[np.float32]) -> list[float | None]:
    """(n,) rounded to four decimals for an answer, in which null stands for what is not predicted."""
    rounded: list[float] = values.astype(np.float64).round(4).tolist()
    # All or none are NaN: a scorer predicts ratings or it does not.
    return [None] * len(rounded) if rounded and math.isnan(rounded[0]) else [*rounded]
