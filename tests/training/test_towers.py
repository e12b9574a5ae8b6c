"""`two_tower` as a segment of a recipe."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.typing import ArrayLike
from scipy import sparse

from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.two_tower import INSTALL
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.segments.base import SegmentRecipe
from app.segments.registry import SEGMENTS
from app.training.blend import unlearned_weights
from app.training.errors import TrainingFailedError
from app.training.fit import Learned, fit
from app.training.recipe import Recipe, complete, default_recipe, parse_recipe
from app.training.resolve import resolve
from app.training.sides import join
from tests.support.made_up_towers import Published

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason=INSTALL)

RECIPE = Recipe(
    (
        complete("rating", "biases", {}),
        complete("towers", "two_tower", {"n_epochs": 30}),
        SegmentRecipe("popularity", "popularity"),
    )
)
N_USERS, N_ITEMS = 60, 40


def parity(n_rows: int) -> sparse.csr_array:
    return sparse.csr_array(np.eye(2, dtype=np.float32)[np.arange(n_rows) % 2])


def divided() -> RatingMatrix:
    """Even users like even items and rate them most; the last two of both, one even and one odd, have no ratings."""
    rng = np.random.default_rng(0)
    is_even = (np.arange(N_USERS)[:, None] + np.arange(N_ITEMS)) % 2 == 0
    users, items = np.nonzero(rng.random(is_even.shape) < np.where(is_even, 0.8, 0.3))
    is_old = (users < N_USERS - 2) & (items < N_ITEMS - 2)
    users, items = users[is_old], items[is_old]
    return of_rows(users, items, np.where(is_even[users, items], 5, 1))


def of_rows(users: ArrayLike, items: ArrayLike, values: ArrayLike) -> RatingMatrix:
    rows = np.asarray(users, np.int32), np.asarray(items, np.int32)
    ratings = RatingMatrix(N_USERS, N_ITEMS, *rows, np.asarray(values, np.float32))
    return ratings.with_features(Features(items=parity(N_ITEMS), users=parity(N_USERS)))


@pytest.fixture(scope="module")
def learned() -> Learned:
    pytest.importorskip("torch", reason=INSTALL)
    return fit(RECIPE, divided(), np.random.default_rng(0))


def test_parts_are_embeddings(learned: Learned) -> None:
    _, towers, _ = learned.dense
    assert (towers.item_part.shape, towers.user_part.shape) == ((N_ITEMS, 32), (N_USERS, 32))
    np.testing.assert_allclose(np.linalg.norm(towers.user_part, axis=1), 1, rtol=1e-5)


def test_new_users_and_items(learned: Learned) -> None:
    scores = join(learned, {"rating": 0.0, "towers": 1.0, "popularity": 0.0}).score(np.arange(N_USERS))
    for user in (0, 1, N_USERS - 2, N_USERS - 1):
        alike = (np.arange(N_ITEMS) + user) % 2 == 0
        assert scores[user, alike].min() > scores[user, ~alike].max()


@needs_torch
def test_learns_a_weight() -> None:
    settled = resolve(RECIPE, divided(), RatingScale(), np.random.default_rng(0))
    assert settled.weights["towers"] > 0
    assert [segment.name for segment in settled.recipe.segments] == ["rating", "towers", "popularity"]


def test_no_map_replaces_towers() -> None:
    rating, towers, _ = Published.make().learned.dense
    assert rating.item_map is not None
    assert towers.item_map is towers.user_map is None
    np.testing.assert_allclose(np.linalg.norm(towers.user_part[:16], axis=1), 1, rtol=1e-5)


def test_extra_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(TrainingFailedError, match=r"two_tower: .*pip install 'reckon\[two-tower\]'"):
        fit(RECIPE, divided(), np.random.default_rng(0))


def test_features_missing() -> None:
    with pytest.raises(TrainingFailedError, match=r"two_tower: .*features"):
        fit(RECIPE, divided().with_features(None), np.random.default_rng(0))


def test_recipe_with_towers() -> None:
    rating, taste, *others = default_recipe().document["segments"]
    towers = {"name": "towers", "algorithm": "two_tower"}
    recipe = parse_recipe({"segments": [rating, taste, towers, *others]})
    assert recipe.segments[2].hyperparameters["n_factors"] == 32
    with pytest.raises(InvalidInputError, match="in this order"):
        parse_recipe({"segments": [rating, towers, taste, *others]})


def test_all_have_weights_unlearned() -> None:
    assert all(weight > 0 for weight in unlearned_weights([*SEGMENTS]).values())
