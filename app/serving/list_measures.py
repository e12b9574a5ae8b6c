"""What a few lists are like, without knowing whether their items are chosen: for the preview of a placement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.serving.rows import Rows
from app.serving.serving_state import ServingState


@dataclass(frozen=True, slots=True)
class ListMeasures:
    """Each is None where it cannot be computed: without items, or before anything is learned.

    `coverage`: different items divided by all places of the lists, 0 to 1; 1 if no item comes twice.
    `novelty`: mean over the items of log2(users / users who chose the item), in bits, as `app.evaluation.ranking` has
        it (Vargas & Castells 2011); each further bit halves the share of users who know the item.
    `diversity`: mean over the pairs of a list of 1 - cosine of the item vectors, 0 (all alike) to 2.
    """

    coverage: float | None
    novelty: float | None
    diversity: float | None


def measure_lists(lists: Sequence[Rows], serving: ServingState) -> ListMeasures:
    """`lists`: rows of the catalogue, those of each list."""
    places = np.concatenate([np.empty(0, np.int64), *lists])
    if not len(places):
        return ListMeasures(None, None, None)
    coverage = len(np.unique(places)) / len(places)
    if not serving.scorer.is_learned:
        return ListMeasures(coverage, None, None)
    diversities = [each for each in (_diversity(rows, serving) for rows in lists) if each is not None]
    return ListMeasures(coverage, _novelty(places, serving), float(np.mean(diversities)) if diversities else None)


def _novelty(rows: Rows, serving: ServingState) -> float:
    arrays = serving.scorer.arrays
    counts = np.zeros(len(rows))
    is_learned = rows < serving.n_learned
    counts[is_learned] = arrays.item_counts[rows[is_learned]]
    # An item that nobody chose counts as chosen by one user.
    return float(np.log2(max(len(arrays.user_keys), 1) / np.maximum(counts, 1)).mean())


def _diversity(rows: Rows, serving: ServingState) -> float | None:
    n = len(rows)
    if n < 2:  # noqa: PLR2004  one item has no pair
        return None
    directions = serving.scorer.directions(serving.vectors_of(rows)).astype(np.float64)
    # sum over pairs i != j of v_i . v_j = |sum_i v_i|^2 - sum_i |v_i|^2
    alike = float((directions.sum(axis=0) ** 2).sum() - (directions**2).sum())
    return 1 - alike / (n * (n - 1))
