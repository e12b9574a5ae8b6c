"""`reckon tune` on files."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from app.algorithms.funk_svd import FunkSVD
from app.store import Store
from app.training.recipe import default_recipe, parse_recipe, rating_recipe
from tests.support.commands import reckon
from tests.support.service import write_ratings

GRID = ("--grid", "n_factors=2,4", "--grid", "regularization=0.05,0.5", "--param", "n_epochs=5")


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ratings(tmp_path_factory.mktemp("tune") / "ratings.csv")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def tuned(ratings: Path, results: Path, *options: object) -> dict[str, Any]:
    done = reckon("tune", ratings, "--results", results, *options, "--json")
    assert done.exit_code == 0, done.errors
    document: dict[str, Any] = json.loads(done.output)
    return document


def test_grid_with_folds(ratings: Path, results: Path) -> None:
    document = tuned(ratings, results, *GRID, "--split", "folds:2", "--metric", "ndcg@5")
    tried = [
        (trial["hyperparameters"]["n_factors"], trial["hyperparameters"]["regularization"])
        for trial in document["trials"]
    ]
    default = (FunkSVD().n_factors, FunkSVD().regularization)
    assert tried == [default, (2, 0.05), (2, 0.5), (4, 0.05), (4, 0.5)]
    assert {trial["hyperparameters"]["n_epochs"] for trial in document["trials"]} == {5}
    assert document["best"]["value"] == max(trial["value"] for trial in document["trials"])
    assert (document["algorithm"], document["metric"], document["split"]) == ("funk_svd", "ndcg@5", "folds:2")
    assert document["on_hold_out"].keys() == {"best", "default"}
    difference = document["on_hold_out"]["best"] - document["on_hold_out"]["default"]
    assert document["difference"]["value"] == pytest.approx(difference)


def test_splits_without_times(ratings: Path, results: Path, tmp_path: Path) -> None:
    file = tmp_path / "untimed.csv"
    file.write_text("\n".join(line.rpartition(",")[0] for line in ratings.read_text().splitlines()))
    document = tuned(file, results, "--grid", "n_factors=2", "--param", "n_epochs=2")
    assert (document["split"], document["hold_out"]) == ("user-random:0.2", "user-random:0.2")


def test_hold_out_is_never_seen(ratings: Path, results: Path, tmp_path: Path) -> None:
    """The same search, whatever the newest ratings say."""
    header, *lines = ratings.read_text().splitlines()
    by_user: dict[str, list[str]] = {}
    for line in lines:
        by_user.setdefault(line.split(",")[0], []).append(line)
    for own in by_user.values():  # of 18 ratings each the last 4 are held out
        own[14:] = [re.sub(r",\d,", ",1,", line) for line in own[14:]]
    other = tmp_path / "other.csv"
    other.write_text("\n".join([header, *(line for own in by_user.values() for line in own)]))
    first, second = (tuned(file, results, *GRID) for file in (ratings, other))
    assert [trial["value"] for trial in first["trials"]] == [trial["value"] for trial in second["trials"]]
    assert first["on_hold_out"] != second["on_hold_out"]


def test_goes_on_where_it_ended(ratings: Path, results: Path) -> None:
    first = tuned(ratings, results, "--grid", "n_factors=2", "--param", "n_epochs=5")
    lines = results.read_text()
    results.write_text(lines + lines[:40])  # torn
    second = tuned(ratings, results, *GRID)
    assert second["trials"][0] == first["trials"][0]  # with its seconds: not measured again
    assert results.read_text().startswith(lines)
    assert len(results.read_text().splitlines()) == len(second["trials"]) == 6
    before = results.read_text()
    assert tuned(ratings, results, *GRID) == second
    assert results.read_text() == before


def test_other_ratings_start_anew(ratings: Path, results: Path, tmp_path: Path) -> None:
    tuned(ratings, results, "--grid", "n_factors=2")
    other = write_ratings(tmp_path / "other.csv", seed=1)
    assert len(tuned(other, results, "--grid", "n_factors=2")["trials"]) == 2
    assert len(results.read_text().splitlines()) == 4


def test_ranges_by_optuna(ratings: Path, results: Path) -> None:
    options = ("--range", "regularization=0.01:0.5", "--range", "n_factors=2:8", "--param", "n_epochs=5")
    document = tuned(ratings, results, *options, "--trials", 6)
    tried = [trial["hyperparameters"] for trial in document["trials"]][1:]  # after the default
    assert len(tried) == 6
    assert all(0.01 <= each["regularization"] <= 0.5 and 2 <= each["n_factors"] <= 8 for each in tried)
    assert len(tuned(ratings, results, *options, "--trials", 8)["trials"]) == 9


def test_all_around_the_defaults(ratings: Path, results: Path) -> None:
    document = tuned(ratings, results, "--trials", 4, "--param", "n_epochs=5", "--param", "n_factors=4")
    for name in ("regularization", "learning_rate"):
        assert len({trial["hyperparameters"][name] for trial in document["trials"]}) == 4
    assert {trial["hyperparameters"]["n_factors"] for trial in document["trials"]} == {4}


def test_budget_of_time(ratings: Path, results: Path) -> None:
    assert len(tuned(ratings, results, *GRID, "--budget-seconds", 0)["trials"]) == 1  # the default at least


def test_table_for_people(ratings: Path, results: Path) -> None:
    done = reckon("tune", ratings, "--results", results, *GRID)
    assert done.exit_code == 0
    for text in ("best of 5 trials", "regularization", "held-out part of", "--param n_factors="):
        assert text in done.output


def test_saved_recipe(ratings: Path, results: Path, tmp_path: Path) -> None:
    saved = tmp_path / "recipe.json"
    best = tuned(ratings, results, *GRID, "--save", saved)["best"]["hyperparameters"]
    recipe = parse_recipe(json.loads(saved.read_text()))
    rating, *others = recipe.segments
    assert (rating.algorithm, rating.hyperparameters) == ("funk_svd", best)
    assert others == list(default_recipe().segments[1:])


def test_applied_to_the_service(ratings: Path, results: Path, store: Store, database_url: str, tmp_path: Path) -> None:
    store.instance.set_recipe(rating_recipe("biases").document)
    service = {"RECKON_DATABASE_URL": database_url, "RECKON_DATA_DIR": str(tmp_path)}
    with patch.dict(os.environ, service):
        best = tuned(ratings, results, *GRID, "--apply")["best"]["hyperparameters"]
    recipe = parse_recipe(store.instance.recipe())
    assert [segment.name for segment in recipe.segments] == ["rating", "popularity"]  # no taste before, none now
    assert recipe.segments[0].hyperparameters == best


def test_interrupted(ratings: Path, results: Path) -> None:
    with patch("app.evaluation.search.GridSearch.record", side_effect=KeyboardInterrupt):
        done = reckon("tune", ratings, "--results", results, *GRID)
    assert (done.exit_code, "continues" in done.errors) == (130, True)
    assert len(results.read_text().splitlines()) == 2


def test_without_optuna(ratings: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    done = reckon("tune", ratings, "--results", results)
    assert (done.exit_code, "pip install 'reckon[tune]'" in done.errors) == (1, True)
    assert not results.exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--algorithm", "magic"], "funk_svd"),
        (["--algorithm", "popular"], "no hyperparameters"),
        (["--grid", "n_factor=2"], "n_factors (a whole number"),
        (["--grid", "n_factors=2,many"], "not 'many'"),
        (["--grid", "n_factors"], "NAME=VALUE,..."),
        (["--range", "n_factors=2"], "NAME=LOW:HIGH"),
        (["--range", "n_factors=8:2"], "must be below its high end"),
        (["--range", "n_factors=0:2"], "n_factors"),
        (["--range", "n_factors=2:8", "--grid", "n_epochs=2"], "exclude"),
        (["--metric", "accuracy"], "ndcg@K"),
        (["--hold-out", "folds:5"], "choose a split with one"),
        (["--split", "random:0.0001"], "nothing to measure on"),
        (["--algorithm", "content_linear"], "--items"),
        (["--algorithm", "als_implicit", "--grid", "n_factors=2"], "--metric ndcg@10"),
        (["--algorithm", "content_linear_dual", "--save", "recipe.json"], "measured only"),
        (["--grid", "n_factors=2", "--relevant-from", "9", "--metric", "ndcg@5"], "could not be measured"),
    ],
)
def test_wrong_options(ratings: Path, results: Path, options: list[str], named: str) -> None:
    done = reckon("tune", ratings, "--results", results, *options)
    assert done.exit_code == 1
    assert named in done.errors
    assert "Traceback" not in done.errors


def test_one_that_diverges(ratings: Path, results: Path) -> None:
    document = tuned(ratings, results, "--grid", "learning_rate=0.05,1e6", "--param", "n_epochs=5")
    assert [trial["problem"] is None for trial in document["trials"]] == [True, False]
    assert np.isfinite(document["best"]["value"])
