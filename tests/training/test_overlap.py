from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.training.overlap import LARGELY, KnownData, Overlap, Share

SIDES = st.dictionaries(st.tuples(st.integers(0, 12), st.integers(0, 8)), st.booleans(), max_size=60)


def known(pairs: dict[tuple[int, int], bool], *, extra_keys: int = 0) -> KnownData:
    """Pairs of keys; `extra_keys` users and items without pairs follow."""
    users, items = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    user_keys, item_keys = (
        np.append(np.unique(keys), 100 + np.arange(extra_keys)).astype(np.int64) for keys in (users, items)
    )
    rows = (np.searchsorted(user_keys, users), np.searchsorted(item_keys, items))
    return KnownData(user_keys, item_keys, *rows, np.array([*pairs.values()], np.bool_))


def grid(n_users: int, n_items: int, *, first_user: int = 0, first_item: int = 0) -> dict[tuple[int, int], bool]:
    return {(first_user + user, first_item + item): True for user in range(n_users) for item in range(n_items)}


def shares(overlap: Overlap) -> list[Share]:
    return [overlap.users, overlap.items, overlap.ratings, overlap.lists]


@given(SIDES, st.integers(0, 3))
def test_same_data_are_the_same(pairs: dict[tuple[int, int], bool], extra_keys: int) -> None:
    overlap = Overlap.between(known(pairs), known(pairs, extra_keys=extra_keys))
    assert all(share == Share(1.0, 1.0) for share in shares(overlap))
    assert overlap.is_largely_same
    assert not overlap.is_mostly_gone


@given(SIDES, SIDES)
def test_other_way_round(live: dict[tuple[int, int], bool], today: dict[tuple[int, int], bool]) -> None:
    there, back = Overlap.between(known(live), known(today)), Overlap.between(known(today), known(live))
    for one, other in zip(shares(there), shares(back), strict=True):
        assert (one.of_live, one.of_today) == pytest.approx((other.of_today, other.of_live))
    assert there.is_largely_same == back.is_largely_same


@given(SIDES, SIDES)
def test_as_counted_one_by_one(live: dict[tuple[int, int], bool], today: dict[tuple[int, int], bool]) -> None:
    overlap = Overlap.between(known(live), known(today))
    for side, share in enumerate((overlap.users, overlap.items)):
        old, new = {pair[side] for pair in live}, {pair[side] for pair in today}
        assert share.of_live == pytest.approx(len(old & new) / len(old) if old else 1)
        assert share.of_today == pytest.approx(len(old & new) / len(new) if new else 1)
    n_shared = len(live.items() & today.items())
    assert overlap.ratings.of_live == pytest.approx(n_shared / len(live) if live else 1)
    assert overlap.ratings.of_today == pytest.approx(n_shared / len(today) if today else 1)


@given(SIDES, SIDES)
def test_common_are_in_both(live: dict[tuple[int, int], bool], today: dict[tuple[int, int], bool]) -> None:
    now = known(today, extra_keys=2)
    common = Overlap.between(known(live), now).common
    for side, keys, mask in ((0, now.user_keys, common.are_users), (1, now.item_keys, common.are_items)):
        assert set(keys[mask].tolist()) == {pair[side] for pair in live} & {pair[side] for pair in today}


@given(SIDES, st.data())
def test_loss_never_helps(pairs: dict[tuple[int, int], bool], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(sorted(pairs)), unique=True) if pairs else st.just([]))
    fewer = data.draw(st.lists(st.sampled_from(kept), unique=True) if kept else st.just([]))
    after = [Overlap.between(known(pairs), known({pair: pairs[pair] for pair in each})) for each in (kept, fewer)]
    for one, other in zip(*map(shares, after), strict=True):
        assert one.of_live >= other.of_live


@pytest.mark.parametrize(("n_more", "is_same"), [(1, True), (2, False)])
def test_tenth_of_new_users(n_more: int, *, is_same: bool) -> None:
    overlap = Overlap.between(known(grid(10, 20)), known(grid(10 + n_more, 20)))
    assert overlap.users.of_today == pytest.approx(10 / (10 + n_more))
    assert overlap.is_largely_same == is_same


def test_opinions_that_turned_are_others() -> None:
    liked = grid(10, 10)
    overlap = Overlap.between(known(liked), known(liked | dict.fromkeys(grid(2, 10), False)))
    assert overlap.users == overlap.items == Share(1.0, 1.0)
    assert overlap.ratings == Share(0.8, 0.8)
    assert not overlap.is_largely_same


def test_best_known_items_count_most() -> None:
    """Three of 100 items and 6 % of the ratings are gone, and with them the first places of all lists."""
    favourites = grid(40, 3)
    rest = {(user, 3 + (19 * user + n) % 97): True for user in range(40) for n in range(45)}
    overlap = Overlap.between(known(favourites | rest), known(rest))
    assert min(share.least for share in (overlap.users, overlap.items, overlap.ratings)) >= LARGELY
    assert overlap.lists.of_live < LARGELY
    assert not overlap.is_largely_same


def test_half_is_left() -> None:
    before = known(grid(10, 10))
    assert not Overlap.between(before, known(grid(5, 10))).is_mostly_gone
    assert Overlap.between(before, known(grid(4, 10))).is_mostly_gone
    assert Overlap.between(before, known(grid(10, 4))).is_mostly_gone
    # Growth takes nothing away.
    assert not Overlap.between(before, known(grid(100, 100))).is_mostly_gone


def test_users_without_ratings_are_gone() -> None:
    """They are stored, and nothing can be said of them."""
    before = known(grid(10, 10))
    now = known(grid(2, 10))
    kept_keys = replace(now, user_keys=np.arange(10), user_rows=now.user_rows)
    assert Overlap.between(before, kept_keys).is_mostly_gone


def test_words() -> None:
    overlap = Overlap.between(known(grid(10, 10)), known(grid(20, 5)))
    assert str(overlap) == (
        "100% of its users, 50% of its items and 50% of its ratings are left, which are 50% of the users, 100% of the "
        "items and 50% of the ratings of today"
    )


def test_keys_far_apart() -> None:
    """Keys are 64-bit, and cells are numbered by rows."""
    keys = np.array([5, 2**62], np.int64)
    rows = np.array([0, 1])
    one = KnownData(keys, keys, rows, rows, np.array([True, False]))
    assert Overlap.between(one, one).ratings == Share(1.0, 1.0)
