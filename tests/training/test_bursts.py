import time
from pathlib import Path

import numpy as np

from app.entities import UNKNOWN_TIME, RatingScale
from app.store import Store
from app.training.bursts import HOUR, MOST_AN_HOUR
from tests.support.published import opened_shop
from tests.support.ratings import incoming
from tests.support.shilling import honest
from tests.training.test_quarantine import QUICK, as_incoming

NOW = time.time_ns() // 1_000
PAIRS = RatingScale.parse("pairs")


def test_user(tmp_path: Path) -> None:
    """Only the first ratings of an hour teach; a file without times and another hour are no burst."""
    n = MOST_AN_HOUR + 50
    start = NOW // HOUR * HOUR - 5 * HOUR
    script = [("script", f"x{item:04}", 1, start + item) for item in range(n)]
    later = [("script", f"y{item:04}", 1, start + 2 * HOUR) for item in range(60)]
    untimed = [("file", f"x{item:04}", 1, int(UNKNOWN_TIME)) for item in range(n)]
    with opened_shop(tmp_path, as_incoming(honest(n_users=150)), PAIRS) as shop:
        for rows in (script, later, untimed):
            shop.store.ratings.record(incoming(*rows))
        snapshot = shop.train(QUICK)
        assert snapshot.manifest.n_capped == 50
        assert any(choice.startswith("bursts: ") for choice in snapshot.manifest.choices)
        counts = snapshot.arrays.item_counts
        ids = shop.store.items.ids_of(snapshot.arrays.item_keys.tolist())
        of_item = {ids[key]: int(count) for key, count in zip(snapshot.arrays.item_keys.tolist(), counts, strict=True)}
        assert [of_item[f"x{item:04}"] for item in (0, MOST_AN_HOUR - 1, MOST_AN_HOUR, n - 1)] == [2, 2, 1, 1]
        # The user's own list knows all of them: it is folded in for each request.
        assert np.count_nonzero(snapshot.arrays.user_versions == -1) == 1


def test_item(tmp_path: Path) -> None:
    """What new users add to one item waits for the run after the one that judges them."""
    known = [(f"u{user:04}", f"i{user % 7:04}", 1, NOW) for user in range(150)]
    pushed = [(f"new{user}", "i0100", 1, NOW + 1) for user in range(40)]
    with opened_shop(tmp_path, as_incoming(honest(n_users=150)), PAIRS) as shop:
        shop.store.ratings.record(incoming(*known))
        first = shop.train(QUICK)
        (row,) = np.flatnonzero(first.arrays.item_keys == key_of(shop.store, "i0100"))
        n_before = int(first.arrays.item_counts[row])
        shop.store.ratings.record(incoming(*pushed))
        second = shop.train(QUICK)
        assert second.manifest.n_capped == 35  # 4 count, and one more since a rating counts wholly or not at all
        assert second.arrays.item_counts[row] == n_before + 5
        assert shop.train(QUICK).arrays.item_counts[row] == n_before + 40


def key_of(store: Store, item_id: str) -> int:
    keys = store.training_reads.load().item_keys.tolist()
    return next(key for key, name in store.items.ids_of(keys).items() if name == item_id)


def test_more_new_users_than_known(tmp_path: Path) -> None:
    """A flood of users of whom nothing is learned does not keep the run from publishing."""
    with opened_shop(tmp_path, as_incoming(honest(n_users=150)), PAIRS) as shop:
        shop.store.ratings.record(incoming(*[(f"u{user:04}", f"i{user % 7:04}", 1, NOW) for user in range(150)]))
        shop.train(QUICK)
        shop.store.ratings.record(incoming(*[(f"new{user}", "i0100", 1, NOW) for user in range(400)]))
        assert shop.train(QUICK).manifest.n_capped >= 395
