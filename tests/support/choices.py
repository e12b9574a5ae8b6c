"""Choices in a catalogue that changes from week to week."""

import numpy as np

from app.algorithms.decayed_counts import DAY
from app.algorithms.rating_matrix import RatingMatrix


def passing_fashions(n_users: int = 60, n_weeks: int = 8, n_each_week: int = 12, seed: int = 0) -> RatingMatrix:
    """Every item is chosen in the week that it appears in and never again; a week's items differ in popularity."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, n_each_week + 1)
    rows = [
        (user, week * n_each_week + item, (7 * week + rng.uniform(0, 7)) * DAY)
        for user in range(n_users)
        for week in range(n_weeks)
        for item in rng.choice(n_each_week, 3, replace=False, p=popularity / popularity.sum())
    ]
    users, items, times = zip(*rows, strict=True)
    values = np.full(len(rows), 5.0)
    return RatingMatrix(n_users, n_weeks * n_each_week, users, items, values, np.array(times, np.int64))
