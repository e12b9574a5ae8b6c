"""Ratings in mapped files: the same bits as in memory, whatever the length of the blocks that are walked."""

from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.als import ALS
from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.biases import Biases
from app.algorithms.decayed_counts import DatedChoices
from app.algorithms.errors import InvalidRatingsError
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.algorithms.storage import IN_MEMORY, Storage
from app.training.scratch import Scratch

BLOCKS = (997, 30_000, 1 << 20)
N_USERS, N_ITEMS, N = 700, 300, 90_000
"""More ratings than numpy sums at once, see `SUM_BLOCK`."""


def matrix(
    storage: Storage = IN_MEMORY, *, values: tuple[float, ...] = (1, 2, 3, 4, 5), timed: bool = True
) -> RatingMatrix:
    rng = np.random.default_rng(3)
    cells = np.sort(rng.choice(N_USERS * N_ITEMS, N, replace=False))
    users, items = np.divmod(cells, N_ITEMS)
    taste = rng.standard_normal((N_USERS, 3))[users] * rng.standard_normal((N_ITEMS, 3))[items]
    rated = np.asarray(values)[np.clip(np.rint(taste.sum(axis=1) + len(values) / 2), 0, len(values) - 1).astype(int)]
    times = rng.integers(0, 10**15, N)
    times[:50] = UNKNOWN_TIME
    columns = (users.astype(np.int32), items.astype(np.int32), rated.astype(np.float32), times)
    stored = [storage.empty(N, column.dtype) for column in columns]
    for array, column in zip(stored, columns, strict=True):
        array[:] = column
    user_rows, item_rows, ratings, rated_at = stored
    return RatingMatrix(
        N_USERS,
        N_ITEMS,
        user_rows,
        item_rows,
        ratings,
        rated_at if timed else None,
        liked_from=4.0,
        storage=storage,
    )


class Dropping(Scratch):
    """Drops all pages between all blocks."""

    def relieve(self) -> None:
        self.drop()


@pytest.fixture(params=BLOCKS)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    # So small a bound that items are put in order some at a time.
    return Dropping(tmp_path, most_bytes=1 << 20, block=request.param)


def same(one: Any, other: Any) -> bool:
    """Whether all arrays and numbers of two results have the same bits."""
    if is_dataclass(one):
        return all(same(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype) and one.tobytes() == other.tobytes()
    return bool(one == other)


LEARNERS = [
    ImplicitALS(n_factors=8, n_epochs=3),
    ImplicitALS(n_factors=8, n_epochs=2, rating_influence=0.0),
    FunkSVD(n_factors=6, n_epochs=6),
    FunkSVD(n_factors=6, n_epochs=3, biased=False),
    ALS(n_factors=4, n_epochs=4),
    Biases(n_epochs=3),
]


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: f"{type(learner).__name__}{astuple(learner)}")
def test_same_bits(learner: Any, storage: Storage) -> None:
    expected = learner.fit(matrix(), np.random.default_rng(1))
    assert same(learner.fit(matrix(storage), np.random.default_rng(1)), expected)


@pytest.mark.parametrize("values", [(0, 1), (1, 2, 3, 4, 5)])
def test_same_bits_of_two_grades(values: tuple[float, ...], storage: Storage) -> None:
    learner = ImplicitALS(n_factors=4, n_epochs=2)
    expected = learner.fit(matrix(values=values), np.random.default_rng(1))
    assert same(learner.fit(matrix(storage, values=values), np.random.default_rng(1)), expected)


@pytest.mark.parametrize("timed", [True, False])
def test_same_popularity(storage: Storage, *, timed: bool) -> None:
    expected, stored = (DatedChoices.from_ratings(matrix(each, timed=timed)) for each in (IN_MEMORY, storage))
    for half_life in (None, 30.0):
        assert same(stored.counts(half_life), expected.counts(half_life))


def test_same_counts_and_orders(storage: Storage) -> None:
    expected, stored = matrix(), matrix(storage)
    for name in ("user_counts", "item_counts", "item_like_counts", "user_choice_counts", "least_liked", "low_below"):
        assert same(getattr(stored, name), getattr(expected, name)), name
    for name in ("by_user", "by_item", "liked", "chosen"):
        one, other = getattr(stored, name), getattr(expected, name)
        assert all(np.array_equal(*pair) for pair in zip(_parts(one), _parts(other), strict=True)), name


def test_same_subsets(storage: Storage) -> None:
    expected, stored = matrix(), matrix(storage)
    mask = np.random.default_rng(0).random(N) < 0.3
    for selected in (mask, np.flatnonzero(mask), np.ones(N, np.bool_), np.zeros(N, np.bool_)):
        assert _same_columns(stored.subset(selected), expected.subset(selected))
    some = np.arange(0, N_USERS, 3)
    few = stored.select_users(some)
    assert few.storage is IN_MEMORY
    assert _same_columns(few, expected.select_users(some))


def test_order_of_users(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, 1 << 20, block=2)
    with pytest.raises(InvalidRatingsError, match="order of users"):
        RatingMatrix(3, 2, [0, 2, 1], [0, 0, 0], [1, 1, 1], storage=scratch)


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    array = Scratch(tmp_path, 1 << 20).empty(1000, np.int64)
    array[:] = 1
    assert not list(tmp_path.iterdir())


def _parts(matrix: sparse.csr_array) -> tuple[np.ndarray, ...]:
    return matrix.indptr, matrix.indices, matrix.data


def _same_columns(one: RatingMatrix, other: RatingMatrix) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("user_rows", "item_rows", "values", "rated_at")
    )
