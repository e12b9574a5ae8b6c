"""`reckon train --from` with Spark, as processes: what is published is that of the engine `local`."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.training.memory_need import RunSize, in_blocks, in_memory
from app.training.recipe import parse_recipe, with_engine
from tests.spark.support import MASTER
from tests.spark.test_spark_fits import WITHIN
from tests.support.lake import columns_of, written
from tests.support.service import Instance
from tests.support.user_states import tasteful_ratings

N_USERS, N_ITEMS = 500, 200
RATINGS = tasteful_ratings(N_USERS, N_ITEMS)
RECIPE = {
    "segments": [
        {"name": "rating", "algorithm": "biases", "hyperparameters": {"n_epochs": 3}},
        {"name": "taste", "algorithm": "als_implicit", "hyperparameters": {"n_factors": 8, "n_epochs": 6}},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("lake"), columns_of(RATINGS))


def trained(folder: Path, lake: str, conf: Path, engine: str, memory: str = "") -> dict[str, Any]:
    """The card of the snapshot, which is live, of a new service."""
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(RECIPE))
    settings = {"RECKON_SPARK_MASTER": MASTER, "SPARK_CONF_DIR": str(conf), "RECKON_TRAINING_MEMORY": memory}
    service = Instance(folder, settings=settings)
    service.run("migrate")
    options = ("--engine", engine, "--recipe", str(folder / "recipe.json"), "--accept", "--json")
    assert json.loads(service.run("train", "--from", lake, *options, timeout_seconds=500).stdout)["is_live"]
    (entry,) = json.loads(service.run("snapshots", "list", "--json").stdout)
    assert entry["is_live"]
    assert not (folder / "spark").exists()
    card: dict[str, Any] = entry["card"]
    assert card["counts"]["ratings"] == len(RATINGS)
    return card


@pytest.fixture(scope="module")
def local(lake: str, spark_conf: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return trained(tmp_path_factory.mktemp("local") / "data", lake, spark_conf, "local")


def test_from_a_folder(lake: str, local: dict[str, Any], spark_conf: Path, tmp_path: Path) -> None:
    card = trained(tmp_path / "data", lake, spark_conf, "spark")
    assert card["requested_recipe"]["engine"] == "spark"
    assert any("learned on Spark" in choice and "taste" in choice for choice in card["choices"])
    compare(card, local)


def test_above_the_setting(lake: str, local: dict[str, Any], spark_conf: Path, tmp_path: Path) -> None:
    """The ratings stay in mapped files, which Spark is given block by block."""
    recipe = with_engine(parse_recipe(RECIPE), "spark")
    size = RunSize(len(RATINGS), N_USERS, N_ITEMS)
    most = in_blocks(recipe, size) + 1
    assert most < in_memory(recipe, size)
    card = trained(tmp_path / "data", lake, spark_conf, "spark", str(most))
    said = " ".join(card["choices"])
    assert "learned on Spark" in said
    assert "since they need more memory than RECKON_TRAINING_MEMORY" in said
    compare(card, local)


def compare(card: dict[str, Any], local: dict[str, Any]) -> None:
    ours, theirs = (each["metrics"]["snapshot"]["ndcg@10"] for each in (card, local))
    assert ours == pytest.approx(theirs, rel=WITHIN)
    assert ours > 1.5 * card["metrics"]["bestsellers"]["ndcg@10"]
