"""Generated ratings with something to learn: users choose, and rate higher, what suits a two-dimensional taste."""

import numpy as np

from app.entities import IncomingRatings

DAY = 86_400_000_000


def tasteful_ratings(n_users: int = 120, n_items: int = 60, n_each: int = 20, seed: int = 0) -> IncomingRatings:
    """`n_each` ratings of every user on the scale 1:5 in steps of 1, one a day, each user's in a random order."""
    rng = np.random.default_rng(seed)
    user_tastes = rng.standard_normal((n_users, 2))
    item_tastes = rng.standard_normal((n_items, 2))
    quality = rng.standard_normal(n_items) * 0.4
    fame = -1.2 * np.log(np.arange(1, n_items + 1))[rng.permutation(n_items)]
    liking = user_tastes @ item_tastes.T
    user_ids, item_ids, values = [], [], []
    for user in range(n_users):
        # Gumbel-top-k: a draw without replacement, with odds of fame and liking.
        chosen = rng.permutation(np.argsort(-(fame + 1.2 * liking[user] + rng.gumbel(size=n_items)))[:n_each])
        user_ids += [f"user-{user}"] * n_each
        item_ids += [f"item-{item}" for item in chosen]
        values += (3.2 + quality[chosen] + 0.9 * liking[user, chosen] + rng.standard_normal(n_each) * 0.4).tolist()
    return IncomingRatings(
        user_ids, item_ids, np.rint(np.clip(values, 1, 5)), np.tile(np.arange(n_each) * DAY, n_users)
    )
