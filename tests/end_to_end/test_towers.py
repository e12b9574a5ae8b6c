"""Two towers from training to the answer: who and what has no ratings is embedded while serving."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.algorithms.two_tower import INSTALL
from app.entities import IncomingRatings, Item, User
from app.main import create_app
from app.segments.base import SegmentRecipe
from app.settings import Settings
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training.publisher import Publisher
from app.training.recipe import Recipe, complete
from app.training.run import Trainer
from tests.support.databases import MigratedDatabases

pytestmark = pytest.mark.slow

RECIPE = Recipe(
    (
        complete("rating", "funk_svd", {"n_factors": 2}),
        complete("towers", "two_tower", {"n_epochs": 40}),
        SegmentRecipe("popularity", "popularity"),
    )
)
N_USERS, N_ITEMS = 60, 40


@pytest.fixture(scope="module")
def client(databases: MigratedDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Finns like what is even, Swedes what is odd; trained once for all tests here."""
    pytest.importorskip("torch", reason=INSTALL)
    folder = tmp_path_factory.mktemp("towers")
    with databases.fresh("sqlite", folder) as url:
        train(url, folder)
        with TestClient(create_app(Settings(database_url=url, data_dir=folder, snapshot_poll_seconds=0.05))) as opened:
            yield opened


def train(url: str, folder: Path) -> None:
    store = Store.open(url, folder)
    store.items.record([Item(f"item-{n}", categories=("even" if n % 2 == 0 else "odd",)) for n in range(N_ITEMS)])
    store.users.record([User(f"user-{n}", country="FI" if n % 2 == 0 else "SE") for n in range(N_USERS)])
    rng = np.random.default_rng(0)
    likes = (np.arange(N_USERS)[:, None] + np.arange(N_ITEMS)) % 2 == 0
    users, items = np.nonzero(rng.random(likes.shape) < np.where(likes, 0.5, 0.2))
    order = rng.permutation(len(users))
    users, items = users[order], items[order]
    store.ratings.record(
        IncomingRatings(
            [f"user-{user}" for user in users],
            [f"item-{item}" for item in items],
            np.where(likes[users, items], 5.0, 1.0 + rng.integers(0, 2, len(users))),
            np.arange(len(users)) * 1_000_000,
        )
    )
    store.jobs.enqueue("request", recipe=RECIPE.document)
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    Trainer(store, Publisher(store, SnapshotFolders(folder))).run(claim)
    live = store.snapshots.live()
    assert live is not None
    weights = {segment["name"]: segment["weight"] for segment in live.card["segments"]}
    assert max(weights, key=lambda name: weights[name]) == "towers"
    store.close()


def recommended(client: TestClient, user_id: str) -> Any:
    return client.get(f"/users/{user_id}/recommendations", params={"limit": 100}).json()


def categories(client: TestClient, answer: Any, n: int) -> list[str]:
    return [client.get(f"/items/{item['item_id']}").json()["categories"][0] for item in answer["items"][:n]]


def scores(answer: Any) -> dict[str, float]:
    return {item["item_id"]: item["score"] for item in answer["items"]}


def test_newcomer_by_country(client: TestClient) -> None:
    client.put("/users/newcomer", json={"country": "SE"})
    answer = recommended(client, "newcomer")
    assert answer["strategy"] == "profile"
    assert categories(client, answer, 10) == ["odd"] * 10


def test_new_item_by_category(client: TestClient) -> None:
    client.put("/items/new-even", json={"categories": ["even"]})
    client.put("/items/new-odd", json={"categories": ["odd"]})
    for user_id, liked, other in (("user-0", "new-even", "new-odd"), ("user-1", "new-odd", "new-even")):
        found = scores(recommended(client, user_id))
        assert found[liked] > found[other] + 0.5


def test_newcomer_meets_new_item(client: TestClient) -> None:
    client.put("/users/finn", json={"country": "FI"})
    client.put("/items/even-too", json={"categories": ["even"]})
    client.put("/items/odd-too", json={"categories": ["odd"]})
    found = scores(recommended(client, "finn"))
    assert found["even-too"] > found["odd-too"] + 0.5


def test_first_rating_keeps_the_country(client: TestClient) -> None:
    client.put("/users/swede", json={"country": "SE"})
    client.post("/ratings", json={"user_id": "swede", "item_id": "item-1", "value": 5})
    answer = recommended(client, "swede")
    assert answer["strategy"] == "fold_in"
    assert categories(client, answer, 10) == ["odd"] * 10


def test_unchanged_history_is_mapped_as_folded(client: TestClient) -> None:
    before = recommended(client, "user-2")
    (rating, *_) = client.get("/users/user-2/ratings").json()["ratings"]
    client.delete(f"/users/user-2/ratings/{rating['item_id']}")
    client.post("/ratings", json={"user_id": "user-2", "item_id": rating["item_id"], "value": rating["value"]})
    after = recommended(client, "user-2")
    assert (before["strategy"], after["strategy"]) == ("personalized", "fold_in")
    assert scores(after) == pytest.approx(scores(before), abs=1e-3)
