"""Events with a known truth: even users are engaged by even items, odd users by odd ones, mostly."""

import numpy as np
from numpy.typing import NDArray

from tests.support.interactions import Row

N_USERS, N_ITEMS = 60, 40
LATER = 1_000_000


def suits(user: int, item: int) -> bool:
    return user % 2 == item % 2


def camp_events(n_shown: int = 16, seed: int = 0) -> list[Row]:
    """`n_shown` items shown to every user, well-known ones to more; a suitable one is clicked in 4 of 5 cases."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user in range(N_USERS):
        for item in rng.choice(N_ITEMS, n_shown, replace=False, p=fame()).tolist():
            rows.append((f"u{user}", f"i{item}", "shown", int(rng.integers(1, 4))))
            if rng.random() < (0.8 if suits(user, item) else 0.1):
                rows.append((f"u{user}", f"i{item}", "clicked"))
    return [rows[place] for place in rng.permutation(len(rows))]


def camp_ratings(n_each: int = 4, seed: int = 1) -> list[tuple[str, str, float, int]]:
    """`n_each` ratings of every user on the scale 1:5, of what suits them three times as often; after all events."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, float, int]] = []
    for user in range(N_USERS):
        odds = fame() * np.where([suits(user, item) for item in range(N_ITEMS)], 3, 1)
        for item in rng.choice(N_ITEMS, n_each, replace=False, p=odds / odds.sum()).tolist():
            value = rng.integers(4, 6) if suits(user, item) else rng.integers(1, 3)
            rows.append((f"u{user}", f"i{item}", float(value), LATER + len(rows)))
    return rows


def fame() -> NDArray[np.float64]:
    weights = 1 / (np.arange(N_ITEMS) + 10.0)
    return np.asarray(weights / weights.sum())
