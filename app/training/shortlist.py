"""The items that may stand on a user's list under some weights, with each segment's score: cheap to rank again."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.training.sides import Sides
from app.training.validation_split import LEAST_NDCG, K, ValidationSplit

PER_SEGMENT = 200
"""The best items of each segment that are kept. A list of ten by any weighted sum comes from them, except for rare
items that rank low in every segment and high in the sum."""

_SCORES_PER_BATCH = 4_000_000
"""Bounds the memory: 16 MB of scores at a time."""


@dataclass(frozen=True)
class Shortlist:
    """Up to c candidates of each of b users.

    `scores`: (b, c, segments) float32, by segment; -inf where a user has fewer than c candidates.
    `is_relevant`: (b, c) bool, held out and relevant.
    `ideal`: (b,), the discounted gain of the best possible list.
    `is_next`: (b, c) bool, the item that comes next; None where that is not asked.
    """

    scores: NDArray[np.float32]
    is_relevant: NDArray[np.bool_]
    ideal: NDArray[np.float64]
    is_next: NDArray[np.bool_] | None = None

    @classmethod
    def from_sides(cls, sides: Sides, split: ValidationSplit) -> "Shortlist":
        """From `sides`, whose weights are all 1, for the users of `split`."""
        n_items = split.train.n_items
        n_batch = max(1, _SCORES_PER_BATCH // max(1, n_items * len(sides.segments)))
        batches = [
            _candidates(sides, split, slice(start, start + n_batch))
            for start in range(0, len(split.user_rows), n_batch)
        ]
        width = max(scores.shape[1] for scores, _, _ in batches)
        scores = np.concatenate([_padded(scores, width, -np.inf) for scores, _, _ in batches])
        is_relevant = np.concatenate([_padded(relevant, width, 0) for _, relevant, _ in batches])
        is_next = np.concatenate([_padded(is_next, width, 0) for _, _, is_next in batches])
        n_relevant = split.n_relevant
        # ideal = sum over n = 1 .. min(n_relevant, K) of 1 / log2(n + 1)
        discounts = np.cumsum(1 / np.log2(np.arange(2, K + 2)))
        ideal = discounts[np.minimum(n_relevant, K) - 1]
        return cls(scores, is_relevant, ideal, is_next if len(split.next_items) else None)

    def ndcg(self, weights: NDArray[np.floating]) -> float:
        """As `ValidationSplit.ndcg`: the geometric mean, over the questions, of the means of `ndcg_of_users`."""
        means = self.ndcg_of_users(weights).mean(axis=0)
        if len(means) == 1:
            return float(means[0])
        return float(np.sqrt(np.maximum(means, LEAST_NDCG).prod()))

    def ndcg_of_users(self, weights: NDArray[np.floating]) -> NDArray[np.float64]:
        """(b, q) nDCG@10 of the lists by the weighted sum of the segments' scores, for each of q questions: relevant
        items and, where that is asked, the next one. `weights`: (segments,).
        """
        with np.errstate(invalid="ignore"):  # 0 times -inf, where there is no candidate
            scores = np.nan_to_num(self.scores @ weights.astype(np.float32), nan=-np.inf, neginf=-np.inf)
        k = min(K, scores.shape[1])
        # Only the best k are sorted: a full sort of every shortlist for every weight would take most of the time.
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable"), 1)
        # nDCG = sum over places n of rel_n / log2(n + 1), divided by the ideal
        discounts = 1 / np.log2(np.arange(2, k + 2))
        of_users = [np.take_along_axis(self.is_relevant, best, 1) @ discounts / self.ideal]
        if self.is_next is not None:
            of_users.append(np.take_along_axis(self.is_next, best, 1) @ discounts)
        return np.column_stack(of_users)


def _candidates(
    sides: Sides, split: ValidationSplit, measured: slice
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Scores, which items are relevant and which one is next, of a range of the measured users."""
    user_rows = split.user_rows[measured]
    is_candidate = split.may_be_shown(user_rows)
    by_segment = [np.where(is_candidate, sides.score_of(part, user_rows), -np.inf) for part in sides.segments]
    is_relevant = split.is_relevant(user_rows)
    is_next = np.zeros_like(is_relevant)
    if len(split.next_items):
        is_next[:] = np.arange(is_next.shape[1]) == split.next_items[measured, None]
    is_kept = (is_relevant | is_next) & is_candidate
    # The relevant candidates are kept as well, or a weight that brings one up could not be seen to help.
    n_kept = min(PER_SEGMENT, is_candidate.shape[1])
    for scores in by_segment:
        best = np.argpartition(-scores, n_kept - 1, axis=1)[:, :n_kept]
        np.put_along_axis(is_kept, best, values=True, axis=1)
    is_kept &= is_candidate
    width = int(is_kept.sum(axis=1).max(initial=1))
    # A stable sort by "not kept" moves the kept items to the front, in the order of their rows.
    places = np.argsort(~is_kept, axis=1, kind="stable")[:, :width]
    is_there = np.take_along_axis(is_kept, places, axis=1)
    scores = np.stack([np.take_along_axis(scores, places, axis=1) for scores in by_segment], axis=2)
    scores[~is_there] = -np.inf
    is_relevant, is_next = (np.take_along_axis(each, places, axis=1) & is_there for each in (is_relevant, is_next))
    return scores.astype(np.float32), is_relevant, is_next


def _padded(rows: NDArray[np.generic], width: int, filling: float) -> NDArray[np.generic]:
    missing = [(0, 0), (0, width - rows.shape[1]), *[(0, 0)] * (rows.ndim - 2)]
    return np.pad(rows, missing, constant_values=filling)
