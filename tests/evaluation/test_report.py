"""The report as a page: complete, closed off from the network, and safe with any text."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from app.algorithms.biases import Biases
from app.algorithms.funk_svd import FunkSVD
from app.algorithms.learner import Learner
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.evaluation.experiment import BestsellerLearner, Experiment
from app.evaluation.metrics import Metric
from app.evaluation.plots import line_plot, map_plot
from app.evaluation.report import EvaluationReport
from app.evaluation.report_data import errors_by_rating, item_map, learning_curve, recall_against_coverage
from app.evaluation.splits import held_out_by
from tests.support.known_ratings import ratings_of_rank

EVIL = '<script>alert("&amp;")</script>'
THREE: dict[str, Learner] = {
    "funk_svd": FunkSVD(n_factors=4, n_epochs=8),
    "popular": BestsellerLearner(),
    EVIL: Biases(),
}


def experiment(ratings: RatingMatrix, split: str = "folds:2") -> Experiment:
    metrics = [Metric("rmse", None), Metric("ndcg", 10), Metric("coverage", 10)]
    return Experiment(ratings, held_out_by(split, ratings, 0), RatingScale(1, 5), metrics, 4.0, is_detailed=True)


def in_steps() -> RatingMatrix:
    known = ratings_of_rank().train
    return RatingMatrix(
        known.n_users, known.n_items, known.user_rows, known.item_rows, np.rint(known.values).clip(1, 5)
    )


def page(asked: Experiment, algorithms: Mapping[str, Learner], title: str = EVIL) -> str:
    outcomes = {name: asked.run(learner) for name, learner in algorithms.items()}
    first, *others = outcomes
    differences = {name: outcomes[name].minus(outcomes[first]) for name in others}
    curve = learning_curve(asked, algorithms[first], outcomes[first].folds[0], (0.5,))
    names = [title] * asked.ratings.n_items
    values: dict[str, dict[str, object]] = {name: {} for name in algorithms}
    if "funk_svd" in values:
        values["funk_svd"]["n_factors"] = 4
    return EvaluationReport(title, "folds:2", asked, values, outcomes, differences, names, names, curve).render()


@pytest.fixture(scope="module")
def full_page() -> str:
    return page(experiment(in_steps()), THREE)


def test_everything_is_there(full_page: str) -> None:
    headings = re.findall("<h2>(.*?)</h2>", full_page)
    assert headings == [
        "Figures",
        "Compared with funk_svd",
        "Error by rating",
        "Recall against coverage",
        "Learning curve, rmse",
        "Learning curve, ndcg@10",
        "Map of the items, funk_svd",
        "Hyperparameters",
    ]
    assert "n_factors = 4" in full_page
    assert "prefers-color-scheme: dark" in full_page


def test_no_network(full_page: str) -> None:
    assert not re.search(r"https?:|//|src=|url\(|@import|<link|<script", full_page)


def test_every_text_is_escaped(full_page: str) -> None:
    assert EVIL not in full_page
    assert "&lt;script&gt;alert(&quot;&amp;amp;&quot;)&lt;/script&gt; (" in full_page  # a title of the map


def test_plots_are_well_formed(full_page: str) -> None:
    plots = re.findall("<svg.*?</svg>", full_page)
    assert len(plots) == 5
    for plot in plots:
        drawn = ET.fromstring(plot)  # noqa: S314  our own text
        assert all(np.isfinite(float(circle.attrib["cx"])) for circle in drawn.iter("circle"))
    assert len(plots[4].split("<circle")) == 201


def test_one_colour_in_all_plots() -> None:
    asked = experiment(in_steps(), "random:0.2")
    shown = page(asked, {"popular": BestsellerLearner(), "biases": Biases()}, "items")
    errors, recall = re.findall("<svg.*?</svg>(?=<ul|</section>)", shown)[:2]
    assert re.findall(r'<g class="(\w+)"', errors) == ["s1"]
    assert re.findall(r'<g class="(\w+)"', recall) == ["s0", "s1"]


def test_little_to_draw() -> None:
    users, items = np.divmod(np.arange(12), 4)
    shown = page(experiment(RatingMatrix.from_arrays(users, items, np.full(12, 3.0))), {"popular": BestsellerLearner()})
    assert re.findall("<h2>(.*?)</h2>", shown) == ["Figures", "Hyperparameters"]


def test_errors_of_each_rating() -> None:
    asked = experiment(in_steps())
    series = errors_by_rating({"popular": asked.run(BestsellerLearner()), "biases": asked.run(Biases())})
    assert list(series) == ["biases"]
    assert [point.x for point in series["biases"]] == [1, 2, 3, 4, 5]
    assert series["biases"][0].y > series["biases"][2].y  # extremes are predicted towards the mean
    assert "mean error +" in series["biases"][0].note


def test_many_values_are_binned() -> None:
    outcome = experiment(ratings_of_rank().train).run(Biases())
    points = errors_by_rating({"biases": outcome})["biases"]
    assert 5 <= len(points) <= 10
    total = sum(int(re.findall(r"([\d,]+) ratings", point.note)[0].replace(",", "")) for point in points)
    assert total == len(ratings_of_rank().train)


def test_longer_lists_cover_more() -> None:
    points = recall_against_coverage({"biases": experiment(in_steps()).run(Biases())})["biases"]
    assert len(points) == 10
    assert [point.x for point in points] == sorted(point.x for point in points)


def test_more_ratings_teach_more() -> None:
    asked = experiment(ratings_of_rank().train, "random:0.2")
    outcome = asked.run(Biases())
    curve = learning_curve(asked, Biases(), outcome.folds[0])
    rmse = [point.y for point in curve["rmse"]]
    assert [point.x for point in curve["rmse"]] == [0.1, 0.25, 0.5, 1.0]
    assert rmse == sorted(rmse, reverse=True)
    assert (rmse[-1], curve["ndcg@10"][-1].y) == (outcome.metrics["rmse"], outcome.metrics["ndcg@10"])
    assert list(learning_curve(asked, BestsellerLearner(), asked.run(BestsellerLearner()).folds[0], ())) == ["ndcg@10"]


def test_map_shows_what_is_alike() -> None:
    rng = np.random.default_rng(0)
    camps = np.repeat([[3.0, 0, 0], [0, 3, 0], [0, 0, 0]], [10, 10, 5], axis=0)
    found = item_map(camps + rng.normal(0, 0.1, camps.shape) * (camps.sum(axis=1, keepdims=True) > 0), np.arange(25))
    assert found is not None
    assert 0 not in found.rows  # never rated
    assert found.rows[0] == 19  # the most rated that has a vector
    side = found.places[:, 0] > 0
    assert set(side[found.rows < 10]) != set(side[found.rows >= 10])
    assert found.explained > 0.9


@pytest.mark.parametrize("factors", [np.zeros((9, 2)), np.ones((2, 2))])
def test_no_map(factors: np.ndarray) -> None:
    assert item_map(factors, np.ones(len(factors), np.int64)) is None


def test_map_of_one_factor() -> None:
    found = item_map(np.array([[1.0], [-2], [3], [4]]), np.array([4, 3, 2, 1]))
    assert found is not None
    assert np.abs(found.places[:, 1]).max() < 1e-9
    assert "NaN" not in map_plot(found, list("abcd"), ["", "x", "x", ""]).replace("nan", "NaN")


def test_flat_line() -> None:
    series = recall_against_coverage({"a": experiment(in_steps()).run(BestsellerLearner())})
    point = series["a"][0]
    assert "nan" not in line_plot({"a": [point, point]}, ["a"], "x", "y")
