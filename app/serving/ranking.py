"""One dot product over the union of the candidates.

score(u, i) = user side . item side
"""

import numpy as np
from numpy.typing import NDArray

from app.scoring import UserSide
from app.serving.candidates import Candidates, Ranked
from app.serving.context import Context
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


def score(rows: Rows, side: UserSide | None, serving: ServingState) -> NDArray[np.float32]:
    """(n,) scores of rows (n,); popularity alone before anything is learned."""
    if serving.snapshot is not None and side is not None:
        return vectors_of(rows, serving) @ side.vector
    scores = np.zeros(len(rows), dtype=np.float32)
    is_counted = rows < len(serving.popularity)
    scores[is_counted] = serving.popularity[rows[is_counted]]
    return scores


def vectors_of(rows: Rows, serving: ServingState) -> NDArray[np.float32]:
    """(n, d) the item side; of items newer than the snapshot, by their features."""
    snapshot = serving.snapshot
    if snapshot is None:
        raise LookupError("nothing is learned yet")
    is_learned = rows < serving.n_learned
    if is_learned.all():  # nearly always, and one `take` is faster than two indexed copies
        return snapshot.item_vectors.take(rows, axis=0)
    vectors = np.empty((len(rows), snapshot.item_vectors.shape[1]), dtype=np.float32)
    vectors[is_learned] = snapshot.item_vectors[rows[is_learned]]
    vectors[~is_learned] = serving.newer_vectors(rows[~is_learned])
    return vectors


def predict(rows: Rows, side: UserSide | None, serving: ServingState) -> list[float | None]:
    """(n,) predicted ratings on the rating scale, by the rating segment; None before anything is learned."""
    if serving.snapshot is None or side is None:
        return [None] * len(rows)
    # The rating segment has columns of its own: the score itself is no rating.
    predicted = serving.snapshot.predict(side, vectors_of(rows, serving))
    rounded: list[float | None] = predicted.astype(np.float64).round(4).tolist()
    return rounded
