"""Amounts (plays, seconds, money spent) as strengths of choices, which learners can weigh.

Amounts have heavy tails and any unit, and users differ in how much they consume, so only the order of a user's own
amounts counts:

    strength(u, i) = rank of a_ui among the m amounts of u / (m + 1)

Equal amounts share their mean rank. A strength lies between 0 and 1, and is 1/2 for the only amount of a user; no
outlier and no later amount, however large, leaves this range. On generated plays, seconds and money spent, implicit ALS
ranks with it at least as well as with any logarithm of amounts, and needs no constant.

Training and the fold-in of a user while serving compute it alike, from all amounts of the user that they know.
"""

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix


def strengths_of(ratings: RatingMatrix) -> NDArray[np.float32]:
    """(n,) float32, the strengths of all amounts in `ratings`."""
    order = np.lexsort((ratings.values, ratings.user_rows))
    users, amounts = ratings.user_rows[order], ratings.values[order]
    # A run is one user's equal amounts; `starts` and `ends` are its places among all, sorted.
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (users[1:] != users[:-1]) | (amounts[1:] != amounts[:-1])
    starts = np.flatnonzero(is_first)
    ends = np.append(starts[1:], len(order))
    run = np.cumsum(is_first) - 1
    user_starts, counts = (np.cumsum(ratings.user_counts) - ratings.user_counts)[users], ratings.user_counts[users]
    strengths = np.empty(len(order), np.float32)
    strengths[order] = _mean_rank(starts[run] - user_starts, ends[run] - user_starts) / (counts + 1)
    return strengths


def strengths_of_user(amounts: NDArray[np.floating]) -> NDArray[np.float32]:
    """(m,) float32, the strengths of the amounts (m,) of one user, as `strengths_of` gives them."""
    # Training holds amounts in single precision, in which more of them are equal.
    amounts = amounts.astype(np.float32)
    ascending = np.sort(amounts)
    first, behind = ascending.searchsorted(amounts, "left"), ascending.searchsorted(amounts, "right")
    return (_mean_rank(first, behind) / (len(amounts) + 1)).astype(np.float32)


def _mean_rank(first: NDArray[np.int64], behind: NDArray[np.int64]) -> NDArray[np.float64]:
    # The places first .. behind - 1, counted from 0, are the ranks first + 1 .. behind.
    ranks: NDArray[np.float64] = (first + behind + 1) / 2
    return ranks
