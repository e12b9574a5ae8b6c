from pathlib import Path

import numpy as np
import pytest

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import IncomingRatings, RatingScale
from app.errors import NotFoundError
from app.training.quarantine import MOST_QUARANTINED
from tests.support.published import Shop, opened_shop
from tests.support.ratings import incoming
from tests.support.shilling import attack, honest, with_attack

pytestmark = pytest.mark.slow

QUICK = {
    "segments": [
        {"name": "rating", "algorithm": "biases"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}


def as_incoming(ratings: RatingMatrix) -> IncomingRatings:
    users, items = ratings.user_rows.tolist(), ratings.item_rows.tolist()
    user_ids, item_ids = [f"u{user:04}" for user in users], [f"i{item:04}" for item in items]
    return IncomingRatings(user_ids, item_ids, ratings.values.astype(float), np.arange(len(ratings)) + 1)


def in_quarantine(shop: Shop) -> set[str]:
    return {each.user_id for each in shop.store.quarantine.entries(1000) if each.released_at is None}


def test_quarantine(tmp_path: Path) -> None:
    """Made profiles are left out until they are released; they have lists of their own nevertheless."""
    ratings = honest(n_users=300)
    made = attack(ratings, "random", 0.05, np.random.default_rng(1))
    with opened_shop(tmp_path, as_incoming(with_attack(ratings, made)), RatingScale.parse("pairs")) as shop:
        snapshot = shop.train(QUICK)
        made_ids = {f"u{user:04}" for user in range(300, 300 + made.n_users)}
        found = in_quarantine(shop)
        assert len(found & made_ids) >= 0.8 * made.n_users
        assert len(found - made_ids) <= 3
        assert snapshot.manifest.n_quarantined == len(found)
        assert any(choice.startswith("quarantine: ") for choice in snapshot.manifest.choices)
        # Users and items were stored in the order of their first ratings; ids tell the rows.
        n_honest = int(np.count_nonzero(ratings.item_rows == made.target))
        data = shop.store.training_reads.load()
        held = snapshot.arrays.user_versions == -1
        assert np.count_nonzero(held) == len(found)
        of_held = np.isin(data.ratings.user_key, data.user_keys[held])
        assert snapshot.arrays.item_counts.sum() == len(data.ratings) - np.count_nonzero(of_held)
        assert {each.item_id for each in shop.store.quarantine.entries(1000)} >= {f"i{made.target:04}"}
        assert n_honest < made.n_users

        released = min(found & made_ids)
        shop.store.quarantine.release(released)
        with pytest.raises(NotFoundError):
            shop.store.quarantine.release(released)
        shop.train(QUICK)
        assert in_quarantine(shop) == found - {released}
        (kept,) = [each for each in shop.store.quarantine.entries(1000) if each.user_id == released]
        assert kept.released_at is not None


def test_two_waves(tmp_path: Path) -> None:
    """Neither is learned from, though both together are more users than the quarantine takes of judged ones."""
    ratings = honest(600, 500, n_each=40)
    first = attack(ratings, "random", 0.03, np.random.default_rng(2))
    one = with_attack(ratings, first)
    second = attack(one, "random", 0.05, np.random.default_rng(5))
    with opened_shop(tmp_path, as_incoming(one), RatingScale.parse("pairs")) as shop:
        shop.train(QUICK)
        found = in_quarantine(shop)
        assert len(found) >= 0.8 * first.n_users
        shop.store.ratings.record(as_incoming(with_attack(one, second)))
        shop.train(QUICK)
        assert in_quarantine(shop) >= found
        assert len(in_quarantine(shop)) >= 0.9 * (first.n_users + second.n_users)
        assert len(in_quarantine(shop)) > MOST_QUARANTINED * (ratings.n_users + first.n_users + second.n_users)


def test_too_many(tmp_path: Path) -> None:
    """Of new users, any number is left out; they are not judged."""
    ratings = honest(n_users=300)
    made = attack(ratings, "random", 0.12, np.random.default_rng(1))
    with opened_shop(tmp_path, as_incoming(ratings), RatingScale.parse("pairs")) as shop:
        shop.train(QUICK)
        shop.store.ratings.record(as_incoming(with_attack(ratings, made)))
        assert shop.train(QUICK).manifest.n_quarantined >= 0.8 * made.n_users
        names = shop.store.users.ids_of((data := shop.store.training_reads.load()).user_keys.tolist())
        new = {names[key] for key in data.user_keys[data.is_new].tolist()}
        assert new >= in_quarantine(shop)


def test_data_of_another_kind(tmp_path: Path) -> None:
    """Where too many judged users look made, only those who were in quarantine stay there, and no user is judged."""
    ratings = honest(n_users=300)
    first = attack(ratings, "random", 0.04, np.random.default_rng(1))
    both = with_attack(ratings, first)
    late = attack(both, "random", 0.12, np.random.default_rng(2))
    # Those who push the second item have all but that item when the first run judges them.
    sleeping = with_attack(both, late)
    is_push = (sleeping.user_rows >= both.n_users) & (sleeping.item_rows == late.target)
    with opened_shop(tmp_path, as_incoming(sleeping.subset(~is_push)), RatingScale.parse("pairs")) as shop:
        shop.train(QUICK)
        found = in_quarantine(shop)
        assert found
        shop.store.ratings.record(as_incoming(sleeping))
        shop.store.ratings.record(incoming(*[("new", f"i{item:04}", 1, None) for item in range(40)]))
        snapshot = shop.train(QUICK)
        assert in_quarantine(shop) == found
        assert any(choice.startswith("quarantine: no more users") for choice in snapshot.manifest.choices)
        assert shop.store.training_reads.load().is_new[-1]


def test_clean(tmp_path: Path) -> None:
    with opened_shop(tmp_path, as_incoming(honest(n_users=300)), RatingScale.parse("pairs")) as shop:
        assert shop.train(QUICK).manifest.n_quarantined == 0
        assert in_quarantine(shop) == set()
