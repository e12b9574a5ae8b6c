"""Events that say what choices do not: users are mostly shown what suits them least, and click on some of it."""

import numpy as np
from numpy.typing import NDArray

from tests.support.interactions import Row

N_USERS, N_ITEMS, N_KINDS = 150, 120, 6
LATER = 1_000_000


def suits(seed: int = 0) -> NDArray[np.bool_]:
    """(n_users, n_items): half of the kinds suit each user; item i is of kind i mod `N_KINDS`."""
    rng = np.random.default_rng(seed)
    kinds = np.argsort(rng.random((N_USERS, N_KINDS)), axis=1) < N_KINDS // 2
    return kinds[:, np.arange(N_ITEMS) % N_KINDS]


def pushed_events(seed: int = 1) -> list[Row]:
    """32 items that do not suit are shown to every user, of which one in four is clicked; 10 that do, nearly all are.

    So both are clicked alike: only what was declined tells them apart.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for user, is_suitable in enumerate(suits()):
        for suitable, n_shown, clicked in ((False, 32, 0.25), (True, 10, 0.8)):
            for item in rng.choice(np.flatnonzero(is_suitable == suitable), n_shown, replace=False).tolist():
                rows.append((f"u{user}", f"i{item}", "shown"))
                if rng.random() < clicked:
                    rows.append((f"u{user}", f"i{item}", "clicked"))
    return rows


def suitable_ratings(n_each: int = 5, seed: int = 2) -> list[tuple[str, str, float, int]]:
    """`n_each` ratings of every user, 3 to 5, of what suits them, after all events."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str, float, int]] = []
    for user, is_suitable in enumerate(suits()):
        for item in rng.choice(np.flatnonzero(is_suitable), n_each, replace=False).tolist():
            rows.append((f"u{user}", f"i{item}", float(rng.integers(3, 6)), LATER + len(rows)))
    return rows
