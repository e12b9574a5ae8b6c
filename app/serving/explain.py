"""Why an item stands where it does: the same sum, read segment by segment and rating by rating."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.scoring import Observations
from app.serving.candidates import Ranked, Trace
from app.serving.parts import Context
from app.serving.query import Because, ExplainedItem, Reasons, RecommendedItem, SegmentShare
from app.serving.rows import Rows

N_BECAUSE = 3
"""Liked items named for each item."""

LEAST_AT_ONCE, INFLUENCES_AT_ONCE = 100, 500_000
"""Items explained at once, and influences of the history on them: operations on larger arrays would hold the
interpreter lock, and with it all requests, for tens of milliseconds."""

LEAST_SHARE = 1e-3
"""Of what all liked items add to the score: an item with a smaller share is not named."""


def explained(items: Sequence[RecommendedItem], shown: Ranked, trace: Trace, context: Context) -> list[ExplainedItem]:
    """The items, each with its segments, the ratings that raised it, and the rules that moved it."""
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
    scorer = context.serving.scorer
    if not scorer.is_learned:  # the whole score is popularity
        return [[] for _ in rows]
    # score = sum over segments of user side . item side, each over its own columns or by its own table
    addends = scorer.shares(context.side, rows, context.serving.vectors_of(rows))
    # Addends may be negative: a share is that of the sizes, which sum to 100 %.
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
    """For each row the other items, liked or with positive events, that raise its score most.

    None if a rule changed the user side, because the history does not explain the changed side.
    """
    user, n_learned = context.user, context.serving.n_learned
    learned = user.learned(n_learned)
    if context.side is not user.side or not len(learned.item_rows) + len(learned.positive_rows):
        return [[] for _ in rows]
    step = max(LEAST_AT_ONCE, INFLUENCES_AT_ONCE // (len(learned.item_rows) + len(learned.positive_rows)))
    return [
        each
        for start in range(0, len(rows), step)
        for each in _because_of(learned, rows[start : start + step], context)
    ]


def _because_of(learned: Observations, rows: Rows, context: Context) -> list[list[Because]]:
    """For each of some rows the observations that raise its score most."""
    scorer = context.serving.scorer
    # A folded-in user side is linear in the history, so its score is a sum over the history.
    influences = scorer.influences(learned, rows, context.serving.vectors_of(rows))
    history, values = np.append(learned.item_rows, learned.positive_rows), learned.values
    # An item must not explain itself, although liking it raises its score most: shares are of what the others add.
    influences[rows[:, None] == history] = 0
    # Nor is what the user rated and did not like, although it may raise the predicted rating of what is unlike it.
    influences[:, : len(values)][:, values < scorer.liked_from] = 0
    ratings: list[float | None] = [*map(float, values), *(None for _ in learned.positive_rows)]
    catalogue = context.serving.catalogue
    return [
        [
            Because(catalogue.item_ids[history[n]], catalogue.titles[history[n]], ratings[n], round(100 * share, 1))
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
