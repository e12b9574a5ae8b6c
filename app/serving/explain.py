"""Why an item stands where it does: the same sum, read segment by segment and rating by rating."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.serving.context import Context
from app.serving.query import Because, ExplainedItem, Moved, Ranked, Reasons, RecommendedItem, SegmentShare
from app.serving.ranking import vectors_of
from app.serving.rows import Rows

N_BECAUSE = 3
"""Rated items named for each item."""

LEAST_SHARE = 1e-3
"""Of all that rated items say: below it none is named."""


@dataclass(slots=True)
class Trace:
    """What each rule made of the order, for an answer that explains itself."""

    is_kept: bool
    steps: list[tuple[str, Rows, Rows]] = field(default_factory=list)

    def of(self, rule: str, before: Ranked, after: Ranked) -> Ranked:
        """`after`, remembered."""
        if self.is_kept:
            self.steps.append((rule, before.rows, after.rows))
        return after

    def moves(self, row: int) -> list[Moved]:
        """The rules that moved a row, in the order they acted."""
        moves = []
        for rule, before, after in self.steps:
            ranks_before, ranks_after = np.flatnonzero(before == row), np.flatnonzero(after == row)
            rank_before = int(ranks_before[0]) + 1 if len(ranks_before) else None
            rank_after = int(ranks_after[0]) + 1
            if rank_before != rank_after:
                moves.append(Moved(rule, rank_before, rank_after))
        return moves


def explained(items: Sequence[RecommendedItem], shown: Ranked, trace: Trace, context: Context) -> list[ExplainedItem]:
    shares, because = _segments(shown.rows, context), _because(shown.rows, context)
    return [
        ExplainedItem(
            item.item_id,
            item.title,
            item.score,
            item.predicted_rating,
            item.sources,
            Reasons(shares[place], because[place], trace.moves(row)),
        )
        for place, (item, row) in enumerate(zip(items, shown.rows.tolist(), strict=True))
    ]


def _segments(rows: Rows, context: Context) -> list[list[SegmentShare]]:
    """For each row the segments' addends; none before anything is learned."""
    snapshot, side = context.serving.snapshot, context.side
    if snapshot is None or side is None:
        return [[] for _ in rows]
    vectors = vectors_of(rows, context.serving)
    addends = snapshot.shares(side, vectors)
    sizes = sum(np.abs(each) for each in addends.values())
    percents = {name: 100 * np.abs(each) / np.where(sizes > 0, sizes, 1) for name, each in addends.items()}
    return [
        [
            SegmentShare(name, round(float(addends[name][place]), 5), round(float(percents[name][place]), 1))
            for name in addends
        ]
        for place in range(len(rows))
    ]


def _because(rows: Rows, context: Context) -> list[list[Because]]:
    """For each row the others rated or engaged with that say most for it; none where a rule turned the taste round.

    An item is no reason for itself, though liking it says most for it: the shares are of what all others say.
    """
    snapshot, user = context.serving.snapshot, context.user
    n_learned = context.serving.n_learned
    is_learned = user.rated_rows < n_learned
    positive, negative = (each[each < n_learned] for each in (user.positive_rows, user.negative_rows))
    rated, values = user.rated_rows[is_learned], user.values[is_learned]
    if snapshot is None or context.side is not user.side or not len(rated) + len(positive):
        return [[] for _ in rows]
    influences = snapshot.influences(rated, values, vectors_of(rows, context.serving), positive, negative)
    spoken = np.append(rated, positive)
    influences[rows[:, None] == spoken] = 0
    given: list[float | None] = [*map(float, values), *(None for _ in positive)]
    catalogue = context.serving.catalogue
    return [
        [
            Because(catalogue.item_ids[spoken[n]], catalogue.titles[spoken[n]], given[n], round(100 * share, 1))
            for n, share in _strongest(influence)
        ]
        for influence in influences
    ]


def _strongest(influence: NDArray[np.floating]) -> list[tuple[int, float]]:
    """The places of the `N_BECAUSE` largest positive influences, and their shares of all positive ones."""
    positive = np.maximum(influence, 0)
    total = float(positive.sum())
    if total <= 0:
        return []
    order = np.argsort(-positive, kind="stable")[:N_BECAUSE]
    return [(int(n), share) for n in order if (share := float(positive[n]) / total) >= LEAST_SHARE]
