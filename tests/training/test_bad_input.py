"""Input that users may send and should not: strange features, wrong recipes, settings that cannot work."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.algorithms.als_implicit import ImplicitALS
from app.entities import Item
from app.main import create_app
from app.settings import Settings
from app.store import migrate
from app.training.dataset import to_rows
from app.training.errors import SnapshotRejectedError, TrainingFailedError
from app.training.recipe import default_recipe, rating_recipe
from tests.support.commands import Finished, reckon
from tests.support.published import Shop, live_version, opened_shop
from tests.support.training_data import training_data
from tests.support.user_states import tasteful_ratings

STRANGE: list[Any] = [1, "x", True, ["a", "2"], 1.5]
FEATURES = {
    "missing for half": [Item(f"item-{n}", categories=("a", "b") if n % 2 else ()) for n in range(60)],
    "constant": [Item(f"item-{n}", categories=("all",), year=2000, attributes={"k": 1, "s": "x"}) for n in range(60)],
    "comma and emoji": [Item(f"item-{n}", categories=(["Sci-Fi, Fantasy", "🎬 a|b"][n % 2],)) for n in range(60)],
    "huge and tiny": [
        Item(
            f"item-{n}",
            year=10_000 * (-1) ** n,
            attributes={"huge": (-1) ** n * 1e299, "tiny": n * 1e-320, "small": (n - 30) * 1e-200},
        )
        for n in range(60)
    ],
    "every kind": [Item(f"item-{n}", attributes={"k": STRANGE[n % 5]}) for n in range(60)],
    "all different": [Item(f"item-{n}", categories=(f"c{n}",), attributes={"s": f"text {n}"}) for n in range(60)],
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """With a snapshot live."""
    with opened_shop(tmp_path_factory.mktemp("shop"), tasteful_ratings()) as opened:
        opened.train()
        yield opened


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("api")
    migrate("", folder)
    with TestClient(create_app(Settings(data_dir=folder, database_url="")), raise_server_exceptions=False) as opened:
        yield opened


@pytest.mark.parametrize("items", FEATURES.values(), ids=FEATURES)
def test_strange_features(items: Sequence[Item], tmp_path: Path) -> None:
    with opened_shop(tmp_path, tasteful_ratings(60), items=[*items, Item("new", categories=("a", "🎬"))]) as shop:
        snapshot = shop.train()
    assert snapshot.manifest.reason is None
    for array in (snapshot.item_vectors, snapshot.user_vectors, snapshot.arrays.item_map):
        assert np.isfinite(array).all()


def test_category_stays_whole(tmp_path: Path) -> None:
    with opened_shop(tmp_path, tasteful_ratings(60), items=FEATURES["comma and emoji"]) as shop:
        snapshot = shop.train(rating_recipe("funk_svd").document)
    vocabulary = json.dumps(snapshot.encodings.items.document, ensure_ascii=False)
    assert '"Sci-Fi, Fantasy"' in vocabulary
    assert '"🎬 a|b"' in vocabulary


def rating(**settings: object) -> dict[str, Any]:
    return {
        "segments": [
            {"name": "rating", "algorithm": "funk_svd"} | settings,
            {"name": "popularity", "algorithm": "popularity"},
        ]
    }


def funk(**hyperparameters: object) -> dict[str, Any]:
    return rating(hyperparameters=hyperparameters)


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else []


WRONG_RECIPES = {
    "empty": ({}, "not a recipe"),
    "no segments": ({"segments": []}, "rating, popularity must be there"),
    "texts": ({"segments": ["rating"]}, "not a recipe"),
    "unknown algorithm": (rating(algorithm="magic"), "als, bayesian_mf, biases, content_linear, funk_svd, auto"),
    "not publishable": (rating(algorithm="knn"), "als, bayesian_mf, biases, content_linear, funk_svd, auto"),
    "no algorithm": (rating(algorithm=None), "not a recipe"),
    "surrogate": (rating(algorithm="\ud800"), "but by: als"),
    "unknown hyperparameter": (funk(factors=3), "n_factors (a whole number from 1 to 4096, default 64), n_epochs"),
    "emoji": (funk(**{"🎬": 1}), "there are: n_factors"),
    "nan": (funk(learning_rate=float("nan")), "learning_rate is a number from 0 to 1e+06"),
    "infinite": (funk(learning_rate=float("inf")), "learning_rate is a number from 0 to 1e+06"),
    "huge": (funk(n_factors=10**30), "n_factors is a whole number from 1 to 4096"),
    "no float": (funk(learning_rate=10**400), "learning_rate is a number from 0 to 1e+06"),
    "true": (funk(n_factors=True), "n_factors is a whole number"),
    "a fraction": (funk(n_factors=2.5), "n_factors is a whole number"),
    "nested": (funk(n_factors=nested(20)), "n_factors is a whole number"),
    "list of hyperparameters": (rating(hyperparameters=[]), "not a recipe"),
    "hold-out": (rating() | {"holdout_fraction": float("nan")}, "between 0 and 1"),
}


@pytest.mark.parametrize(("recipe", "problem"), WRONG_RECIPES.values(), ids=WRONG_RECIPES)
def test_wrong_recipe_is_no_job(api: TestClient, recipe: object, problem: str) -> None:
    body = json.dumps({"recipe": recipe})
    answer = api.post("/training-jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["field"]) == (422, "recipe")
    assert problem in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 1_000


@pytest.mark.parametrize("recipe", ["[]", '"x"', "5", "[" * 3_000 + "]" * 3_000, '{"a":' * 90 + "1" + "}" * 90])
def test_no_recipe_at_all(api: TestClient, recipe: str) -> None:
    answer = api.post("/training-jobs", content=f'{{"recipe":{recipe}}}', headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ratings, and `reckon` told to work there."""
    with opened_shop(tmp_path, tasteful_ratings(20)):
        pass
    monkeypatch.setenv("RECKON_DATA_DIR", str(tmp_path))
    return tmp_path


