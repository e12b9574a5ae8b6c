"""Profiles that are made to push an item, in the three ways of the literature, and honest ones to hide among."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.algorithms.rating_matrix import RatingMatrix

Kind = Literal["random", "average", "bandwagon"]
KINDS: tuple[Kind, ...] = ("random", "average", "bandwagon")

N_BESTSELLERS = 5
"""Items that all profiles of a bandwagon share, drawn from the 20 most popular."""


class Attack(NamedTuple):
    """`user_rows`, `item_rows`, `values`: (m,) of the made profiles, whose rows follow those of the honest users."""

    target: int
    n_users: int
    user_rows: NDArray[np.int64]
    item_rows: NDArray[np.int64]
    values: NDArray[np.float64]


def attack(
    ratings: RatingMatrix,
    kind: Kind,
    share: float,
    rng: np.random.Generator,
    size: int | None = None,
    target: int | None = None,
) -> Attack:
    """A push of `target`, or of an item drawn from the less popular half, by `share` of the number of users.

    Each profile has `size` fillers, or as many as an honest user drawn at random, at least 3: any items (`random`), as
    popular as any or rated as others do (`average`), or bestsellers and any items (`bandwagon`).
    """
    counts = np.bincount(ratings.item_rows, minlength=ratings.n_items)
    n_users = max(1, round(share * ratings.n_users))
    drawn = int(rng.choice(np.flatnonzero((counts > 0) & (counts <= np.median(counts[counts > 0])))))
    target = drawn if target is None else target
    sizes = np.bincount(ratings.user_rows, minlength=ratings.n_users)
    means = np.bincount(ratings.item_rows, ratings.values, ratings.n_items) / np.maximum(counts, 1)
    shared = rng.choice(np.argsort(-counts, kind="stable")[:20], N_BESTSELLERS, replace=False)
    lowest, highest = float(ratings.values.min()), float(ratings.values.max())
    users, items, values = [], [], []
    for user in range(n_users):
        n_fillers = size or max(3, int(rng.choice(sizes)))
        as_popular = counts / counts.sum() if kind == "average" and not ratings.is_graded else None
        fillers = rng.choice(ratings.n_items, n_fillers, replace=False, p=as_popular)
        if kind == "bandwagon":
            fillers = np.union1d(shared, fillers[: max(1, n_fillers - N_BESTSELLERS)])
        fillers = fillers[fillers != target]
        around = means[fillers] if kind == "average" else np.full(len(fillers), ratings.values.mean())
        given = np.clip(np.rint(around + rng.standard_normal(len(fillers))), lowest, highest)
        if kind == "bandwagon":
            given[np.isin(fillers, shared)] = highest
        users += [ratings.n_users + user] * (len(fillers) + 1)
        items += [*fillers.tolist(), target]
        values += [*given.tolist(), highest]
    return Attack(target, n_users, np.array(users), np.array(items), np.array(values))


def with_attack(ratings: RatingMatrix, made: Attack) -> RatingMatrix:
    """`ratings` and the made profiles, without times."""
    return RatingMatrix(
        ratings.n_users + made.n_users,
        ratings.n_items,
        np.append(ratings.user_rows, made.user_rows),
        np.append(ratings.item_rows, made.item_rows),
        np.append(ratings.values, made.values),
        is_graded=ratings.is_graded,
        liked_from=ratings.liked_from,
    )


def honest(
    n_users: int = 400, n_items: int = 240, n_each: int = 16, seed: int = 0, *, is_graded: bool = False
) -> RatingMatrix:
    """Users of 8 tastes; each chooses items by fame and taste, between half and one and a half times `n_each`."""
    rng = np.random.default_rng(seed)
    tastes, kinds = rng.integers(8, size=n_users), rng.integers(8, size=n_items)
    fame = -0.8 * np.log(np.arange(1, n_items + 1))[rng.permutation(n_items)]
    users, items, values = [], [], []
    for user in range(n_users):
        n = int(rng.integers(n_each // 2, n_each * 3 // 2))
        suits = kinds == tastes[user]
        # Gumbel-top-k: a draw without replacement, with odds of fame and taste.
        chosen = np.argsort(-(fame + 2.5 * suits + rng.gumbel(size=n_items)))[:n]
        users += [user] * n
        items += chosen.tolist()
        values += np.clip(np.rint(3 + suits[chosen] + rng.standard_normal(n)), 1, 5).tolist()
    if not is_graded:
        values = [1.0] * len(users)
    return RatingMatrix(
        n_users, n_items, users, items, values, is_graded=is_graded, liked_from=4.0 if is_graded else None
    )
