import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from app.algorithms.errors import AlgorithmError, FitDivergedError
from app.algorithms.history_features import HistoryFeatures
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.algorithms.two_tower import INSTALL, TwoTower
from app.algorithms.two_tower_vectors import Float32Array, Tower, TowerVectors, join_features
from app.evaluation.metrics import rmse
from tests.algorithms.feature_contract import FeatureLearnerContract, described, parities
from tests.support.known_ratings import checkerboard, of_known_features, ratings_of_rank

ROOT = Path(__file__).parents[2]


needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason=INSTALL)


@needs_torch
class TestTwoTower(FeatureLearnerContract):
    checkerboard_rmse = (0.0, 0.1)
    rank_four_rmse = (0.77, 0.85)

    def learner(self, **hyperparameters: Any) -> TwoTower:
        return TwoTower(**hyperparameters)


@pytest.fixture(scope="module")
def board() -> TowerVectors:
    """Learned without the last users and items of the board."""
    pytest.importorskip("torch", reason=INSTALL)
    ratings = described(checkerboard().train)
    is_old = (ratings.user_rows < 50) & (ratings.item_rows < 30)
    return TwoTower().fit(ratings.subset(is_old), np.random.default_rng(0))


def test_vectors_have_length_one(board: TowerVectors) -> None:
    assert board.user_vectors.shape == (60, 32)
    for vectors in (board.user_vectors, board.item_vectors):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_predictions_stay_on_the_scale(board: TowerVectors) -> None:
    users, items = np.divmod(np.arange(60 * 40), 40)
    predicted = board.predict(users, items)
    assert predicted.min() > 1 - 1e-4
    assert predicted.max() < 5 + 1e-4


def embedded(tower: Tower, features: sparse.csr_array, history: sparse.csr_array | None) -> Float32Array:
    return tower.embed(join_features(features, history, tower.n_features))


def test_new_users_and_items(board: TowerVectors) -> None:
    users = embedded(board.user_tower, parities(10), None)
    items = embedded(board.item_tower, parities(10), None)
    wanted = np.where((np.arange(10)[:, None] + np.arange(10)) % 2 == 0, 5.0, 1.0)
    assert rmse((board.centre + board.half_range * users @ items.T).ravel(), wanted.ravel()) < 1.0


def test_unrated_items_of_known_users(board: TowerVectors) -> None:
    users, items = np.divmod(np.arange(50 * 10), 10)
    wanted = np.where((users + items) % 2 == 0, 5.0, 1.0)
    assert rmse(board.predict(users, items + 30), wanted) < 0.2


@needs_torch
def test_forgetting_prepares_for_new_items(monkeypatch: pytest.MonkeyPatch) -> None:
    known = of_known_features(noise=0.3)
    new = known.test.subset(known.test.item_rows >= 100)

    def error() -> float:
        learned = TwoTower().fit(known.train.subset(known.train.item_rows < 100), np.random.default_rng(1))
        return rmse(learned.predict(new.user_rows, new.item_rows), new.values)

    prepared = error()
    monkeypatch.setattr("app.algorithms.two_tower.DROPOUT_SHARE", 0.0)
    assert prepared < 0.98 * error()


def test_embeds_as_learned(board: TowerVectors) -> None:
    ratings = described(checkerboard().train)
    ratings = ratings.subset((ratings.user_rows < 50) & (ratings.item_rows < 30))
    users = embedded(board.user_tower, parities(60), board.history.users(ratings))
    items = embedded(board.item_tower, parities(40), board.history.items(ratings))
    np.testing.assert_allclose(users, board.user_vectors, atol=1e-6)
    np.testing.assert_allclose(items, board.item_vectors, atol=1e-6)


def test_forward_pass_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason=INSTALL)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape).astype(np.float32) for shape in ((7, 6), (6, 5), (5, 4))]
    biases = [rng.normal(size=size).astype(np.float32) for size in (6, 5, 4)]
    inputs = rng.normal(size=(9, 7)).astype(np.float32)
    hidden = torch.from_numpy(inputs)
    for layer, (each, bias) in enumerate(zip(weights, biases, strict=True)):
        hidden = torch.nn.functional.linear(hidden if layer == 0 else hidden.relu(), torch.from_numpy(each.T.copy()))
        hidden = hidden + torch.from_numpy(bias)
    expected = torch.nn.functional.normalize(hidden, dim=1).numpy()
    embedded = Tower(tuple(weights), tuple(biases)).embed(sparse.csr_array(inputs))
    np.testing.assert_allclose(embedded, expected, atol=1e-5)


def test_tower_by_hand() -> None:
    weights = (np.array([[1, -1], [2, 0]], np.float32), np.array([[3, 0], [0, 1]], np.float32))
    tower = Tower(weights, (np.array([0, 0.5], np.float32), np.array([0, 4], np.float32)))
    # (1, 0) -> (1, -0.5) -> (3, 4) -> (0.6, 0.8);   (0, 0) -> (0, 0.5) -> (0, 4.5) -> (0, 1)
    embedded = tower.embed(sparse.csr_array(np.array([[1, 0], [0, 0]], np.float32)))
    assert embedded.ravel().tolist() == pytest.approx([0.6, 0.8, 0, 1])


def test_not_finite_is_refused() -> None:
    history = HistoryFeatures.from_ratings(
        RatingMatrix(1, 1, [], [], []), sparse.csr_array(np.zeros((1, 0), np.float32))
    )
    tower = Tower((), ())
    bad = np.full((1, 2), np.nan, np.float32)
    with pytest.raises(FitDivergedError, match="smaller learning_rate"):
        TowerVectors(tower, tower, bad, bad, history, 0.0, 1.0).checked()


@needs_torch
def test_items_alone_described() -> None:
    known = ratings_of_rank(n_users=60, n_items=40)
    nobody = sparse.csr_array(np.zeros((60, 0), np.float32))
    ratings = known.train.with_features(Features(items=parities(40), users=nobody))
    learned = TwoTower(n_epochs=2).fit(ratings, np.random.default_rng(0))
    assert np.isfinite(learned.predict(np.arange(40), np.arange(40))).all()


@needs_torch
def test_threads_are_given_back() -> None:
    import torch  # noqa: PLC0415  an extra

    before = torch.get_num_threads()
    TwoTower(n_epochs=1).fit(described(checkerboard().train), np.random.default_rng(0))
    assert torch.get_num_threads() == before


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(AlgorithmError, match=r"pip install 'reckon\[two-tower\]'"):
        TwoTower().fit(described(checkerboard().train), np.random.default_rng(0))


def test_serving_needs_no_torch() -> None:
    program = "import sys, app.algorithms.two_tower, app.algorithms.two_tower_vectors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
