"""Experiments on ratings whose right answer is known."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms.biases import Biases
from app.algorithms.errors import FeaturesNeededError, FitDivergedError, InvalidRatingsError
from app.algorithms.progress import ProgressCallback, ignore
from app.algorithms.rating_matrix import Features, RatingMatrix
from app.entities import RatingScale
from app.evaluation.experiment import BestsellerLearner, Experiment
from app.evaluation.metrics import Metric
from app.evaluation.outcome import Outcome
from app.evaluation.splits import held_out_by
from tests.support.known_ratings import checkerboard, ratings_of_rank

NAMES = ("rmse", "mse", "mae", "ndcg@5", "recall@5", "coverage@5", "gini@5", "novelty@5")


def experiment(ratings: RatingMatrix, split: str = "folds:3", **settings: bool) -> Experiment:
    metrics = [Metric.parse(name) for name in NAMES]
    return Experiment(ratings, held_out_by(split, ratings, 0), RatingScale(1, 5), metrics, 4.0, **settings)


@dataclass(frozen=True)
class Oracle:
    """Knows every rating of a checkerboard but for `noise`, and says them `too_high`."""

    noise: float = 0.0
    too_high: float = 0.0

    def fit(
        self, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback = ignore
    ) -> "Oracle.Learned":
        progress(1.0, "known")
        users, items = np.indices((ratings.n_users, ratings.n_items))
        values = np.where((users + items) % 2 == 0, 5.0, 1.0) + rng.normal(0, self.noise, users.shape) + self.too_high
        return Oracle.Learned(values.astype(np.float32))

    @dataclass(frozen=True)
    class Learned:
        values: NDArray[np.float32]

        def scores(self, user_rows: NDArray[np.integer]) -> NDArray[np.float32]:
            scores: NDArray[np.float32] = self.values[user_rows]
            return scores

        def predict(self, user_rows: NDArray[np.integer], item_rows: NDArray[np.integer]) -> NDArray[np.float32]:
            predicted: NDArray[np.float32] = self.values[user_rows, item_rows]
            return predicted


def test_amounts_have_no_errors() -> None:
    users, items = np.divmod(np.arange(20 * 30), 30)
    board = experiment(RatingMatrix.from_arrays(users, items, np.where((users + items) % 2 == 0, 5.0, 1.0)))
    outcome = replace(board, scale=RatingScale.parse("amounts")).run(Oracle())
    assert (outcome.metrics["rmse"], outcome.reasons["rmse"]) == (None, "no value scale: values are amounts")
    assert outcome.metrics["ndcg@5"] is not None


def test_perfect_on_checkerboard() -> None:
    users, items = np.divmod(np.arange(20 * 30), 30)
    board = experiment(RatingMatrix.from_arrays(users, items, np.where((users + items) % 2 == 0, 5.0, 1.0)))
    assert board.run(Oracle()).metrics["rmse"] == 0
    outcome = board.run(Oracle(too_high=1e4))  # clipped to 5; the order stays
    assert outcome.metrics["ndcg@5"] == 1
    assert outcome.metrics["mae"] == pytest.approx(2, abs=0.2)


def test_intervals_hold_the_mean() -> None:
    outcome = experiment(checkerboard().train).run(Oracle(noise=2.0))
    for name in ("rmse", "mse", "mae", "ndcg@5", "recall@5", "novelty@5"):
        value, interval = outcome.metrics[name], outcome.intervals[name]
        assert value is not None
        assert interval is not None
        assert interval.low < value < interval.high, name
    assert outcome.intervals["coverage@5"] is None
    assert outcome.intervals["gini@5"] is None


def test_means_over_folds() -> None:
    outcome = experiment(ratings_of_rank().train).run(Biases())
    for name in NAMES:
        assert outcome.metrics[name] == pytest.approx(np.mean([fold.metrics[name] or 0 for fold in outcome.folds]))
    assert sum(len(fold.errors) for fold in outcome.folds if fold.errors is not None) == len(ratings_of_rank().train)


def test_compared_in_pairs() -> None:
    board = experiment(checkerboard().train)
    good, bad = board.run(Oracle(noise=0.5)), board.run(Oracle(noise=3.0))
    differences = good.minus(bad)
    rmse, ndcg, coverage = (differences[name] for name in ("rmse", "ndcg@5", "coverage@5"))
    assert rmse is not None
    assert rmse.interval is not None
    assert rmse.interval.high < 0
    assert ndcg is not None
    assert ndcg.chance is not None
    assert ndcg.chance < 0.05
    assert coverage is not None
    assert coverage.interval is None
    against_itself = good.minus(good)["rmse"]
    assert against_itself is not None
    assert (against_itself.value, against_itself.chance) == (0, 1)


def test_bestsellers_predict_nothing() -> None:
    outcome = experiment(ratings_of_rank().train).run(BestsellerLearner())
    assert [outcome.metrics[name] for name in ("rmse", "mse", "mae")] == [None] * 3
    assert outcome.intervals["rmse"] is None
    assert outcome.metrics["ndcg@5"] is not None
    assert outcome.minus(outcome)["rmse"] is None


def test_users_are_drawn_with_all_folds() -> None:
    """The same figures in every fold are no more evidence than in one."""
    board = checkerboard().train
    once = experiment(board, "random:0.3")
    thrice = Experiment(board, [*once.held_out] * 3, once.scale, once.metrics, once.relevant_from)
    spreads = [np.std(each.run(Oracle(noise=2.0)).resamples["ndcg@5"]) for each in (once, thrice)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)


def test_nothing_relevant() -> None:
    ratings = checkerboard(high=3.0).train
    outcome = experiment(ratings).run(Oracle())
    assert (outcome.metrics["ndcg@5"], outcome.intervals["ndcg@5"]) == (None, None)
    assert outcome.metrics["rmse"] is not None


def test_details_for_a_report() -> None:
    outcome = experiment(ratings_of_rank().train, "random:0.2", is_detailed=True).run(Biases())
    details = outcome.folds[0].details
    assert details is not None
    assert details.ranking is not None
    assert details.ranking.k == 50
    assert len(details.actual) == len(outcome.folds[0].errors if outcome.folds[0].errors is not None else [])


class Refuses:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def fit(
        self, _ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore
    ) -> Oracle.Learned:
        raise self.error


def test_warm_up_finds_what_is_missing() -> None:
    board = experiment(checkerboard().train)
    board.warm_up(Refuses(FitDivergedError("too large")))
    with pytest.raises(InvalidRatingsError):
        board.warm_up(Refuses(InvalidRatingsError("no features")))


def test_warm_up_keeps_features() -> None:
    seen: list[RatingMatrix] = []

    class Looks:
        def fit(
            self, ratings: RatingMatrix, _rng: np.random.Generator, _progress: ProgressCallback = ignore
        ) -> Oracle.Learned:
            seen.append(ratings)
            return Oracle().fit(ratings, np.random.default_rng(0))

    items = sparse.csr_array(np.arange(9, dtype=np.float32)[:, None])
    features = Features(items, sparse.csr_array((3, 0)), item_text=items)
    ratings = RatingMatrix(3, 9, [0, 2], [4, 8], [5, 3]).with_features(features)
    Experiment(ratings, [], RatingScale(1, 5), [], 4.0).warm_up(Looks())
    assert (seen[0].n_users, seen[0].n_items) == (2, 2)
    assert seen[0].features is not None
    assert seen[0].features.items.toarray().ravel().tolist() == [4, 8]
    assert seen[0].features.item_text is not None
    assert seen[0].features.item_text.toarray().ravel().tolist() == [4, 8]


def test_features_of_others() -> None:
    """That the first ratings are of items without features is no reason to refuse."""
    needs = Refuses(FeaturesNeededError("items"))
    nothing, known = sparse.csr_array((9, 1)), sparse.csr_array(np.arange(9)[:, None] == 7)
    ratings = RatingMatrix(3, 9, [0, 2], [4, 8], [5, 3])
    for features in (None, Features(nothing, sparse.csr_array((3, 0)))):
        with pytest.raises(FeaturesNeededError):
            Experiment(ratings.with_features(features), [], RatingScale(1, 5), [], 4.0).warm_up(needs)
    described = ratings.with_features(Features(known, sparse.csr_array((3, 0))))
    Experiment(described, [], RatingScale(1, 5), [], 4.0).warm_up(needs)


def test_item_space_by_either_name() -> None:
    @dataclass(frozen=True)
    class Towers(Oracle.Learned):
        item_vectors: NDArray[np.float32]

    class Learns:
        def fit(self, ratings: RatingMatrix, rng: np.random.Generator, _progress: ProgressCallback = ignore) -> Towers:
            vectors = np.ones((ratings.n_items, 3), np.float32)
            return Towers(Oracle().fit(ratings, rng).values, item_vectors=vectors)

    asked = experiment(checkerboard().train, "random:0.2", is_detailed=True)
    placed, unplaced = (asked.run(learner).folds[0].details for learner in (Learns(), Oracle()))
    assert placed is not None
    assert placed.item_factors is not None
    assert placed.item_factors.shape == (40, 3)
    assert unplaced is not None
    assert unplaced.item_factors is None


def test_predictions_must_be_finite() -> None:
    with pytest.raises(FitDivergedError):
        experiment(checkerboard().train).run(Oracle(too_high=float("nan")))


def test_progress_over_folds() -> None:
    told: list[tuple[float, str]] = []
    outcome = experiment(checkerboard().train).run(Oracle(), lambda share, stage: told.append((share, stage)))
    assert isinstance(outcome, Outcome)
    shares = [share for share, _ in told]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1, 1])
    assert told[0][1] == "fold 1 of 3: known"
