"""Runs that learn from events: beside ratings, and without any."""

from pathlib import Path

import numpy as np
import pytest

from app.entities import Item, User
from app.scoring import PublishedScorer
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.run import Trainer
from tests.support.camps import N_ITEMS, N_USERS, camp_events, camp_ratings, suits
from tests.support.interactions import record_interactions
from tests.support.published import Shop, known_rows, scores_of
from tests.support.ratings import incoming
from tests.support.snapshot_data import observed_of

pytestmark = pytest.mark.slow

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what is learned of what was read: the tests without this mark read it from both databases."""


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    # Keys in the order of the numbers, so that the row of an item or a user is its number.
    store.items.record([Item(f"i{item}") for item in range(N_ITEMS)])
    store.users.record([User(f"u{user}") for user in range(N_USERS)])
    return Shop(Trainer(store, Publisher(store, SnapshotFolders(tmp_path))))


def share_suiting(snapshot: PublishedScorer, n: int = 10) -> float:
    """Of the n best items that each user has neither rated nor met, those that suit them."""
    hits = []
    for user in range(N_USERS):
        scores = scores_of(snapshot, user)
        scores[known_rows(snapshot, user)] = -np.inf
        hits += [suits(user, item) for item in np.argsort(-scores)[:n].tolist() if np.isfinite(scores[item])]
    return float(np.mean(hits))


def assert_folds_in_alike(snapshot: PublishedScorer) -> None:
    for user in range(len(snapshot.arrays.user_keys)):
        observed = observed_of(snapshot.arrays, user)
        stored, folded = snapshot.user_side(user), snapshot.fold_in(observed)
        if len(observed.item_rows) or len(observed.positive_rows):
            np.testing.assert_allclose(folded.vector, stored.vector, atol=1e-4)
            assert folded.bias == pytest.approx(stored.bias, abs=1e-4)
            assert folded.uncertainty == pytest.approx(stored.uncertainty, abs=1e-4)
        else:
            np.testing.assert_allclose(stored.vector, snapshot.unknown_side.vector, atol=1e-4)


def test_events_alone(shop: Shop) -> None:
    record_interactions(shop.store, camp_events())
    snapshot = shop.train()
    manifest = snapshot.manifest
    assert manifest.reason is None
    assert manifest.is_led_by_events
    assert manifest.counts["ratings"] == 0
    assert manifest.counts["labels"] == N_USERS * 16
    assert manifest.choices[0].startswith("events: ")
    assert len(snapshot.arrays.history_rows) == 0
    assert share_suiting(snapshot) > 0.85
    assert_folds_in_alike(snapshot)


@on_sqlite
def test_a_rating_among_events(shop: Shop) -> None:
    record_interactions(shop.store, camp_events())
    shop.store.ratings.record(incoming(("u0", "i0", 3), ("u1", "i0", 1)))
    snapshot = shop.train()
    assert snapshot.manifest.reason is None
    assert snapshot.manifest.is_led_by_events
    assert len(snapshot.arrays.history_rows) == 2
    assert share_suiting(snapshot) > 0.85
    assert_folds_in_alike(snapshot)


@on_sqlite
def test_events_beside_ratings(shop: Shop) -> None:
    """A few ratings say little of a taste; with events it is found. Held-out ratings judge both."""
    shop.store.ratings.record(incoming(*camp_ratings()))
    plain = shop.train()
    record_interactions(shop.store, camp_events())
    snapshot = shop.train()
    assert snapshot.manifest.reason is None
    assert not snapshot.manifest.is_led_by_events
    ndcg, ndcg_of_plain = (each.manifest.metrics["snapshot"]["ndcg@10"] or 0.0 for each in (snapshot, plain))
    assert ndcg > 1.2 * ndcg_of_plain
    assert share_suiting(snapshot) > 0.9
    assert_folds_in_alike(snapshot)


@on_sqlite
def test_user_of_events_among_raters(shop: Shop) -> None:
    """Without ratings, with engagements: a taste, and the rating of an unknown user."""
    shop.store.ratings.record(incoming(*(row for row in camp_ratings(8) if row[0] not in {"u0", "u1"})))
    record_interactions(shop.store, [row for row in camp_events() if row[0] in {"u0", "u1"}])
    snapshot = shop.train()
    assert_folds_in_alike(snapshot)
    for user in (0, 1):
        assert snapshot.user_side(user).bias == 0
        scores = scores_of(snapshot, user)
        scores[known_rows(snapshot, user)] = -np.inf
        assert np.mean(np.argsort(-scores)[:10] % 2 == user) > 0.6


@on_sqlite
def test_engaged_items_are_popular(shop: Shop) -> None:
    shop.store.ratings.record(incoming(*camp_ratings(12)))
    before = shop.train()
    record_interactions(shop.store, [(f"u{user}", "i39", "bought") for user in range(N_USERS)])
    after = shop.train()
    assert before.arrays.item_counts[39] < 20
    assert after.arrays.item_counts[39] == N_USERS
    assert after.arrays.popular_rows[0] == 39
    np.testing.assert_array_equal(after.arrays.item_counts[:39], before.arrays.item_counts[:39])


@on_sqlite
def test_declined_alone_is_unknown(shop: Shop) -> None:
    shop.store.ratings.record(incoming(*(row for row in camp_ratings(12) if row[0] != "u0")))
    record_interactions(shop.store, [("u0", "i3", "shown"), ("u0", "i4", "disliked")])
    snapshot = shop.train()
    np.testing.assert_array_equal(snapshot.user_vectors[0], snapshot.unknown_side.vector)


def test_same_seed_same_snapshot(shop: Shop) -> None:
    shop.store.ratings.record(incoming(*camp_ratings()))
    record_interactions(shop.store, camp_events())
    first, second = shop.train(seed=3), shop.train(seed=3)
    np.testing.assert_array_equal(first.item_vectors, second.item_vectors)
    np.testing.assert_array_equal(first.user_vectors, second.user_vectors)
