"""How well every algorithm predicts and recommends on MovieLens ml-latest-small; peers on the same splits."""

import csv
import importlib.util
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from app.algorithms.als_implicit import ImplicitALS
from app.algorithms.by_name import make_learner
from app.algorithms.ease import EASE
from app.algorithms.knn import KNN
from app.algorithms.learner import Learner
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.text_encoding import TextEncoding
from app.cli.rated_data import load_rated_data
from app.evaluation.experiment import BestsellerLearner, Experiment
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Outcome
from app.evaluation.ranking import evaluate_ranking, users_with_relevant
from app.evaluation.rated_data import RatedData
from app.evaluation.splits import held_out_by
from app.scoring.sides import join_user_parts
from app.segments.rating import RATING
from app.segments.registry import arrays_of, dense_segment
from app.training.blend_learner import BlendLearner, RatingBlend
from benchmarks.algorithms import Implicit, Surprise
from benchmarks.table import Row

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "ml-latest-small"
RATINGS_ALONE = ("biases", "funk_svd", "als", "svd_plus_plus", "knn", "bayesian_mf")
WITH_FEATURES = ("content_linear", "two_tower")
SEEDS = (0, 1, 2)
NDCG, COVERAGE = "ndcg@10", "coverage@10"


def rows() -> list[Row]:
    if not FOLDER.is_dir():
        return [Row("quality, ml-latest-small", "", "not measured", "needs ml-latest-small in ../shared/data")]
    return [*rating_rows(), *list_rows(), *fold_in_rows(), *cold_item_rows(), *item_text_rows()]


@cache
def films() -> RatedData:
    """With genres and years as features."""
    return load_rated_data(FOLDER, items=FOLDER / "movies.csv")


def experiment(split: str, metrics: Iterable[str], *, with_features: bool, seed: int = 0) -> Experiment:
    ratings = films().ratings if with_features else films().ratings.with_features(None)
    wanted = [Metric.parse(name) for name in metrics]
    return Experiment(ratings, films().held_out(split, 0), films().scale, wanted, films().scale.liked_from, seed)


def rating_rows() -> list[Row]:
    rows = []
    for name in RATINGS_ALONE:
        outcome = measure(make_learner(name), experiment("folds:5", ["rmse", "mae"], with_features=False))
        rows.append(rating_row(f"{name}, ids only", outcome, RATING_TARGETS.get(name, "")))
    for name in WITH_FEATURES:
        if name == "two_tower" and importlib.util.find_spec("torch") is None:
            rows.append(Row(f"{name}, genres and year", "", "not measured", "needs the extra two-tower"))
            continue
        outcome = measure(make_learner(name), experiment("folds:5", ["rmse", "mae"], with_features=True))
        rows.append(rating_row(f"{name}, genres and year", outcome, "<= 0.832 (stretch)"))
    rows += [shrinking_row(), *surprise_rows()]
    return rows


RATING_TARGETS = {"funk_svd": "<= 0.848, fit <= 1 s", "bayesian_mf": "<= 0.838, fit <= 6 s"}


def measure(learner: Learner, on: Experiment) -> Outcome:
    on.warm_up(learner)
    return on.run(learner)


def rating_row(what: str, outcome: Outcome, target: str = "") -> Row:
    metrics, interval = outcome.metrics, outcome.intervals["rmse"]
    shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else "-"
    note = f"{shown}; MAE {metrics['mae']:.4f}; fit {outcome.fit_seconds:.2f} s a fold"
    return Row(f"RMSE, 5 folds: {what}", target, f"{metrics['rmse']:.4f}", note)


def shrinking_row() -> Row:
    """The mean of all draws in 32 columns, and in as many as it has."""
    on = experiment("folds:5", ["rmse"], with_features=False)
    shrunk, whole = (
        measure(make_learner("bayesian_mf", {"n_factors": n_columns}), on).metrics["rmse"] for n_columns in (32, 512)
    )
    return Row("bayesian_mf in 32 columns, in 512", "no worse", f"{shrunk:.4f}, {whole:.4f}", "RMSE, same folds")


