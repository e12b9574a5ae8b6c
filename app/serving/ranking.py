"""One dot product over the union of the candidates."""

import numpy as np
from numpy.typing import NDArray

from app.serving.live import Live
from app.serving.query import Candidates, Ranked, Rows
from app.serving.tastes import Taste


def rank(candidates: Candidates, taste: Taste, live: Live) -> Ranked:
    """Candidates by score, best first; ties by row."""
    scores = score(candidates.rows, taste, live)
    order = np.argsort(-scores, kind="stable")
    return Ranked(candidates.rows[order], scores[order], candidates.proposed_by[order])


def score(rows: Rows, taste: Taste, live: Live) -> NDArray[np.float32]:
    """(n,) scores: user side . item side; popularity alone before anything is learned.

    `rows` ascend, so the items that are newer than the snapshot, whose vectors come from their features, are the last.
    """
    snapshot = live.snapshot
    if snapshot is None or taste.side is None:
        n_counted = len(live.popularity)
        scores = np.zeros(len(rows), dtype=np.float32)
        is_counted = rows < n_counted
        scores[is_counted] = live.popularity[rows[is_counted]]
        return scores
    learned = rows[rows < snapshot.n_items]
    scores = np.empty(len(rows), dtype=np.float32)
    scores[: len(learned)] = snapshot.item_vectors[learned] @ taste.side.vector
    if len(learned) < len(rows):
        scores[len(learned) :] = live.newer_vectors(rows[len(learned) :]) @ taste.side.vector
    return scores


def predict(rows: Rows, taste: Taste, live: Live) -> list[float | None]:
    """(n,) predicted ratings in the caller's scale, by the rating segment; None before anything is learned."""
    snapshot = live.snapshot
    if snapshot is None or taste.side is None:
        return [None] * len(rows)
    is_learned = rows < snapshot.n_items
    if is_learned.all():  # nearly always
        predicted = snapshot.predicted_ratings(taste.side, rows)
    else:
        predicted = np.empty(len(rows), dtype=np.float32)
        predicted[is_learned] = snapshot.predicted_ratings(taste.side, rows[is_learned])
        predicted[~is_learned] = snapshot.predict(taste.side, live.newer_vectors(rows[~is_learned]))
    return [round(value, 4) for value in predicted.tolist()]
