"""One dot product over the union of the candidates."""

import numpy as np
from numpy.typing import NDArray

from app.serving.context import Context
from app.serving.query import Candidates, Ranked
from app.serving.rows import Rows
from app.serving.serving_state import ServingState
from app.snapshots import UserSide


def rank(candidates: Candidates, context: Context) -> Ranked:
    """Candidates by score, best first; ties by row."""
    scores = score(candidates.rows, context.side_vector, context.serving)
    order = (-scores).argsort(kind="stable")
    scores = scores.take(order)
    return Ranked(candidates.rows.take(order), scores, scores, candidates.proposed_by.take(order))


def unranked(rows: Rows, proposed_by: NDArray[np.int64], context: Context) -> Ranked:
    """Rows ascending with their scores, in the order they come."""
    scores = score(rows, context.side_vector, context.serving)
    return Ranked(rows, scores, scores, proposed_by)


def score(rows: Rows, side_vector: NDArray[np.float32] | None, serving: ServingState) -> NDArray[np.float32]:
    """(n,) scores: user side . item side; popularity alone before anything is learned."""
    snapshot = serving.snapshot
    if snapshot is None or side_vector is None:
        n_counted = len(serving.popularity)
        scores = np.zeros(len(rows), dtype=np.float32)
        is_counted = rows < n_counted
        scores[is_counted] = serving.popularity[rows[is_counted]]
        return scores
    return vectors_of(rows, serving) @ side_vector


def vectors_of(rows: Rows, serving: ServingState) -> NDArray[np.float32]:
    """(n, d) the item side; of items newer than the snapshot, by their features."""
    snapshot = serving.snapshot
    if snapshot is None:
        raise LookupError("nothing is learned yet")
    is_learned = rows < snapshot.n_items
    if is_learned.all():  # nearly always
        return snapshot.item_vectors.take(rows, axis=0)
    vectors = np.empty((len(rows), snapshot.item_vectors.shape[1]), dtype=np.float32)
    vectors[is_learned] = snapshot.item_vectors[rows[is_learned]]
    vectors[~is_learned] = serving.newer_vectors(rows[~is_learned])
    return vectors


def predict(rows: Rows, side: UserSide | None, serving: ServingState) -> list[float | None]:
    """(n,) predicted ratings in the caller's scale, by the rating segment; None before anything is learned."""
    if serving.snapshot is None or side is None:
        return [None] * len(rows)
    predicted = serving.snapshot.predict(side, vectors_of(rows, serving))
    rounded: list[float | None] = predicted.astype(np.float64).round(4).tolist()
    return rounded