def surprise_rows() -> list[Row]:
    if importlib.util.find_spec("surprise") is None:
        return [Row("scikit-surprise", "", "not measured", "pip install -r benchmarks/requirements.txt")]
    import surprise  # noqa: PLC0415  a peer, installed by `make bench` alone

    peers = {
        "Surprise SVD": lambda: surprise.SVD(random_state=0),
        "Surprise KNNBaseline": lambda: surprise.KNNBaseline(sim_options={"user_based": False}, verbose=False),
        "Surprise SVDpp": lambda: surprise.SVDpp(random_state=0),
    }
    on = experiment("folds:5", ["rmse", "mae"], with_features=False)
    return [rating_row(name, on.run(Surprise(make))) for name, make in peers.items()]


@dataclass(frozen=True)
class Tuned:
    """The one of `candidates` with the best lists on an inner split of the training part, learned from all of it."""

    candidates: tuple[Learner, ...]

    def fit(self, ratings: RatingMatrix, rng: np.random.Generator, progress: Any = None) -> Any:  # noqa: ARG002  of the protocol
        inner = replace(
            experiment("user-time:0.2", [NDCG], with_features=False),
            ratings=ratings,
            held_out=held_out_by("user-time:0.2", ratings, 0),
        )
        rows = [inner.run(candidate).metrics[NDCG] or 0.0 for candidate in self.candidates]
        return self.candidates[int(np.argmax(rows))].fit(ratings, rng)


EASE_TUNED = Tuned(tuple(EASE(regularization=size) for size in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)))


def list_rows() -> list[Row]:
    metrics = [NDCG, "recall@10", COVERAGE]
    on = experiment("user-time:0.2", metrics, with_features=False)
    ease = on.run(EASE_TUNED)
    algorithms: dict[str, Learner] = {
        "bestsellers": BestsellerLearner(),
        "funk_svd, by predicted rating": make_learner("funk_svd"),
        "bayesian_mf, by predicted rating": make_learner("bayesian_mf"),
        "svd_plus_plus, by predicted rating": make_learner("svd_plus_plus"),
        "logistic": make_learner("logistic"),
        "knn": KNN(),
        "als_implicit, defaults": ImplicitALS(),
    }
    if importlib.util.find_spec("implicit"):
        algorithms["implicit ALS, tuned on the same inner split"] = Tuned(
            tuple(Implicit(n, reg, alpha) for n in (32, 64) for reg in (0.1, 1.0, 10.0) for alpha in (1.0, 5.0, 20.0))
        )
    rows = [list_row(name, on.run(learner)) for name, learner in algorithms.items()]
    rows.append(list_row("EASE, tuned on the same inner split", ease))
    for with_features in (False, True):
        runs = [
            experiment("user-time:0.2", metrics, with_features=with_features, seed=seed).run(
                BlendLearner(films().scale)
            )
            for seed in SEEDS
        ]
        rows += blend_rows("with genres and year" if with_features else "ids only", runs, ease)
    return rows


def list_row(what: str, outcome: Outcome) -> Row:
    metrics = outcome.metrics
    interval = outcome.intervals[NDCG]
    shown = f"{interval.low:.4f} to {interval.high:.4f}" if interval else "-"
    n_items = round((metrics[COVERAGE] or 0.0) * films().ratings.n_items)
    note = f"{shown}; {n_items} items shown; fit {outcome.fit_seconds:.1f} s"
    return Row(f"nDCG@10: {what}", "", f"{metrics[NDCG]:.4f}", note)


def blend_rows(what: str, runs: list[Outcome], ease: Outcome) -> list[Row]:
    ndcg, shown = (statistics.mean(run.metrics[name] or 0.0 for run in runs) for name in (NDCG, COVERAGE))
    of_ease = ease.metrics
    target = max(0.112, 1.10 * (of_ease[NDCG] or 0.0))
    pairs = [run.minus(ease)[NDCG] for run in runs]
    gains = [
        f"+{pair.value:.4f} ({pair.interval.low:.4f} to {pair.interval.high:.4f})"
        for pair in pairs
        if pair is not None and pair.interval is not None
    ]
    coverage = shown / (of_ease[COVERAGE] or 1.0)
    seconds = statistics.mean(run.fit_seconds for run in runs)
    return [
        Row(
            f"nDCG@10: default recommendations, {what}, mean of {len(runs)} seeds",
            f">= {target:.4f}",
            f"{ndcg:.4f}",
            f"over EASE, in pairs: {'; '.join(gains)}; fit {seconds:.1f} s",
        ),
        Row(f"items shown at 10, {what}", ">= 0.9 x EASE (stretch)", f"{coverage:.2f} x", f"{shown:.3f} of all"),
    ]


