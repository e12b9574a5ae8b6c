"""A new segment is one file and one line of the registry: a made-up one is learned, published, read back and served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.main import create_app
from app.scoring import PublishedScorer
from app.segments.base import Float32Array, Layout, SegmentRecipe
from app.segments.dense import DenseFold, DenseSegment, LearnedDenseSegment, UserPart
from app.segments.registry import SEGMENTS, in_order
from app.settings import Settings
from app.snapshots.errors import SnapshotDamagedError
from app.snapshots.manifest import card
from app.training.recipe import default_recipe, parse_recipe
from tests.support.published import Shop, opened_shop
from tests.support.snapshot_data import observed_of
from tests.support.user_states import tasteful_ratings


@dataclass(frozen=True)
class ParityFold(DenseFold):
    """Users like the parity of row that they rate higher; `sign`: +1 or -1 of each item row."""

    sign: Float32Array
    strength: float

    @property
    def numbers(self) -> dict[str, float]:
        return {"strength": self.strength}

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        return {"sign": self.sign}

    def fold_in(
        self,
        columns: Float32Array,
        values: NDArray[np.floating],
        item_rows: NDArray[np.integer],
        features: sparse.csr_array | None,
    ) -> UserPart:
        del columns, features
        drift = float(self.sign[item_rows] @ (values - 3.0)) / (1 + len(item_rows))
        return UserPart(np.array([self.strength * (1 + drift)], np.float32))


class ParitySegment(DenseSegment):
    name = "parity"
    algorithms = ("parity",)
    default_algorithm = "parity"
    has_hyperparameters = False
    starting_weight = 0.2
    # Kept whatever the lists say, so that the test does not hang on them.
    is_required = True
    layouts: ClassVar[Mapping[str, Layout]] = {"sign": (np.dtype(np.float32), ("n_items",))}

    def _fit(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedDenseSegment:
        del rng, progress
        sign = np.where(np.arange(ratings.n_items) % 2, -1, 1).astype(np.float32)
        fold, by_user = ParityFold(sign, 2.0), ratings.by_user
        users = [slice(*by_user.indptr[user : user + 2]) for user in range(ratings.n_users)]
        parts = [fold.fold_in(sign[:0], by_user.data[own], by_user.indices[own], None).columns for own in users]
        return LearnedDenseSegment(recipe, fold, sign[:, None], np.stack(parts), np.zeros(1, np.float32))

    def _open(self, numbers: Mapping[str, float], arrays: Mapping[str, NDArray[Any]]) -> ParityFold:
        return ParityFold(arrays["sign"], numbers["strength"])


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTS, "parity", ParitySegment())  # the one line
        with opened_shop(tmp_path_factory.mktemp("shop"), tasteful_ratings(n_users=60, n_items=30)) as shop:
            yield shop


@pytest.fixture(scope="module")
def scorer(shop: Shop) -> PublishedScorer:
    recipe = parse_recipe({"segments": [{"name": name, "algorithm": algorithm} for name, algorithm in WANTED]})
    return shop.train(recipe.document)


WANTED = [("rating", "biases"), ("popularity", "popularity"), ("parity", "parity")]
LIST = "/users/user-0/recommendations?limit=5&explain=true"


@pytest.fixture
def api(scorer: PublishedScorer, shop: Shop) -> Iterator[TestClient]:
    """The whole API on the snapshot of `scorer`."""
    del scorer
    with TestClient(create_app(Settings(database_url="", data_dir=shop.trainer.publisher.data_dir))) as opened:
        yield opened


def parity_shares(answer: Any) -> dict[str, float]:
    return {item["item_id"]: item["reasons"]["segments"][-1]["score"] for item in answer.json()["items"]}


def rate(api: TestClient, item_ids: list[str], value: int) -> None:
    ratings = [{"user_id": "newcomer", "item_id": item_id, "value": value} for item_id in item_ids]
    api.post("/ratings/batch", json={"ratings": ratings}).raise_for_status()


def test_part_of_recipes(shop: Shop) -> None:
    del shop
    assert [segment.name for segment in default_recipe().segments] == [
        "rating",
        "taste",
        "engagement",
        "item_item",
        "transitions",
        "popularity",
        "parity",
    ]
    assert in_order(["parity", "taste"]) == ["taste", "parity"]


def test_published_and_read_back(scorer: PublishedScorer) -> None:
    *_, block = scorer.blocks
    assert isinstance(block.fold, ParityFold)
    assert block.fold.strength == 2.0
    np.testing.assert_array_equal(block.fold.sign[:4], [1, -1, 1, -1])
    np.testing.assert_array_equal(scorer.item_vectors[:, block.slice][:, 0], block.fold.sign)


def test_in_the_score(scorer: PublishedScorer) -> None:
    for row in (0, 5, 9):
        side = scorer.fold_in(observed_of(scorer.arrays, row))
        np.testing.assert_allclose(side.vector, scorer.user_vectors[row], atol=1e-4)
        shares = scorer.shares(side, np.arange(scorer.n_items), scorer.item_vectors)
        assert list(shares) == ["rating", "popularity", "parity"]
        assert np.abs(shares["parity"]).min() > 0
        np.testing.assert_allclose(sum(shares.values()), scorer.item_vectors @ side.vector, atol=1e-5)


def test_on_the_card(scorer: PublishedScorer, shop: Shop) -> None:
    shown = card(scorer.manifest)
    assert [segment["name"] for segment in shown["segments"]] == ["rating", "popularity", "parity"]
    assert [segment["name"] for segment in shown["recipe"]["segments"]] == ["rating", "popularity", "parity"]
    registered = shop.store.snapshots.get(scorer.manifest.version).card
    assert registered["segments"][-1]["name"] == "parity"


def test_served_and_explained(api: TestClient, scorer: PublishedScorer) -> None:
    answer = api.get(LIST).json()
    assert answer["snapshot_version"] == scorer.manifest.version
    assert len(answer["items"]) == 5
    for item in answer["items"]:
        segments = item["reasons"]["segments"]
        assert [share["segment"] for share in segments] == ["rating", "popularity", "parity"]
        assert sum(share["score"] for share in segments) == pytest.approx(item["score"], abs=1e-4)
    shown = api.get(f"/snapshots/{scorer.manifest.version}").json()["card"]
    assert [segment["name"] for segment in shown["segments"]] == ["rating", "popularity", "parity"]


def test_cached_until_the_user_rates(api: TestClient) -> None:
    """New ratings are folded into the segment: low ones of even rows reverse what high ones did."""
    path = "/users/newcomer/recommendations?limit=100&explain=true"
    even = [item_id for item_id, share in parity_shares(api.get(LIST)).items() if share > 0]
    rate(api, even, 5)
    before = api.get(path)
    if_changed = {"If-None-Match": before.headers["etag"]}
    assert api.get(path, headers=if_changed).status_code == 304
    rate(api, even, 1)
    after = api.get(path, headers=if_changed)
    assert after.status_code == 200
    shares = parity_shares(after)
    assert len(shares) == 30 - len(even)
    assert parity_shares(before) == {item_id: -share for item_id, share in shares.items()}


def test_names_are_their_keys() -> None:
    assert all(name == segment.name for name, segment in SEGMENTS.items())


def test_incomplete_state_is_damage(scorer: PublishedScorer) -> None:
    arrays = replace(scorer.arrays, extra={})
    with pytest.raises(SnapshotDamagedError, match="the segment parity lacks 'sign'"):
        PublishedScorer.from_parts(scorer.manifest, arrays, scorer.index, scorer.encodings)
