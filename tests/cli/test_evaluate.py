"""`reckon evaluate` on files, without a database."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.algorithms.biases import Biases
from app.cli.rated_data import load_rated_data
from app.entities import RatingScale
from tests.support.commands import reckon
from tests.support.real_data import MOVIELENS, needs_movielens
from tests.support.service import Instance, write_ratings

DIVERGES = ("--param", "funk_svd.learning_rate=1e6", "--param", "funk_svd.regularization=0")
TWO = ("--algorithm", "funk_svd", "--algorithm", "popular")
THREE = ("--algorithm", "biases", "--algorithm", "funk_svd", "--algorithm", "popular")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ratings(tmp_path_factory.mktemp("evaluate") / "ratings.csv")


def evaluated(*options: object) -> list[dict[str, Any]]:
    done = reckon("evaluate", *options, "--json")
    results: list[dict[str, Any]] = json.loads(done.output)["results"]
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
    assert set(result["metrics"]) == {"rmse", "mse", "mae", "ndcg@10", "recall@10", "coverage@10"}
    assert 0 < result["metrics"]["rmse"] < 2


def test_pairs_of_both_files(ratings: Path, tmp_path: Path) -> None:
    header, *lines = ratings.read_text().splitlines()
    test = tmp_path / "test.csv"
    test.write_text("\n".join([header, *lines[-100:]]))
    options = ("evaluate", ratings, "--test", test, "--algorithm", "popular", "--metrics", "ndcg@5,rmse")
    document = json.loads(reckon(*options, "--json").output)
    assert document["data"]["n_ratings"] == 1080
    (remark,) = document["remarks"]
    assert remark.startswith("100 pairs of user and item are in both files; they were dropped from the training part")
    report = tmp_path / "report.html"
    assert remark in reckon(*options, "--report", report).output
    assert remark in report.read_text()
    assert "predicts no ratings" in report.read_text()
    assert "Items with equal scores are ranked in the order" in report.read_text()
    assert "on the scale 1:5:1 (detected)" in report.read_text()
    done = reckon("evaluate", ratings, "--test", ratings)
    assert (done.exit_code, "nothing is left to learn from" in done.errors) == (1, True)


def test_given_scale(ratings: Path) -> None:
    document = json.loads(reckon("evaluate", ratings, "--algorithm", "popular", "--scale", "1:4", "--json").output)
    assert (document["data"]["scale"], document["data"]["is_scale_detected"]) == ("1:4", False)
    assert document["data"]["n_ratings"] < 1080
    assert "ratings are not on the scale 1:4 and were left out" in document["remarks"][0]


def test_gross_value(ratings: Path, tmp_path: Path) -> None:
    """One typo neither sets the scale nor makes a learner diverge."""
    file = tmp_path / "gross.csv"
    file.write_text(ratings.read_text() + "\nu1,i1,50000,1600000000\n")
    names = ("--algorithm", "funk_svd", "--algorithm", "svd_plus_plus", "--algorithm", "als")
    done = reckon("evaluate", file, "--split", "random:0.2", *names, "--metrics", "rmse", "--json")
    document = json.loads(done.output)
    assert (document["data"]["scale"], document["remarks"], document["warnings"]) == (
        "1:5:1",
        ["1 value is far from the others and was set aside: 50000"],
        [],
    )
    assert max(result["metrics"]["rmse"] for result in document["results"]) < 2


def test_values_for_missing_ratings(ratings: Path, tmp_path: Path) -> None:
    file = tmp_path / "lists.csv"
    file.write_text(ratings.read_text() + "".join(f"\nu{row % 60},x,-1,1600000000" for row in range(60)))
    done = reckon("evaluate", file, "--algorithm", "popular", "--strict")
    assert (done.exit_code, "note: -1 is the value of 60 of 1,140 rows (5.3 %)" in done.output) == (0, True)
    assert "1,080 ratings of 60 users and 41 items, scale 1:5:1" in done.output


def test_many_rejected(ratings: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(ratings.read_text() + "\nu1,i1,lots,1" * 20)
    done = reckon("evaluate", file, "--algorithm", "popular", "--strict")
    warning = "1.8 % of the rows were rejected; the first reason: value: 'lots' is not a number"
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, f"warning: {warning}")
    document = json.loads(reckon("evaluate", file, "--algorithm", "popular", "--scale", "1:4", "--json").output)
    (warning,) = document["warnings"]
    assert float(warning.partition(" ")[0]) > 2


def test_next_items(ratings: Path) -> None:
    """Users of the file come one after the other, so that all users of the test part are new."""
    names = ("ease", "popular", "recent", "svd_plus_plus")
    chosen = (part for name in names for part in ("--algorithm", name))
    options = ("--split", "next:0.2", "--metrics", "ndcg@5,rmse", "--param", "n_epochs=3")
    done = reckon("evaluate", ratings, *options, *chosen, "--json")
    assert done.exit_code == 0, done.errors
    document = json.loads(done.output)
    assert document["data"]["relevant_from"] == 1
    assert "Ratings of one instant are all on the same side of the border in time." in document["protocol"]
    assert "204 held-out interactions of 12 users are asked one after the other." in document["protocol"]
    assert "12 interactions are not asked, because they are the first of their user." in document["protocol"]
    ease, popular, recent, fitted = document["results"]
    assert min(each["metrics"]["ndcg@5"] for each in (ease, popular, recent)) > 0
    assert ease["intervals"]["ndcg@5"] is not None
    assert recent["remark"].startswith("counts the last ")
    assert fitted["reasons"] == {"ndcg@5": "cannot rank for a history that grew after the fit"}


def test_without_times(ratings: Path, tmp_path: Path) -> None:
    header, *lines = ratings.read_text().splitlines()
    file = tmp_path / "pairs.csv"
    file.write_text("\n".join(line.rpartition(",")[0] for line in [header, *lines]))
    options = ("evaluate", file, "--algorithm", "popular", "--algorithm", "recent", "--split")
    done = reckon(*options, "user-time:0.2")
    assert (done.exit_code, "none of the 1080 ratings has a time; user-random:F" in done.errors) == (1, True)
    done = reckon(*options, "leave-one-out")
    assert done.exit_code == 0, done.errors
    assert "note: recent is left out: no rating has a time" in done.output
    assert "leave-one-out holds out a random rating of each user, not the newest" in done.output
    done = reckon("evaluate", file, "--algorithm", "recent")
    assert (done.exit_code, "recent needs times" in done.errors) == (1, True)


def test_same_seed_same_figures(ratings: Path) -> None:
    first, second = (evaluated(ratings, "--split", "user-time:0.2", "--seed", 7)[0]["metrics"] for _ in range(2))
    assert first == second


def test_document_of_results(ratings: Path) -> None:
    options = (*("--algorithm", "biases", "--algorithm", "popular"), "--metrics", "rmse,ndcg@5,gini@5", "--seed", 3)
    document = json.loads(reckon("evaluate", ratings, "--split", "user-time:0.3", *options, "--json").output)
    assert document["data"] == {
        "source": "ratings.csv",
        "n_ratings": 1080,
        "n_users": 60,
        "n_items": 40,
        "n_rejected": 0,
        "scale": "1:5:1",
        "is_scale_detected": True,
        "relevant_from": 4.0,
    }
    assert (document["split"], document["seed"], document["confidence"]) == ("user-time:0.3", 3, 0.95)
    biases, popular = document["results"]
    assert biases["hyperparameters"].keys() >= {"regularization"}
    assert (popular["hyperparameters"], popular["problem"]) == ({}, None)
    low, high = biases["intervals"]["rmse"]
    assert low < biases["metrics"]["rmse"] < high
    assert (popular["intervals"]["rmse"], popular["intervals"]["gini@5"]) == (None, None)
    assert (biases["reasons"], popular["reasons"]) == ({}, {"rmse": "predicts no ratings"})
    assert document["remarks"] == []
    assert "Items with equal scores are ranked in the order in which the data name them first." in document["protocol"]
    (comparison,) = document["comparisons"]
    assert (comparison["algorithm"], comparison["against"]) == ("popular", "biases")
    assert comparison["metrics"]["rmse"] is None
    difference = comparison["metrics"]["ndcg@5"]
    assert difference["difference"] == pytest.approx(popular["metrics"]["ndcg@5"] - biases["metrics"]["ndcg@5"])
    assert difference["interval"][0] <= difference["difference"] <= difference["interval"][1]
    assert 0 < difference["chance"] <= 1


def test_table_for_people(ratings: Path) -> None:
    done = reckon("evaluate", ratings, "--folds", 2, "--algorithm", "biases", "--algorithm", "popular")
    assert done.exit_code == 0
    for text in (
        "1,080 ratings of 60 users and 40 items, scale 1:5:1 (detected; --scale sets it)",
        *("split folds:2", "rmse", "coverage@10", "popular", "±", "minus biases", "p 0."),
        *("predicts no ratings", "Items with equal scores"),
    ):
        assert text in done.output


def test_params_of_one_and_of_all(ratings: Path) -> None:
    params = ("--param", "funk_svd.n_epochs=3", "--param", "regularization=0.5", "--param", "n_factors=2")
    results = json.loads(reckon("evaluate", ratings, "--folds", 2, *THREE, *params, "--json").output)["results"]
    assert [result["hyperparameters"].get("regularization") for result in results] == [0.5, 0.5, None]
    assert [result["hyperparameters"].get("n_factors") for result in results] == [None, 2, None]
    assert results[1]["hyperparameters"]["n_epochs"] == 3


@pytest.mark.parametrize(
    "split",
    [
        *("random:0.2", "user-random:0.2", "user-time:0.2", "time:0.2", "leave-one-out", "cold-users:0.2"),
        *("cold-items:0.2", "next-last:2"),
    ],
)
def test_every_split(ratings: Path, split: str) -> None:
    done = reckon("evaluate", ratings, "--split", split, *THREE, "--metrics", "rmse,ndcg@5", "--json")
    assert done.exit_code == 0, done.errors
    for result in json.loads(done.output)["results"]:
        assert result["problem"] is None
        assert result["metrics"]["ndcg@5"] is not None


@pytest.mark.parametrize(
    "lines",
    [
        [f"u,i{n},{n % 5 + 1}" for n in range(12)],
        [f"u{n},i,{n % 5 + 1}" for n in range(12)],
        [f"u{n % 4},i{n},3" for n in range(12)],
        ["u,i0,nan", "u,i1,inf", *(f"u{n % 3},i{n % 4},{n % 5 + 1}" for n in range(12))],
    ],
    ids=["one user", "one item", "one value", "not finite"],
)
def test_strange_ratings(tmp_path: Path, lines: list[str]) -> None:
    file = tmp_path / "strange.csv"
    file.write_text("\n".join(["user,item,rating", *lines]))
    done = reckon("evaluate", file, "--folds", 3, *THREE, "--json")
    assert done.exit_code == 0, done.errors
    document = json.loads(done.output)
    for result in document["results"][:2]:
        if all(line.endswith(",3") for line in lines):
            assert result["reasons"]["rmse"] == "no value scale: every rating is 3"
        else:
            assert np.isfinite(result["metrics"]["rmse"])
    assert document["data"]["n_rejected"] == (2 if "nan" in lines[0] else 0)
    assert ("some rows were rejected" in done.errors) == ("nan" in lines[0])


def test_files_of_items_and_users(ratings: Path, tmp_path: Path) -> None:
    items, users = tmp_path / "items.csv", tmp_path / "users.jsonl"
    items.write_text("item_id,title,categories,year\ni1,One,Drama|War,1990\nnever rated,Two,War,\n")
    users.write_text('{"user_id": "u1", "country": "CH", "age": 30}\n{"user_id": "new", "country": "DE"}\n')
    file = load_rated_data(ratings, items=items, users=users)
    features = file.ratings.features
    assert features is not None
    assert features.items.shape[0] == len(file.item_ids) == file.ratings.n_items == 41
    assert features.users.shape[0] == len(file.user_ids) == file.ratings.n_users == 61
    assert (file.user_ids[-1], file.titles[-1]) == ("new", "Two")
    described = np.flatnonzero(np.diff(features.items.indptr))
    assert described.tolist() == [file.item_ids.index("i1"), 40]
    assert file.fingerprint != load_rated_data(ratings, items=items).fingerprint != load_rated_data(ratings).fingerprint
    assert file.fingerprint == load_rated_data(ratings, items=items, users=users).fingerprint


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--algorithm", "magic"], "funk_svd"),
        (["--algorithm", "magic"], "popular"),
        (["--param", "n_factor=3"], "n_factors"),
        (["--param", "n_factors=many"], "n_factors"),
        (["--param", "n_factors"], "NAME=VALUE"),
        (["--param", "als.n_factors=3"], "none of: funk_svd"),
        (["--param", "funk_svd.x=3"], "regularization"),
        (["--algorithm", "popular", "--param", "n_factors=3"], "popular has no"),
        (["--metrics", "accuracy"], "rmse"),
        (["--metrics", "gini"], "gini@K"),
        (["--split", "halves"], "folds:K"),
        (["--split", "cold-users:2"], "cold-items:F"),
        (["--split", "random:0.0001"], "leaves nothing to measure on of 1080 ratings"),
        (["--split", "random:0.1", "--folds", "3"], "exclude"),
        (["--relevant-from", "nan"], "not a rating"),
        (["--items", "missing.csv"], "missing.csv"),
        (["--scale", "5:1"], "MIN:MAX"),
        (["--scale", "7:9"], "none of the 1,080 ratings is on the scale 7:9"),
    ],
)
def test_wrong_options(ratings: Path, options: list[str], named: str) -> None:
    done = reckon("evaluate", ratings, *options)
    assert done.exit_code == 1
    assert named in done.errors
    assert "Traceback" not in done.errors


def test_report_with_titles(ratings: Path, tmp_path: Path) -> None:
    items, report = tmp_path / "items.csv", tmp_path / "report.html"
    items.write_text("item_id,title,categories\ni1,Tom & Jerry,Comedy|War\n")
    done = reckon("evaluate", ratings, "--folds", 2, *TWO, "--items", items, "--report", report)
    assert done.exit_code == 0, done.errors
    page = report.read_text()
    assert re.search(r"<title>Tom &amp; Jerry \(\d+ ratings\), Comedy</title>", page)
    assert page.count("<svg") == 5
    assert reckon("evaluate", ratings, "--report", tmp_path / "none" / "report.html").exit_code == 1


def with_categories(items: Path) -> Path:
    items.write_text("\n".join(["item_id,categories", *(f"i{n},{'odd' if n % 2 else 'even'}" for n in range(40))]))
    return items


def test_features_are_needed(ratings: Path, tmp_path: Path) -> None:
    """An algorithm that cannot run is refused before anything is measured."""
    options = ("evaluate", ratings, "--folds", 2, "--algorithm", "biases", "--algorithm", "content_linear", "--json")
    done = reckon(*options)
    assert done.exit_code == 1
    assert "content_linear: " in done.errors
    assert "--items" in done.errors
    assert "results" not in done.output
    items = with_categories(tmp_path / "items.csv")
    biases, content = json.loads(reckon(*options, "--items", items).output)["results"]
    assert content["metrics"]["rmse"] < biases["metrics"]["rmse"]


def test_blend_by_name(ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It learns in the scale of the file; here biases stand for it, which are faster."""
    scales = []

    def biases(scale: RatingScale) -> Biases:
        scales.append(scale)
        return Biases()

    monkeypatch.setattr("app.training.blend_learner.BlendLearner", biases)
    names = ("--algorithm", "blend", "--algorithm", "biases")
    blend, biased = json.loads(reckon("evaluate", ratings, "--folds", 2, *names, "--json").output)["results"]
    assert scales == [RatingScale(1, 5, 1)]
    assert blend["metrics"] == biased["metrics"]
    assert blend["hyperparameters"] == {}
    assert "blend has no hyper" in reckon("evaluate", ratings, *names, "--param", "blend.n_factors=2").errors