def fold_in_rows() -> list[Row]:
    """Measure a fifth of the users without training on them, by fold-in alone, beside training on all users."""
    ratings = films().ratings.with_features(None)
    (is_test,) = films().held_out("user-time:0.2", 0)
    train, test = ratings.subset(~is_test), ratings.subset(is_test)
    is_unseen = np.random.default_rng(0).random(ratings.n_users) < 0.2
    learner = BlendLearner(films().scale)
    of_all = learner.fit(train, np.random.default_rng(0))
    others = learner.fit(train.subset(~is_unseen[train.user_rows]), np.random.default_rng(0))
    if not isinstance(of_all, RatingBlend) or not isinstance(others, RatingBlend):
        raise TypeError("films have grades, so both predict ratings")
    folded = FoldedIn(others, train)
    users = users_with_relevant(test, films().scale.liked_from)
    users = users[is_unseen[users]]
    unseen = test.subset(is_unseen[test.user_rows])
    rows = []
    for learned in (of_all, folded):
        lists = evaluate_ranking(learned.scores, users, train, test, liked_from=films().scale.liked_from, k=10)
        predicted = learned.predict(unseen.user_rows, unseen.item_rows).clip(0.5, 5.0)
        rows.append((lists.ndcg.mean(), np.sqrt(np.mean((predicted - unseen.values) ** 2))))
    (ndcg, rmse), (ndcg_folded, rmse_folded) = rows
    note = f"{len(users)} users without training data; trained with them {ndcg:.4f} and {rmse:.4f}"
    return [
        Row(
            "fold-in beside learning: nDCG@10", ">= 0.99 x", f"{ndcg_folded / ndcg:.3f} x", f"{ndcg_folded:.4f}; {note}"
        ),
        Row("fold-in beside learning: RMSE", "<= 1.01 x", f"{rmse_folded / rmse:.3f} x", f"{rmse_folded:.4f}"),
    ]


@dataclass(frozen=True, eq=False)
class FoldedIn:
    """Predict with `blend` for users folded in from `ratings`, one by one, as serving does."""

    blend: RatingBlend
    ratings: RatingMatrix

    @cache  # noqa: B019  lives as long as the benchmark
    def side(self, user_row: int) -> tuple[Any, float]:
        sides, by_user = self.blend.sides, self.ratings.by_user
        own = slice(by_user.indptr[user_row], by_user.indptr[user_row + 1])
        rows, values = by_user.indices[own], by_user.data[own]
        parts, bias = {}, 0.0
        for entry in sides.dense:
            segment = dense_segment(entry.name)
            fold = segment.open(entry.numbers, arrays_of(segment, sides.extra))
            part = fold.fold_in(sides.item_vectors[rows, entry.slice], values, rows, None)
            parts[entry.name], bias = part.columns[None], bias + part.bias
        return join_user_parts(parts, sides.dense, sides.item_covariance)[0], bias

    def scores(self, user_rows: Any) -> Any:
        return self.blend.scores_of(self.ratings.select_users(user_rows))

    def predict(self, user_rows: Any, item_rows: Any) -> Any:
        sides = self.blend.sides
        (rating,) = (segment for segment in sides.segments if segment.name == RATING)
        predicted = []
        for user, item in zip(user_rows.tolist(), item_rows.tolist(), strict=True):
            vector, bias = self.side(user)
            part = vector[rating.slice]
            deviation = sides.item_vectors[item, rating.slice] @ part / part[-1]
            predicted.append(self.blend.rating.mean + bias + deviation)
        return np.array(predicted)


