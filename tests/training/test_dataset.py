from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import UNKNOWN_TIME, RatingScale
from app.store import Store
from app.training.dataset import Dataset, hold_out, load_dataset
from app.training.errors import SnapshotRejectedError
from app.training.scratch import Scratch
from tests.support.interactions import record_interactions
from tests.support.ratings import incoming


def labels_of(store: Store) -> dict[tuple[str, str], bool]:
    """(user, item) -> whether engaged."""
    return by_id(store, load_dataset(store))


def by_id(store: Store, dataset: Dataset) -> dict[tuple[str, str], bool]:
    labels, data = dataset.labels, dataset.data
    users, items = (
        store.users.ids_of(data.user_keys.tolist()),
        {key: item.item_id for key, item in store.items.by_key()},
    )
    pairs = zip(data.user_keys[labels.user_rows].tolist(), data.item_keys[labels.item_rows].tolist(), strict=True)
    return {
        (users[user], items[item]): positive
        for (user, item), positive in zip(pairs, labels.are_positive.tolist(), strict=True)
    }


def test_labels_stand_beside_ratings(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3), ("bob", "y", 4)))
    record_interactions(store, [("ann", "y", "clicked"), ("bob", "x", "shown"), ("cid", "z", "bought")])
    dataset = load_dataset(store)
    assert by_id(store, dataset) == {("ann", "y"): True, ("bob", "x"): False, ("cid", "z"): True}
    assert dataset.ratings.labels is dataset.labels
    assert len(dataset.ratings) == 2
    assert not dataset.is_led_by_events
    (sentence,) = dataset.of_events
    assert sentence.startswith("events: 2 positive pairs of user and item, 1 negative, none of them rated")
    assert sentence.endswith("to the taste, a positive one is a rating of 4")


def test_rating_overrides_label(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 1, 5), ("ann", "y", 5, 5)))
    record_interactions(store, [("ann", "x", "bought"), ("ann", "y", "disliked"), ("bob", "y", "clicked")])
    assert labels_of(store) == {("bob", "y"): True}
    store.ratings.remove("ann", "x", at=9)
    assert labels_of(store) == {("ann", "x"): True, ("bob", "y"): True}


def test_interactions_of_a_pair_are_one_label(store: Store) -> None:
    store.ratings.record(incoming(("ann", "w", 3)))
    rows = [("ann", "x", "shown"), ("ann", "x", "disliked"), ("ann", "x", "clicked"), ("ann", "y", "clicked")]
    record_interactions(store, rows)
    dataset = load_dataset(store)
    assert by_id(store, dataset) == {("ann", "x"): False, ("ann", "y"): True}
    assert dataset.labels.last_at.tolist() == [2, 3]


def test_events_alone_are_the_ratings(store: Store) -> None:
    store.instance.set_scale(RatingScale(0, 10, 1))
    record_interactions(store, [("ann", "x", "shown"), ("ann", "y", "clicked"), ("bob", "x", "liked")])
    dataset = load_dataset(store)
    ratings = dataset.ratings
    assert dataset.is_led_by_events
    assert ratings.labels is None
    assert ratings.values.tolist() == [0, 10, 10]
    assert ratings.times.tolist() == [0, 1, 2]
    assert ratings.item_choice_counts.tolist() == [1, 1]
    assert "as ratings of 10 and 0" in dataset.of_events[0]


def test_events_beside_amounts_are_choices(store: Store) -> None:
    """No amount is told as what an event counts as: inside, it is a strength, and below 0 without meaning."""
    store.instance.set_scale(RatingScale.parse("amounts"))
    record_interactions(store, [("ann", "x", "disliked"), ("ann", "y", "clicked")])
    assert load_dataset(store).of_events[0].endswith("they are learned from as choices or none")
    store.ratings.record(incoming(("bob", "x", 30)))
    assert load_dataset(store).of_events[0].endswith("a positive one is a choice, as the least value is")


def test_first_ratings_stand_among_labels(store: Store) -> None:
    """They take the place of events when they are enough to learn from, not before."""
    record_interactions(store, [(f"u{n // 9}", f"i{n % 9}", "clicked" if n % 2 else "shown") for n in range(80)])
    rows = [("u0", "i0", 2.0), ("u0", "i1", 3.0), ("u1", "i8", 5.0), ("u2", "i8", 4.0)]
    store.ratings.record(incoming(*rows[:3]))
    dataset = load_dataset(store)
    assert dataset.is_led_by_events
    assert sorted(dataset.ratings.values.tolist()) == sorted([2, 3, 5] + [1] * 39 + [5] * 38)
    assert dataset.ratings.user_choice_counts.sum() == 39
    store.ratings.record(incoming(*rows))
    dataset = load_dataset(store)
    assert not dataset.is_led_by_events
    assert (len(dataset.ratings), len(dataset.labels)) == (4, 76)


def test_no_events_no_word(store: Store) -> None:
    store.ratings.record(incoming(("ann", "x", 3)))
    dataset = load_dataset(store)
    assert dataset.of_events == ()
    assert dataset.ratings.labels is None


