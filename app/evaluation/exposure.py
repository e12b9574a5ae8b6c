"""How the places in lists are spread over the items: by how often each is shown, and by how often each was chosen."""

import numpy as np
from numpy.typing import NDArray

from app.evaluation.ranking import RankingMetrics

N_POINTS = 41
N_GROUPS = 10

Pairs = tuple[tuple[float, float], ...]


def lorenz_curve(ranking: RankingMetrics) -> Pairs:
    """Return points (share of candidates, share of places) of the Lorenz curve (Lorenz 1905), least shown first.

    From (0, 0) to (1, 1), at equal distances of the share of candidates; empty where nothing was shown.
    """
    times_shown = np.sort(_times_shown(ranking)[_are_candidates(ranking)])
    # Candidates without a rating in the training part that were never shown.
    n_missing = max(ranking.n_candidates - len(times_shown), 0)
    total = np.concatenate([np.zeros(n_missing + 1), np.cumsum(times_shown)])
    if not total[-1]:
        return ()
    shares = np.linspace(0.0, 1.0, N_POINTS)
    reached = np.interp(shares * (len(total) - 1), np.arange(len(total)), total / total[-1])
    return tuple((round(float(x), 4), round(float(y), 6)) for x, y in zip(shares, reached, strict=True))


def exposure_by_popularity(ranking: RankingMetrics) -> Pairs:
    """Return (share of choices, share of places) of ten groups of equally many items, the least chosen first.

    Of the items chosen in the training part or shown. Empty where nothing was shown or chosen.
    """
    of_items = np.flatnonzero(_are_candidates(ranking))
    chosen, shown = ranking.n_raters[of_items].astype(np.float64), _times_shown(ranking)[of_items].astype(np.float64)
    if not chosen.sum() or not shown.sum():
        return ()
    order = np.argsort(chosen, kind="stable")
    groups = np.array_split(order, min(N_GROUPS, len(order)))
    return tuple(
        (round(float(chosen[each].sum() / chosen.sum()), 6), round(float(shown[each].sum() / shown.sum()), 6))
        for each in groups
    )


def _times_shown(ranking: RankingMetrics) -> NDArray[np.int64]:
    """(n_items,)"""
    counts: NDArray[np.int64] = np.bincount(ranking.shown[ranking.shown >= 0], minlength=len(ranking.n_raters))
    return counts


def _are_candidates(ranking: RankingMetrics) -> NDArray[np.bool_]:
    """(n_items,), as far as the lists and the training part tell."""
    are_candidates: NDArray[np.bool_] = (ranking.n_raters > 0) | (_times_shown(ranking) > 0)
    return are_candidates