def test_extra_is_missing(ratings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    items = with_categories(tmp_path / "items.csv")
    names = ("--algorithm", "biases", "--algorithm", "two_tower", "--items", items)
    done = reckon("evaluate", ratings, "--folds", 2, *names, "--json")
    assert (done.exit_code, "pip install 'reckon[two-tower]'" in done.errors) == (1, True)
    assert "results" not in done.output


def test_items_that_are_none(ratings: Path) -> None:
    done = reckon("evaluate", ratings, "--items", ratings)
    assert (done.exit_code, "so it holds no items" in done.errors) == (1, True)


def test_missing_file(tmp_path: Path) -> None:
    done = Instance(tmp_path).run("evaluate", str(tmp_path / "none.csv"), check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_one_that_diverges(ratings: Path) -> None:
    done = reckon("evaluate", ratings, "--algorithm", "funk_svd", "--algorithm", "biases", *DIVERGES, "--json")
    assert done.exit_code == 1
    document = json.loads(done.output)
    assert document["comparisons"] == []
    diverged, biases = document["results"]
    assert "learning_rate" in diverged["problem"]
    assert diverged["metrics"]["rmse"] is None
    assert biases["metrics"]["rmse"] > 0


@needs_movielens
def test_movielens_quality() -> None:
    (result,) = evaluated(MOVIELENS, "--folds", 5, "--seed", 0)
    assert result["metrics"]["rmse"] < 0.85


def test_notes_on_shapes(tmp_path: Path) -> None:
    """Lists of items are evaluated like pairs, and how they were read stands beside the results."""
    path = tmp_path / "train.txt"
    path.write_text(
        "".join(
            f"{user} " + " ".join(str(user * 7 % 5 + step) for step in range(3 + user % 3)) + "\n" for user in range(9)
        )
    )
    done = reckon("evaluate", path, "--algorithm", "popular", "--metrics", "ndcg@10", "--split", "random:0.3")
    assert (done.exit_code, done.errors.splitlines()[0]) == (
        0,
        "reckon: train.txt: each line was read as a user, then the items of that user",
    )