@pytest.mark.parametrize("events", [[], [("ann", "x", "shown")], [("ann", "x", "disliked")]])
def test_nothing_liked_is_nothing_to_learn(store: Store, events: list[Any]) -> None:
    if events:
        record_interactions(store, events)
    with pytest.raises(SnapshotRejectedError, match="no ratings to learn from"):
        load_dataset(store)


def held_out(
    rated_at: list[int], labelled_at: list[int], users: tuple[int, int] = (0, 0)
) -> tuple[RatingMatrix, RatingMatrix]:
    """Five ratings of user 0, the last of which is held out, and labels of user 1 or of theirs; of one item each."""
    n_labels = len(labelled_at)
    labels = EventLabels(np.full(n_labels, users[1]), np.arange(5, 5 + n_labels), np.ones(n_labels), labelled_at, 4.0)
    ratings = RatingMatrix(2, 9, np.full(5, users[0]), np.arange(5), np.full(5, 4.0), rated_at, labels=labels)
    return hold_out(ratings, 0.2, np.random.default_rng(0))


def test_later_labels_are_not_learned_from() -> None:
    train, holdout = held_out([1, 2, 3, 4, 9], [3, 8, 9, 10])
    assert holdout.item_rows.tolist() == [4]
    assert train.labels is not None
    assert train.labels.item_rows.tolist() == [5, 6]
    labels = held_out([1, 2, 3, 4, 9], [9, 10])[0].labels
    assert labels is not None
    assert len(labels) == 0


def test_others_labels_are_learned_from() -> None:
    train, _ = held_out([1, 2, 3, 4, 9], [3, 8, 9, 10], users=(0, 1))
    assert train.labels is not None
    assert len(train.labels) == 4


def test_without_times_nothing_is_later() -> None:
    train, _ = held_out([UNKNOWN_TIME] * 5, [3, 8])
    assert train.labels is not None
    assert len(train.labels) == 2


def test_no_held_out_pair_is_a_label(store: Store) -> None:
    """Not even one whose events came before its rating."""
    rows = [(f"u{user}", f"i{item}", "clicked") for user in range(3) for item in range(8)]
    record_interactions(store, rows)
    store.ratings.record(incoming(*((user, item, 3, 100 + n) for n, (user, item, _) in enumerate(rows) if n % 8 < 5)))
    train, holdout = hold_out(load_dataset(store).ratings, 0.2, np.random.default_rng(0))
    assert (len(train), len(holdout)) == (12, 3)
    assert train.labels is not None
    assert len(train.labels) == 9
    assert not (train.observed.toarray() * holdout.by_user.toarray()).any()


def test_gone_users_and_items(store: Store) -> None:
    """Events may come while their user or item goes."""
    store.ratings.record(incoming(("ann", "x", 3)))
    record_interactions(store, [("ann", "y", "clicked"), ("bob", "x", "clicked"), ("cid", "x", "clicked")])
    with store.database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM users WHERE user_id = 'bob'")
        connection.exec_driver_sql("DELETE FROM items WHERE item_id = 'y'")
    assert labels_of(store) == {("cid", "x"): True}


def test_many_labels_at_once(store: Store) -> None:
    rng = np.random.default_rng(0)
    cells = rng.choice(30 * 40, 500, replace=False)
    store.ratings.record(incoming(*((f"u{cell // 40}", f"i{cell % 40}", 3) for cell in cells[:250].tolist())))
    rows = [(f"u{cell // 40}", f"i{cell % 40}", "clicked") for cell in cells[200:].tolist()]
    record_interactions(store, rows)
    assert labels_of(store) == {row[:2]: True for row in rows[50:]}


def test_part_is_of_the_same_users(store: Store, tmp_path: Path) -> None:
    """Whatever has a value for each user: those of the users in the part."""
    store.ratings.record(incoming(*((f"u{n}", f"i{n % 3}", n % 5 + 1) for n in range(50))))
    loaded = load_dataset(store)
    is_odd = np.arange(50) % 2 == 1
    marked = replace(loaded, quarantined=is_odd, is_judged=~is_odd, in_part=np.arange(50) < 20)
    assert marked.part(10) is marked  # it is in memory
    rated = loaded.rated
    columns = (rated.user_rows, rated.item_rows, rated.values, rated.times)
    in_files = RatingMatrix(rated.n_users, rated.n_items, *columns, storage=Scratch(tmp_path, 1 << 30))
    whole = replace(marked, rated=in_files, ratings=in_files)
    part = whole.part(20)
    chosen = np.flatnonzero(np.isin(whole.data.user_keys, part.data.user_keys))
    assert 0 < len(chosen) < 50
    for of_whole, of_part in ((whole, part), (whole.data, part.data)):
        for name in (each.name for each in fields(of_whole)):
            value = getattr(of_whole, name)
            if isinstance(value, np.ndarray) and len(value) == 50:
                assert getattr(of_part, name).tolist() == value[chosen].tolist(), name
    assert part.ratings.n_users == part.rated.n_users == len(chosen)
    assert part.user_versions.tolist() == whole.user_versions[chosen].tolist()