def cold_item_rows() -> list[Row]:
    """A tenth of the items wholly held out, thrice; what ranks them is their genres and year alone."""
    ratings = films().ratings
    cold = [mask for seed in SEEDS for mask in held_out_by("cold-items:0.1", ratings, seed)]
    on = replace(experiment("user-time:0.2", [NDCG], with_features=True), held_out=cold)
    warm = experiment("user-time:0.2", [NDCG], with_features=True)
    baseline, blend = on.run(CategoryPopularity()), on.run(BlendLearner(films().scale))
    ndcg, of_baseline = blend.metrics[NDCG] or 0.0, baseline.metrics[NDCG] or 0.0
    warm_ndcg = warm.run(BlendLearner(films().scale)).metrics[NDCG] or 0.0
    plain = replace(warm, ratings=warm.ratings.with_features(None)).run(BlendLearner(films().scale)).metrics[NDCG]
    return [
        Row(
            "cold items, nDCG@10 among all items, mean of 3 draws",
            f">= {1.2 * of_baseline:.4f} (1.2 x category popularity)",
            f"{ndcg:.4f}",
            f"category popularity {of_baseline:.4f}",
        ),
        Row("warm nDCG@10 with features, without", "unchanged", f"{warm_ndcg:.4f}, {plain:.4f}", ""),
    ]


def item_text_rows() -> list[Row]:
    """Lists of cold items alone, a tenth of all, thrice: by genres and year, and by words of title and tags, too."""
    data, learner = films(), BlendLearner(films().scale)
    features = data.ratings.features
    if features is None:
        raise ValueError("needs features")
    tags = tags_by_film()
    texts = [f"{item.title}\n{tags.get(item.item_id, '')}" for item in data.items]
    encoding = TextEncoding.fit(texts)
    if encoding is None:
        raise ValueError("needs texts")
    with_text = data.ratings.with_features(replace(features, item_text=encoding.encode(texts)))
    cold, warm = [], []
    for ratings in (data.ratings, with_text):
        cold.append(statistics.mean(ndcg_of_cold(learner, ratings, seed) for seed in SEEDS))
        on = replace(experiment("user-time:0.2", [NDCG], with_features=True), ratings=ratings)
        warm.append(on.run(learner).metrics[NDCG] or 0.0)
    return [
        Row(
            "item text: nDCG@10 among cold items, mean of 3 draws",
            "> genres and year",
            f"{cold[1]:.4f}",
            f"{encoding.n_columns} words of title and tags; genres and year alone {cold[0]:.4f}",
        ),
        Row("item text: warm nDCG@10 with it, without", "unchanged", f"{warm[1]:.4f}, {warm[0]:.4f}", ""),
    ]


def tags_by_film() -> dict[str, str]:
    tags: dict[str, str] = {}
    with (FOLDER / "tags.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tags[row["movieId"]] = f"{tags.get(row['movieId'], '')}\n{row['tag']}"
    return tags


def ndcg_of_cold(learner: BlendLearner, ratings: RatingMatrix, seed: int) -> float:
    """With lists of wholly held-out items alone."""
    (is_test,) = held_out_by("cold-items:0.1", ratings, seed)
    train, test, liked_from = ratings.subset(~is_test), ratings.subset(is_test), films().scale.liked_from
    blend = learner.fit(train, np.random.default_rng(0))
    others = np.full(ratings.n_items, -np.inf, np.float32)
    others[test.item_rows] = 0.0
    users = users_with_relevant(test, liked_from)
    lists = evaluate_ranking(lambda rows: blend.scores(rows) + others, users, train, test, liked_from=liked_from, k=10)
    return float(lists.ndcg.mean())


@dataclass(frozen=True)
class CategoryPopularity:
    """An item is as popular as its categories are among the user's own ratings: what one does without a model."""

    def fit(self, ratings: RatingMatrix, _rng: np.random.Generator, _progress: Any = None) -> "CategoryScores":
        features = ratings.features
        if features is None:
            raise ValueError("needs features")
        return CategoryScores(ratings, np.asarray(features.items.todense()))


@dataclass(frozen=True)
class CategoryScores:
    ratings: RatingMatrix
    features: Any

    def scores(self, user_rows: Any) -> Any:
        by_user = self.ratings.by_user[user_rows] > 0
        return (by_user @ self.features) @ self.features.T
