import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.algorithms.progress import Stage, ignore
from app.entities import UNKNOWN_TIME, RatingScale, User
from app.scoring import PublishedScorer
from app.store import Store
from app.training.bursts import HOUR, MOST_AN_HOUR, MOST_IN_ALL, cap_bursts
from app.training.dataset import Dataset, load_dataset
from tests.support.published import Shop, opened_shop
from tests.support.ratings import Row, incoming
from tests.support.shilling import honest
from tests.training.test_quarantine import QUICK, as_incoming

pytestmark = pytest.mark.slow

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


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    """A shop whose 150 users are known to a run, and choose a few items now."""
    known = [(f"u{user:04}", f"i{user % 7:04}", 1, NOW) for user in range(150)]
    with opened_shop(folder, as_incoming(honest(n_users=150)), PAIRS) as shop:
        shop.store.ratings.record(incoming(*known))
        shop.train(QUICK)
        yield shop


def come(store: Store, rows: list[Row]) -> None:
    """Through the API."""
    store.ratings.record(incoming(*rows), untimed_at=np.full(len(rows), NOW))


def n_learned(shop: Shop, snapshot: PublishedScorer, item_id: str) -> int:
    return int(snapshot.arrays.item_counts[snapshot.arrays.item_keys == key_of(shop.store, item_id)].item())


@pytest.mark.parametrize("age", [0, 30 * 24 * HOUR])
def test_item(tmp_path: Path, age: int) -> None:
    """What new users choose beyond what is expected waits, whatever times they say, while they are not judged."""
    with opened(tmp_path) as shop:
        n_before = n_learned(shop, shop.train(QUICK), "i0100")
        come(shop.store, [(f"new{user}", "i0100", 1, NOW - age) for user in range(40)])
        for _ in range(2):
            snapshot = shop.train(QUICK)
            assert snapshot.manifest.n_capped == 36
            assert n_learned(shop, snapshot, "i0100") == n_before + 4


def test_accounts_made_before(tmp_path: Path) -> None:
    """A run says nothing of users who have chosen nothing yet, or one item: they stay new."""
    with opened(tmp_path) as shop:
        shop.store.users.record([User(f"sleeper{user}") for user in range(20)])
        come(shop.store, [(f"sleeper{user}", f"i{user:04}", 1, NOW) for user in range(20, 40)])
        n_before = n_learned(shop, shop.train(QUICK), "i0100")
        come(shop.store, [(f"sleeper{user}", "i0100", 1, NOW) for user in range(40)])
        assert n_learned(shop, shop.train(QUICK), "i0100") == n_before + 4


def test_judged(tmp_path: Path) -> None:
    """The run that publishes judges those who have chosen enough, and the next one learns from them in full."""
    profiles = honest(n_users=190)
    rows = zip(profiles.user_rows.tolist(), profiles.item_rows.tolist(), strict=True)
    new: list[Row] = [(f"u{user:04}", f"i{item:04}", 1, NOW) for user, item in rows if user >= 150]
    new += [(f"u{user:04}", "hit", 1, NOW) for user in range(150, 190)]
    with opened(tmp_path) as shop:
        come(shop.store, new)
        assert n_learned(shop, shop.train(QUICK), "hit") < 20
        assert n_learned(shop, shop.train(QUICK), "hit") == 40


def test_import(tmp_path: Path) -> None:
    """History is no burst; what files say of the time after the last run is one."""
    with opened(tmp_path) as shop:
        shop.store.ratings.record(incoming(*[(f"old{user}", "i0100", 1, NOW - HOUR) for user in range(40)]))
        assert capped(shop).n_capped == 0
        later = time.time_ns() // 1_000
        shop.store.ratings.record(incoming(*[(f"new{user}", "i0101", 1, later) for user in range(40)]))
        assert capped(shop).n_capped == 36


def test_user_in_all(tmp_path: Path) -> None:
    """Ratings that a program spreads over the past are learned from up to a number, the newest ones."""
    rows: list[Row] = [("script", f"x{item:05}", 1, NOW - item * HOUR) for item in range(MOST_IN_ALL + 50)]
    with opened_shop(tmp_path, as_incoming(honest(n_users=150)), PAIRS) as shop:
        shop.store.ratings.record(incoming(*rows))
        assert capped(shop).n_capped == 0  # from a file
        come(shop.store, [("script", "one more", 1, NOW)])
        dataset = capped(shop)
        assert dataset.n_capped == 51
        left = np.isin(dataset.data.item_keys, [key_of(shop.store, f"x{item:05}") for item in (0, MOST_IN_ALL + 49)])
        assert dataset.ratings.item_choice_counts[left].tolist() == [1, 0]


def capped(shop: Shop) -> Dataset:
    publisher = shop.trainer.publisher
    return cap_bursts(load_dataset(shop.store), shop.store, publisher.folders, Stage.from_progress(ignore))


def key_of(store: Store, item_id: str) -> int:
    keys = store.training_reads.load().item_keys.tolist()
    return next(key for key, name in store.items.ids_of(keys).items() if name == item_id)


def test_more_new_users_than_known(tmp_path: Path) -> None:
    """A flood of users of whom nothing is learned does not keep the run from publishing."""
    with opened_shop(tmp_path, as_incoming(honest(n_users=150)), PAIRS) as shop:
        shop.store.ratings.record(incoming(*[(f"u{user:04}", f"i{user % 7:04}", 1, NOW) for user in range(150)]))
        shop.train(QUICK)
        come(shop.store, [(f"new{user}", "i0100", 1, NOW) for user in range(400)])
        assert shop.train(QUICK).manifest.n_capped >= 395
