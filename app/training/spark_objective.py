"""Reckon's regressions in the terms of Spark's ALS, so that the item vectors of Spark are those of Reckon's objective.

Given the items, implicit ALS of Reckon solves each user (see `als_implicit.py`), and divided by a, the
`unobserved_weight`:

    (Y'Y + sum w/a y y' + P_u I) x = sum_choices w/a y,         P_u = regularization s_u^nu / a

Spark, with `implicitPrefs`, solves (`ALS.scala`; Y. Hu, Y. Koren, C. Volinsky 2008, with the penalty of Y. Zhou et al.
2008, ALS-WR), over all rows of its input, of which a pair may have several:

    (Y'Y + sum c y y' + regParam n_u I) x = sum_{r>0} (1 + c) y,    c = alpha |r|,  n_u = the number of rows with r > 0

Hu, Koren and Volinsky count a pair 1 whether it is observed or not; with Reckon, an observed one counts w beside the a
of all pairs. With alpha = 1, both sides of the equation agree if the rows are

    a choice with w > a     r = w/a - 1  and  r = -1        right side w/a, left side w/a - 1 + 1
    a dislike               r = -w/a                        right side 0, left side w/a

A choice with w <= a cannot be written in this way: the right side of a row is at least 1. It gets r = 0+ and r = -w/a,
so that it pulls as if it weighed a. In sparse data, which Spark is for, a is far below every weight. The second row of
a choice is left out where it changes the left side by less than `NEGLIGIBLE`; then r = w/a - 1.

The penalties differ: Spark's is proportional to n_u, Reckon's to the weight of all pairs of the row, which hardly
depends on n_u where data are sparse. The proportion with the least squared error is taken:

    regParam_users = sum_u P_u n_u / sum_u n_u^2,    regParam_items likewise,    regParam = sqrt(their product)

One regParam serves both sides, since x . y does not change if x is multiplied and y divided by a number: the items of
Spark times (regParam_users / regParam_items)^(1/4) are the items for the two. Alternations with the true penalties
follow, `CLOSING_EPOCHS` of them.

Explicit ALS of Reckon has the penalty noise regularization (n + 60) of a row with n ratings, and that of Spark regParam
n. They are equal, with regParam = noise regularization, if each user rates 60 more items that nothing else is known of,
and each item is rated by 60 more users, all with r = 0: the vectors of these are 0 from the first alternation on, so
that they add nothing to the equations but 60 to n. Without them, rows with few ratings are hardly penalised, and the
alternations that follow stay near what was fitted to their noise.

The noise is estimated from what the biases leave of the ratings that they were fitted to. That is too little by what
the biases have fitted of the noise itself; `cross_validated` is the remedy.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

CLOSING_EPOCHS = 2
"""Alternations by Reckon itself after those of Spark, with its own penalties. On MovieLens and games, 0 give an nDCG@10
within 3 % of Reckon's, 1 and 2 within 2 %, or above it."""

NEGLIGIBLE = 0.01

BARELY_POSITIVE = np.float32(1e-30)
"""The least r > 0: confidence 0, preference 1."""

Float64Array = NDArray[np.float64]


class Entries(NamedTuple):
    """The input of Spark's ALS: rows (n,) int32 of users and items, and r, (n,) float32."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    value: NDArray[np.float32]


class SharedPenalty(NamedTuple):
    """`of_spark`: regParam. `item_scale`: by which the item vectors of Spark are multiplied."""

    of_spark: float
    item_scale: float

    @classmethod
    def fit(cls, users: Float64Array, items: Float64Array, n_users: Float64Array, n_items: Float64Array) -> Self:
        """`users`, `items`: the penalty of each row. `n_users`, `n_items`: by what Spark multiplies it, each."""
        of_users, of_items = _proportion(users, n_users), _proportion(items, n_items)
        if min(of_users, of_items) <= 0:
            return cls(0.0, 1.0)
        return cls(float(np.sqrt(of_users * of_items)), float((of_users / of_items) ** 0.25))


def _proportion(penalties: Float64Array, counts: Float64Array) -> float:
    squares = float(counts @ counts)
    # argmin_t sum (penalty - t n)^2 = sum penalty n / sum n^2
    return float(penalties @ counts) / squares if squares else 0.0


def prior_rows(n_each: int, has_ratings: tuple[NDArray[np.bool_], NDArray[np.bool_]], block: int) -> Iterator[Entries]:
    """`n_each` rows with r = 0 for each user and item with ratings, about `block` rows at a time.

    `has_ratings`: (n_users,) and (n_items,). Users get the items n_items to n_items + n_each - 1, and items likewise.
    Their numbers are in sequence, so that Spark spreads them over its blocks.
    """
    at_once = max(1, block // n_each)
    of_users, of_items = (np.flatnonzero(each).astype(np.int32) for each in has_ratings)
    n_users, n_items = map(len, has_ratings)
    for rows, n_others, are_users in ((of_users, n_items, True), (of_items, n_users, False)):
        others = np.arange(n_others, n_others + n_each, dtype=np.int32)
        for start in range(0, len(rows), at_once):
            own = rows[start : start + at_once]
            known, added = np.repeat(own, n_each), np.tile(others, len(own))
            users, items = (known, added) if are_users else (added, known)
            yield Entries(users, items, np.zeros(len(known), np.float32))


def cross_validated(squares: float, n: int, n_fitted: float) -> float:
    """The mean squared error to expect of ratings that were left out, from the sum of squares over all n.

    `n_fitted`: how many numbers were fitted. A shrunk one counts in part: a mean of m values with a prior of p counts
    m / (m + p). By generalised cross-validation (G. Golub, M. Heath, G. Wahba 1979):

        error = (squares / n) / (1 - n_fitted / n)^2
    """
    return squares * n / max(n - n_fitted, 1.0) ** 2


def implicit_entries(
    user_rows: NDArray[np.int32],
    item_rows: NDArray[np.int32],
    weights: NDArray[np.float32],
    unobserved_weight: float,
    has_choice: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> Entries:
    """The rows for signed weights (n,), of some or all observations: > 0 of choices, < 0 of dislikes, 0 of none.

    `unobserved_weight`: above 0. `has_choice`: (n_users,) and (n_items,), of all observations. Users and items without
    a choice are left out, since their vectors are 0.
    """
    is_kept = (weights != 0) & has_choice[0][user_rows] & has_choice[1][item_rows]
    users, items, kept = user_rows[is_kept], item_rows[is_kept], weights[is_kept]
    is_choice = kept > 0
    relative = np.abs(kept) / np.float32(unobserved_weight)
    # r > 0 of choices, and below 0 what is left of w/a; nothing is left where the first row says it all
    positive = np.maximum(relative[is_choice] - 1, BARELY_POSITIVE)
    left = relative.copy()
    left[is_choice] -= np.where(relative[is_choice] > 1, positive, 0)
    is_needed = left > NEGLIGIBLE * relative
    return Entries(
        np.concatenate([users[is_choice], users[is_needed]]),
        np.concatenate([items[is_choice], items[is_needed]]),
        np.concatenate([positive, -left[is_needed]]).astype(np.float32),
    )
