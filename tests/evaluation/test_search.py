"""Searches whose best is known."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from app.algorithms.biases import Biases
from app.algorithms.errors import FitDivergedError
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.learner import Ranker
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.evaluation.experiment import BestsellerLearner, Experiment
from app.evaluation.metrics import Metric
from app.evaluation.search import GridSearch, Proposals, Range, Search, Tpe, Trial, measure, ranges_around_defaults
from app.evaluation.splits import held_out_by
from tests.support.known_ratings import ratings_of_rank

RMSE = Metric("rmse", None)
BOWL = {"x": Range(float, 0.001, 1.0), "n": Range(int, 1, 64), "is_on": Range(bool)}


def bowl(values: Mapping[str, Any]) -> float:
    """Least, 0, at x = 0.1, n = 8, on."""
    return float(np.log10(values["x"] / 0.1) ** 2 + np.log2(values["n"] / 8) ** 2 + (not values["is_on"]))


def a_search(known: Sequence[Trial] = ()) -> tuple[Search, list[Trial]]:
    recorded: list[Trial] = []

    def run(values: Mapping[str, Any], _tell: ProgressCallback) -> Trial:
        return Trial(dict(values), bowl(values), None, 0.0)

    defaults = {"x": 0.9, "n": 1, "is_on": False}
    trials = {trial.key: trial for trial in known}
    return Search(lambda values: defaults | dict(values), run, recorded.append, trials), recorded


def tpe(n: int, earlier: Sequence[Trial] = (), seed: int = 0) -> Tpe:
    return Tpe(BOWL, n, is_lower_better=True, seed=seed, earlier=earlier)


def test_every_combination() -> None:
    search, recorded = a_search()
    search.run(GridSearch({"n": [4, 8], "x": [0.1, 0.2], "is_on": [True]}))
    tried = [(trial.hyperparameters["n"], trial.hyperparameters["x"]) for trial in recorded]
    assert tried == [(4, 0.1), (4, 0.2), (8, 0.1), (8, 0.2)]
    assert search.best_first(is_lower_better=True)[0].hyperparameters == {"x": 0.1, "n": 8, "is_on": True}
    assert search.best_first(is_lower_better=False)[0].hyperparameters["n"] == 4


def test_nothing_is_tried_twice() -> None:
    first, recorded = a_search()
    first.run(GridSearch({"n": [4, 8]}))
    second, anew = a_search(recorded)
    second.run(GridSearch({"n": [8, 4, 16, 16]}))
    assert [trial.hyperparameters["n"] for trial in anew] == [16]
    assert len(second.trials) == 3


def test_finds_the_bottom() -> None:
    search, _ = a_search()
    search.run(tpe(60))
    best = search.best_first(is_lower_better=True)[0]
    assert best.value is not None
    assert best.value < 0.3
    assert best.hyperparameters["is_on"]


def test_same_seed_same_proposals() -> None:
    tried = []
    for seed in (3, 3, 4):
        search, recorded = a_search()
        search.run(tpe(12, seed=seed))
        tried.append([trial.hyperparameters for trial in recorded])
    assert tried[0] == tried[1] != tried[2]


def test_goes_on_from_earlier() -> None:
    first, recorded = a_search()
    first.run(tpe(5))
    second, anew = a_search(recorded)
    second.run(tpe(10, recorded))
    assert len(second.trials) == 10
    assert len(anew) == 5
    third, nothing = a_search(list(second.trials.values()))
    third.run(tpe(10, list(second.trials.values())))
    assert nothing == []


def test_earlier_outside_the_ranges() -> None:
    outside = Trial({"x": 5.0, "n": 8, "is_on": True}, 0.0, None, 0.0)
    failed = Trial({"x": 0.5, "n": 8, "is_on": True}, None, None, 0.0, "diverged")
    search, anew = a_search()
    search.run(tpe(3, [outside, failed]))
    assert len(anew) == 3


def test_time_is_up() -> None:
    search, recorded = a_search()
    search.run(GridSearch({"n": [1, 2, 3]}), budget_seconds=0)
    assert recorded == []


def test_progress_of_trials() -> None:
    told: list[tuple[float, str]] = []
    a_search()[0].run(GridSearch({"n": [1, 2, 3, 4]}), progress=lambda share, stage: told.append((share, stage)))
    assert [share for share, _ in told] == [0, 0.25, 0.5, 0.75]
    assert told[-1][1] == "trial 4 of 4"


def test_failures_are_kept() -> None:
    search, _ = a_search()
    run = search.measure
    search.measure = lambda values, progress: (
        run(values, progress) if values["is_on"] else Trial(dict(values), None, None, 0.0, "off")
    )
    proposals: Proposals = tpe(20)
    search.run(proposals)
    assert any(trial.problem for trial in search.trials.values())
    assert all(trial.hyperparameters["is_on"] for trial in search.best_first(is_lower_better=True))


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InvalidInputError, match=r"pip install 'reckon\[tune\]'"):
        tpe(3)


def test_ranges_of_an_algorithm() -> None:
    ranges = ranges_around_defaults(fields(FunkSVD))
    assert ranges.keys() == {"n_factors", "n_epochs", "learning_rate", "regularization", "biased"}
    n_factors, regularization = FunkSVD().n_factors, FunkSVD().regularization
    assert ranges["n_factors"] == Range(int, n_factors // 4, n_factors * 4)
    assert ranges["regularization"] == Range(float, regularization / 10, regularization * 10)
    assert ranges["regularization"].is_log
    assert ranges["biased"] == Range(bool)


def experiment() -> Experiment:
    ratings = ratings_of_rank(n_users=60, n_items=40).train
    return Experiment(ratings, held_out_by("folds:2", ratings, 0), RatingScale(1, 5), [RMSE], 4.0)


def test_a_trial_measured() -> None:
    trial = measure(experiment(), RMSE, Biases(), {"n_epochs": 15})
    assert trial.value == experiment().run(Biases()).metrics["rmse"]
    assert trial.interval is not None
    assert trial.interval[0] < (trial.value or 0) < trial.interval[1]
    assert trial.problem is None


def test_a_trial_that_fails() -> None:
    class Diverges:
        def fit(
            self, _ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore
        ) -> Ranker:
            raise FitDivergedError("too fast")

    assert measure(experiment(), RMSE, Diverges(), {}).problem == "too fast"
    assert (
        measure(experiment(), RMSE, BestsellerLearner(), {}).problem
        == "rmse could not be measured: predicts no ratings"
    )
