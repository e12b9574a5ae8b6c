"""Splits against the definitions of the design."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import UNKNOWN_TIME
from app.errors import InvalidInputError
from app.evaluation.splits import (
    held_out_by,
    hold_out_after,
    hold_out_last,
    hold_out_latest,
    hold_out_share_of_users,
    hold_out_whole,
    k_folds,
    keep_newest,
    leave_one_out,
    random_split,
    remarks_on_times,
)


def latest(users: list[int], times: list[int], fraction: float = 0.2, seed: int = 0) -> list[bool]:
    rng = np.random.default_rng(seed)
    mask: list[bool] = hold_out_latest(np.array(users), np.array(times, dtype=np.int64), fraction, rng).tolist()
    return mask


def test_newest_of_each_user() -> None:
    assert latest([0] * 5 + [1] * 5, [5, 1, 2, 3, 4, 1, 2, 3, 4, 5]) == [True, *[False] * 4, *[False] * 4, True]


def test_equal_times_in_input_order() -> None:
    assert latest([0] * 5, [7] * 5) == [False] * 4 + [True]


def test_floor_leaves_more_to_measure() -> None:
    assert sum(latest([0] * 7, list(range(7)))) == 2
    assert sum(latest([0], [1])) == 1
    assert sum(latest([0] * 10, list(range(10)))) == 2


def test_unknown_times_are_drawn() -> None:
    unknown = [int(UNKNOWN_TIME)] * 50
    drawn = latest([0] * 50, unknown)
    assert sum(drawn) == 10
    assert drawn == latest([0] * 50, unknown)
    assert drawn != latest([0] * 50, unknown, seed=1)
    assert drawn != [False] * 40 + [True] * 10
    assert latest([0] * 5, [9, *unknown[:4]]) == [True] + [False] * 4


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=60), st.floats(0.05, 0.95))
def test_hold_out_shares(rows: list[tuple[int, int]], fraction: float) -> None:
    users, times = np.array(rows).T
    held_out = hold_out_latest(users, times, fraction, np.random.default_rng(0))
    for user in np.unique(users):
        mine = users == user
        n_learned = np.floor((1 - fraction) * mine.sum() + 1e-9)
        assert np.count_nonzero(mine & ~held_out) == n_learned
        if n_learned and (mine & held_out).any():
            assert times[mine & ~held_out].max() <= times[mine & held_out].min()


def test_folds_as_defined() -> None:
    folds = k_folds(23, 5, seed=3)
    assert folds.tolist() == (np.random.RandomState(3).permutation(23) % 5).tolist()
    assert np.bincount(folds).tolist() == [5, 5, 5, 4, 4]


def test_random_as_defined() -> None:
    expected = np.random.default_rng(3).permutation(23)[: round(0.1 * 23)]
    assert np.flatnonzero(random_split(23, 0.1, seed=3)).tolist() == sorted(expected)


def test_newest_of_all() -> None:
    assert hold_out_after(np.array([5, 1, 9, 9, 2]), 0.4).tolist() == [False, False, True, True, False]


@given(st.lists(st.one_of(st.integers(0, 9), st.none()), min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_one_instant_on_one_side(drawn: list[int | None], fraction: float) -> None:
    times = np.array([UNKNOWN_TIME if time is None else time for time in drawn], np.int64)
    held_out = hold_out_after(times, fraction)
    assert not held_out[times == UNKNOWN_TIME].any()
    assert not set(times[held_out]) & set(times[~held_out])
    assert times[held_out].min(initial=99) > times[~held_out].max(initial=UNKNOWN_TIME)
    # No other border that leaves something to learn from is nearer to the wanted number.
    possible = [np.count_nonzero(times >= at) for at in set(times[times != UNKNOWN_TIME])]
    distances = [abs(n - np.ceil(fraction * len(times) - 1e-9)) for n in possible if n < len(times)]
    if distances:
        assert abs(held_out.sum() - np.ceil(fraction * len(times) - 1e-9)) == min(distances)
    else:
        assert not held_out.any()


def test_earlier_border_of_two() -> None:
    assert hold_out_after(np.array([1, 2, 2, 3, 3, 3, 3, 4, 4, 4]), 0.5).sum() == 7
    assert hold_out_after(np.array([1, 2, 3, 3, 4, 4, 4, 4]), 0.5).sum() == 4
    assert hold_out_after(np.array([1, 3, 3, 4, 4, 4, 4, 4]), 0.75).sum() == 7


def test_last_of_each() -> None:
    times = np.array([1, 2, 3, 4, 9, 5, 5, int(UNKNOWN_TIME), int(UNKNOWN_TIME), 7])
    users = np.array([0, 0, 0, 0, 1, 2, 2, 3, 3, 3])
    assert np.flatnonzero(hold_out_last(users, times, 2)).tolist() == [2, 3, 6, 9]


def test_random_share_as_defined() -> None:
    users = np.array([0] * 10 + [1] * 4 + [2])
    held_out = hold_out_share_of_users(users, 0.2, np.random.default_rng(3))
    drawn = np.random.default_rng(3).random(15)
    assert np.flatnonzero(held_out).tolist() == sorted([*np.argsort(drawn[:10])[8:], 10 + np.argmax(drawn[10:14])])


def test_one_rating_a_pair() -> None:
    users, items = np.array([0, 0, 1, 0, 1]), np.array([0, 1, 0, 0, 0])
    assert keep_newest(users, items, np.array([5, 1, 3, 5, 2])).tolist() == [1, 2, 3]


def test_newest_of_each_is_left_out() -> None:
    users, times = np.array([0, 0, 1, 2, 2, 2]), np.array([2, 1, 9, 7, 7, 7])
    held_out = leave_one_out(users, times, np.random.default_rng(0))
    assert held_out.tolist() == [True, False, False, False, False, True]


@given(st.lists(st.integers(3, 9), min_size=1, max_size=60), st.floats(0.05, 0.95), st.integers(0, 99))
def test_cold_are_wholly_held_out(rows: list[int], fraction: float, seed: int) -> None:
    held_out = hold_out_whole(np.array(rows), fraction, seed)
    cold, warm = set(np.array(rows)[held_out]), set(np.array(rows)[~held_out])
    assert not cold & warm
    assert len(cold) == max(1, round(fraction * len(set(rows))))


def test_cold_as_defined() -> None:
    rows = np.arange(40) % 20
    cold = np.random.default_rng(3).permutation(20)[:2]
    assert np.flatnonzero(hold_out_whole(rows, 0.1, seed=3)).tolist() == sorted([*cold, *(cold + 20)])


def ten_ratings() -> RatingMatrix:
    """Of two users, newest last."""
    return RatingMatrix(2, 5, np.arange(10) % 2, np.arange(10) // 2, np.ones(10), np.arange(10))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "folds",
        "folds:1",
        "folds:x",
        "folds:-2",
        "folds:999999999",
        "random:0",
        "random:1",
        "time:nan",
        "x:0.1",
        "leave-one-out:2",
        "next",
        "next-last:0",
    ],
)
def test_unknown_split(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"folds:K.*user-time:F.*next-last:N, leave-one-out"):
        held_out_by(name, ten_ratings(), 0)


@pytest.mark.parametrize(
    ("name", "n_held_out"),
    [
        ("folds:5", [2] * 5),
        ("random:0.2", [2]),
        ("user-random:0.2", [2]),
        ("user-time:0.2", [2]),
        ("time:0.2", [2]),
        ("leave-one-out", [2]),
        ("cold-users:0.5", [5]),
        ("cold-items:0.2", [2]),
        ("next:0.2", [2]),
        ("next-last:3", [6]),
        ("next-last:9", [8]),
    ],
)
def test_named_splits(name: str, n_held_out: list[int]) -> None:
    assert [mask.sum() for mask in held_out_by(name, ten_ratings(), 0)] == n_held_out


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("folds:11", "measure on"),
        ("random:0.01", "measure on"),
        ("random:0.99", "learn from"),
        ("cold-users:0.9", "learn from"),
    ],
)
def test_too_few_ratings(name: str, missing: str) -> None:
    with pytest.raises(InvalidInputError, match=rf"{name} leaves nothing to {missing} of 10 ratings"):
        held_out_by(name, ten_ratings(), 0)


@pytest.mark.parametrize("name", ["user-time:0.2", "leave-one-out", "cold-users:0.1", "cold-items:0.1"])
def test_one_rating(name: str) -> None:
    with pytest.raises(InvalidInputError, match="of 1 ratings"):
        held_out_by(name, RatingMatrix(1, 1, [0], [0], [3.0], [7]), 0)


@pytest.mark.parametrize("name", ["time:0.2", "user-time:0.2", "next:0.2", "next-last:2"])
def test_times_are_needed(name: str) -> None:
    ratings = RatingMatrix.from_arrays(np.arange(10) % 2, np.arange(10) // 2, np.ones(10))
    with pytest.raises(InvalidInputError, match=f"{name} splits by time, but none of the 10 .*(random|leave-one-out)"):
        held_out_by(name, ratings, 0)


def test_one_instant_cannot_be_split() -> None:
    with pytest.raises(InvalidInputError, match="measure on of 2 ratings, which all have the same time"):
        held_out_by("time:0.2", RatingMatrix(1, 2, [0, 0], [0, 1], [1, 1], [5, 5]), 0)


def test_missing_times_are_counted() -> None:
    some = RatingMatrix(1, 3, [0, 0, 0], [0, 1, 2], [1, 1, 1], [5, UNKNOWN_TIME, UNKNOWN_TIME])
    (remark,) = remarks_on_times("user-time:0.4", some)
    assert remark == "2 of 3 ratings have no time; they count as older than all others, in random order"
    assert remarks_on_times("random:0.4", some) == remarks_on_times("time:0.2", ten_ratings()) == []
    (remark,) = remarks_on_times("leave-one-out", RatingMatrix(1, 3, [0, 0, 0], [0, 1, 2], [1, 1, 1]))
    assert "none of the 3 ratings has a time" in remark