def refused(*options: object) -> Finished:
    done = reckon("train", *options)
    assert done.exit_code == 1
    assert "Traceback" not in done.errors
    return done


@pytest.mark.parametrize("name", ["empty", "unknown algorithm", "unknown hyperparameter", "nan", "no float", "nested"])
def test_wrong_recipe_file(command: Path, name: str) -> None:
    recipe, problem = WRONG_RECIPES[name]
    (command / "recipe.json").write_text(json.dumps(recipe))
    assert problem in refused("--recipe", command / "recipe.json").errors


@pytest.mark.parametrize("content", [b"", b"[1", b"\xff\xfe", b"5"])
def test_file_is_no_recipe(command: Path, content: bytes) -> None:
    (command / "recipe.json").write_bytes(content)
    assert "recipe" in refused("--recipe", command / "recipe.json").errors


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--algorithm", "magic"), "bayesian_mf, biases, content_linear, funk_svd"),
        (("--algorithm", "als", "--param", "learning_rate=1"), "n_factors (a whole number from 1 to 4096, default 8)"),
        (("--algorithm", "als", "--param", "n_factors"), "n_factors is a whole number from 1 to 4096"),
        (("--algorithm", "als", "--param", "regularization=inf"), "regularization is a number from 0 to 1e+06"),
        (("--algorithm", "als", "--recipe", "recipe.json"), "--recipe excludes --algorithm"),
    ],
)
@pytest.mark.usefixtures("command")
def test_wrong_options(options: Sequence[str], named: str) -> None:
    assert named in refused(*options).errors


def with_towers() -> dict[str, Any]:
    document = default_recipe().document
    document["segments"].insert(2, {"name": "towers", "algorithm": "two_tower"})
    return document


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (funk(learning_rate=1e6, regularization=0), "try a smaller learning_rate"),
        (rating(algorithm="content_linear"), "features"),
        (with_towers(), "features"),
        (funk(learning_rate=0), "rmse"),
    ],
)
def test_failure_keeps_live(shop: Shop, recipe: dict[str, Any], problem: str) -> None:
    live = live_version(shop.store)
    with pytest.raises((TrainingFailedError, SnapshotRejectedError), match=problem):
        shop.train(recipe)
    assert live_version(shop.store) == live
    assert shop.store.jobs.latest(1)[0].state == "failed"
    assert len(shop.store.snapshots.entries()) == 1


def test_missing_extra_keeps_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with opened_shop(tmp_path, tasteful_ratings(), items=FEATURES["missing for half"]) as shop:
        shop.train(rating_recipe("funk_svd").document)
        with pytest.raises(TrainingFailedError, match=r"pip install 'reckon\[two-tower\]'"):
            shop.train(with_towers())
        assert live_version(shop.store) == 1


def test_taste_without_penalty() -> None:
    """More factors than items: directions that no observation has."""
    ratings = to_rows(training_data(tasteful_ratings(30, 20, 8)))
    vectors = ImplicitALS(n_factors=40, regularization=0, unobserved_weight=0.3).fit(ratings, np.random.default_rng(0))
    assert np.isfinite(vectors.scores(np.arange(30))).all()
