"""`reckon evaluate` on files, without a database."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.real_data import MOVIELENS, needs_movielens
from tests.support.service import Installation, write_ratings


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ratings(tmp_path_factory.mktemp("evaluate") / "ratings.csv")


def evaluated(*options: object) -> list[dict[str, Any]]:
    done = Installation(Path("/nonexistent")).run("evaluate", *map(str, options), "--json")
    results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
    return results


def test_folds_side_by_side(ratings: Path) -> None:
    names = ("funk_svd", "biases", "popular")
    results = evaluated(
        ratings,
        "--folds",
        3,
        "--metrics",
        "rmse,mae,ndcg@5",
        *(part for name in names for part in ("--algorithm", name)),
    )
    assert [result["algorithm"] for result in results] == list(names)
    funk, biases, popular = results
    assert funk["split"] == "folds:3"
    assert len(funk["folds"]) == 3
    assert funk["metrics"]["rmse"] < biases["metrics"]["rmse"]
    assert funk["metrics"]["rmse"] == pytest.approx(sum(fold["metrics"]["rmse"] for fold in funk["folds"]) / 3)
    assert popular["metrics"]["rmse"] is None
    assert popular["metrics"]["ndcg@5"] > 0
    assert funk["fit_seconds"] > 0
    assert funk["peak_rss_bytes"] > 1e7


def test_test_file(ratings: Path, tmp_path: Path) -> None:
    header, *lines = ratings.read_text().splitlines()
    train, test = tmp_path / "u1.csv", tmp_path / "u2.csv"
    train.write_text("\n".join([header, *lines[:-100]]))
    test.write_text("\n".join([header, *lines[-100:], "stranger,unseen,3,1600000000"]))
    (result,) = evaluated(train, "--test", test, "--param", "n_factors=2", "--param", "n_epochs=5")
    assert result["split"] == "test:u2.csv"
    assert set(result["metrics"]) == {"rmse", "mse", "mae"}
    assert 0 < result["metrics"]["rmse"] < 2


def test_same_seed_same_figures(ratings: Path) -> None:
    first, second = (evaluated(ratings, "--split", "user-time:0.2", "--seed", 7)[0]["metrics"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--algorithm", "magic"], "funk_svd"),
        (["--param", "n_factor=3"], "n_factors"),
        (["--param", "n_factors=many"], "n_factors"),
        (["--metrics", "accuracy"], "rmse"),
        (["--split", "halves"], "folds:K"),
        (["--split", "random:0.1", "--folds", "3"], "exclude"),
    ],
)
def test_wrong_options(ratings: Path, options: list[str], named: str) -> None:
    done = Installation(Path("/nonexistent")).run("evaluate", str(ratings), *options, check=False)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_file(tmp_path: Path) -> None:
    done = Installation(tmp_path).run("evaluate", str(tmp_path / "none.csv"), check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


@needs_movielens
def test_movielens_quality() -> None:
    (result,) = evaluated(MOVIELENS, "--folds", 5, "--seed", 0)
    assert result["metrics"]["rmse"] < 0.85
