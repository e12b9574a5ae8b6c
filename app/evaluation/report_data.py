"""Computes the data for the plots of a report: errors by rating, recall and coverage, learning curves, item maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.algorithms.errors import AlgorithmError
from app.algorithms.learner import Learner
from app.algorithms.progress import ProgressCallback, ignore
from app.evaluation.errors_of_values import errors_of_values
from app.evaluation.experiment import LONGEST_DRAWN, Experiment
from app.evaluation.metrics import Metric
from app.evaluation.outcome import FoldResult, Outcome

CURVE_SHARES = (0.1, 0.25, 0.5)
CURVE_METRICS = (Metric("rmse", None), Metric("ndcg", 10))
LIST_LENGTHS = range(5, LONGEST_DRAWN + 1, 5)
MAX_MAPPED = 2000


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a plot; `note` is the text of its tooltip."""

    x: float
    y: float
    note: str


Series = Mapping[str, Sequence[Point]]
"""Name -> the points of a line."""


def errors_by_rating(outcomes: Mapping[str, Outcome]) -> Series:
    """Return the RMSE on the test ratings of each value, by algorithm. More than 21 values are put into 10 bins.

    Algorithms that predict no ratings are left out.
    """
    return {name: points for name, outcome in outcomes.items() if (points := _errors_of(outcome))}


def _errors_of(outcome: Outcome) -> list[Point]:
    parts = [(f.details.actual, f.errors) for f in outcome.folds if f.details is not None and f.errors is not None]
    if not parts:
        return []
    actual, errors = (np.concatenate(column).astype(np.float64) for column in zip(*parts, strict=True))
    return [
        Point(
            each.value,
            each.rmse,
            f"{each.value:g}: RMSE {each.rmse:.3f}, mean error {each.mean:+.3f}, {each.n:,} ratings",
        )
        for each in errors_of_values(actual, errors)
    ]


def recall_against_coverage(outcomes: Mapping[str, Outcome]) -> Series:
    """Return the points (coverage@k, recall@k), means over the folds, for lists of 5 to 50 items."""
    series = {}
    for name, outcome in outcomes.items():
        points = []
        for k in LIST_LENGTHS:
            rankings = [f.details.ranking.at(k) for f in outcome.folds if f.details is not None and f.details.ranking]
            if rankings:
                coverage = float(np.mean([ranking.coverage for ranking in rankings]))
                recall = float(np.mean([ranking.over_users(ranking.recall).mean() for ranking in rankings]))
                points.append(Point(coverage, recall, f"{name}, k {k}: recall {recall:.4f}, coverage {coverage:.2%}"))
        if points:
            series[name] = points
    return series


def learning_curve(
    experiment: Experiment,
    learner: Learner,
    whole: FoldResult,
    shares: Sequence[float] = CURVE_SHARES,
    progress: ProgressCallback = ignore,
) -> Mapping[str, Sequence[Point]]:
    """Return RMSE and nDCG@10 on the test part of the first fold, learned from random shares of its training part.

    `whole`: the detailed result for the whole training part. A larger share contains the smaller ones. A share that is
    too small to learn from is left out.
    """
    train, test = experiment.parts(0)
    order = np.random.default_rng(experiment.seed).permutation(len(train))
    partial = replace(experiment, metrics=CURVE_METRICS, is_detailed=False)
    reached = {}
    for place, share in enumerate(shares):
        progress(place / len(shares), f"learning from {share:.0%}")
        # Sorted, so that the ratings keep their input order.
        part = train.subset(np.sort(order[: round(share * len(train))]))
        try:
            reached[share] = partial.run_fold(learner, part, test).metrics
        except AlgorithmError:
            continue
    # The whole training part has been measured already, though maybe on other metrics.
    ranking = None if whole.details is None else whole.details.ranking
    seconds = (whole.fit_seconds, whole.predict_seconds)
    reached[1.0] = FoldResult.from_predictions(CURVE_METRICS, whole.errors, ranking, seconds=seconds).metrics
    curve = {
        name: [
            Point(share, value, f"{share:.0%}, {round(share * len(train)):,} ratings: {name} {value:.4f}")
            for share, metrics in reached.items()
            if (value := metrics[name]) is not None
        ]
        for name in map(str, CURVE_METRICS)
    }
    return {name: points for name, points in curve.items() if points}


@dataclass(frozen=True, slots=True)
class ItemMap:
    """Items as points in the plane, the most rated first.

    `rows`: (m,) item rows.
    `places`: (m, 2) coordinates.
    `n_ratings`: (m,) number of ratings of each item.
    `explained`: fraction of the variance in item space that the two axes show.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    n_ratings: NDArray[np.int64]
    explained: float


def item_map(item_factors: NDArray[np.floating], item_counts: NDArray[np.int64]) -> ItemMap | None:
    """Project the most rated items on the two principal axes of their directions in item space.

    `item_factors`: (n_items, k); an item whose vector is 0 is left out. Returns None for fewer than three items.
    """
    lengths = np.linalg.norm(item_factors, axis=1)
    most_rated = np.argsort(-item_counts, kind="stable")
    rows = most_rated[(lengths[most_rated] > 0) & (item_counts[most_rated] > 0)][:MAX_MAPPED]
    if len(rows) < 3:  # noqa: PLR2004  two points have no second axis
        return None
    # Directions, because the length of a vector mostly reflects how popular the item is.
    directions = item_factors[rows].astype(np.float64) / lengths[rows, None]
    # PCA: the coordinates on the principal axes are U S of the centred matrix U S V^T.
    left, spread, _ = np.linalg.svd(directions - directions.mean(axis=0), full_matrices=False)
    places = np.zeros((len(rows), 2))
    places[:, : len(spread)] = (left * spread)[:, :2]
    # The sign of an axis is arbitrary. The outermost item is placed on the positive side, to make maps reproducible.
    places *= np.where(places[np.abs(places).argmax(axis=0), [0, 1]] < 0, -1, 1)
    explained = float((spread[:2] ** 2).sum() / max((spread**2).sum(), 1e-300))
    return ItemMap(rows, places, item_counts[rows], explained)
