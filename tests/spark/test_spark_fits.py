"""What Spark learns is what one process learns."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.decayed_counts import DAY
from app.algorithms.fold_in import PRIOR_RATINGS
from app.algorithms.progress import ignore
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.storage import filled
from app.entities import RatingScale
from app.segments.base import LearnedSegment
from app.segments.registry import SEGMENTS
from app.store.jobs import JobCancelledError
from app.training.dataset import hold_out
from app.training.errors import TrainingFailedError
from app.training.scratch import Scratch
from app.training.spark_engine import SparkEngine
from app.training.spark_objective import prior_rows
from app.training.validation_split import ValidationSplit
from tests.spark.support import executors, tasteful
from tests.support.service import wait_until

WITHIN = 0.02

TASTE: dict[str, Any] = {"n_factors": 8, "n_epochs": 4}


@pytest.fixture(scope="module")
def split() -> ValidationSplit:
    train, holdout = hold_out(tasteful(), 0.2, np.random.default_rng(0), "newest")
    return ValidationSplit.draw(train, holdout, RatingScale(1, 5), np.random.default_rng(0))


def learn(spark: SparkEngine, ratings: RatingMatrix, name: str, algorithm: str, **settings: Any) -> tuple[Any, Any]:
    """The same segment by Spark and by this process."""
    recipe = SEGMENTS[name].complete(algorithm, settings)
    by_spark = spark.learn(recipe, ratings, np.random.default_rng(0), ignore)
    assert by_spark is not None
    return by_spark, SEGMENTS[name].fit(recipe, ratings, np.random.default_rng(0))


def test_taste(spark: SparkEngine, split: ValidationSplit) -> None:
    by_spark, here = learn(spark, split.train, "taste", "als_implicit", **TASTE)
    assert by_spark.item_part.shape == here.item_part.shape
    assert ndcg(split, by_spark) == pytest.approx(ndcg(split, here), rel=WITHIN)
    # The user side is the fold-in of each user against the items.
    of_first = split.train.user_rows == 0
    rows = split.train.item_rows[of_first]
    folded = here.fold.__class__.fold_in(by_spark.fold, by_spark.item_part[rows], split.train.values[of_first], rows)
    np.testing.assert_allclose(folded.columns, by_spark.user_part[0], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "algorithm", "settings"),
    [
        ("taste", "als_implicit", TASTE),
        ("rating", "als", {"n_factors": 4, "n_epochs": 4}),
        ("rating", "biases", {"n_epochs": 3}),
        ("popularity", "popularity", {"half_life_days": 3.0}),
    ],
)
def test_ratings_in_mapped_files(
    spark: SparkEngine, split: ValidationSplit, name: str, algorithm: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    """Spark is given the same rows, in more files, and no array of all ratings is made in memory."""
    recipe, ratings = SEGMENTS[name].complete(algorithm, settings), split.train
    scratch = Scratch(tmp_path, 1 << 40, block=1_000)
    order = np.argsort(ratings.user_rows, kind="stable")

    def mapped(column: NDArray[Any]) -> NDArray[Any]:
        return filled(len(order), column.dtype, lambda span: column[order[span]], scratch)

    stored = RatingMatrix(
        ratings.n_users,
        ratings.n_items,
        mapped(ratings.user_rows),
        mapped(ratings.item_rows),
        mapped(ratings.values),
        mapped(ratings.times),
        liked_from=ratings.liked_from,
        storage=scratch,
    )
    in_memory, in_files = (
        spark.learn(recipe, each, np.random.default_rng(0), ignore) for each in (ratings.subset(order), stored)
    )
    assert in_memory is not None
    assert in_files is not None
    # The order of rows, and so the last bits of sums, depends on the number of files.
    expected, found = (each.scores(np.arange(20)) for each in (in_memory, in_files))
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert ndcg(split, in_files) == pytest.approx(ndcg(split, in_memory), rel=1e-3)


def test_ratings(spark: SparkEngine, split: ValidationSplit) -> None:
    by_spark, here = learn(spark, split.train, "rating", "als", n_factors=4, n_epochs=4)
    assert rmse(split, by_spark) == pytest.approx(rmse(split, here), rel=WITHIN)


def test_penalty_of_few_ratings(spark: SparkEngine, split: ValidationSplit) -> None:
    """With the prior rows, Spark's penalty is ours: an alternation of ours does not change what it has converged to."""
    ratings, penalty, k = split.train, 0.03, 2
    values = ratings.values.astype(np.float64) - ratings.values.mean()
    of_spark, prior = np.zeros((ratings.n_items, k), np.float32), int(PRIOR_RATINGS)
    more = prior_rows(prior, (ratings.user_counts > 0, ratings.item_counts > 0), 1 << 20)
    with spark._written_values(ratings, lambda span: values[span], np.float32, more) as source:
        job = spark._jobs.factors(source, rank=k, n_iterations=60, reg_param=penalty, is_implicit=False, seed=0)
        spark._read_factors(spark._run(job, ignore, "explicit ALS"), of_spark)

    def solved(rows: NDArray[np.int32], others: NDArray[np.int32], fixed: NDArray[Any], n: int) -> NDArray[Any]:
        vectors = np.zeros((n, k))
        for row in range(n):
            (places,) = np.nonzero(rows == row)
            features = fixed[others[places]]
            gram = features.T @ features + penalty * (len(places) + prior) * np.eye(k)
            vectors[row] = np.linalg.solve(gram, features.T @ values[places])
        return vectors

    users = solved(ratings.user_rows, ratings.item_rows, of_spark, ratings.n_users)
    items = solved(ratings.item_rows, ratings.user_rows, users, ratings.n_items)
    assert np.abs(of_spark).max() > 0.1
    np.testing.assert_allclose(items, of_spark, atol=0.02 * np.abs(of_spark).max())


def test_biases(spark: SparkEngine, split: ValidationSplit) -> None:
    by_spark, here = learn(spark, split.train, "rating", "biases", n_epochs=3)
    np.testing.assert_allclose(by_spark.vectors.item_biases, here.vectors.item_biases, atol=1e-4)
    np.testing.assert_allclose(by_spark.vectors.user_biases, here.vectors.user_biases, atol=1e-4)
    by_spark, here = learn(spark, split.train, "rating", "biases", mean_normalisation=True)
    np.testing.assert_allclose(by_spark.vectors.item_biases, here.vectors.item_biases, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "algorithm", "settings"),
    [
        ("item_item", "slim", {"n_neighbours": 200, "n_entries": 200}),  # many counts are equal, so no cut is the same
        ("transitions", "sparse_transitions", {"n_neighbours": 20, "n_entries": 10, "decay": 0.6}),
    ],
)
def test_tables(
    spark: SparkEngine, split: ValidationSplit, name: str, algorithm: str, settings: dict[str, Any]
) -> None:
    by_spark, here = learn(spark, split.train, name, algorithm, **settings)
    np.testing.assert_allclose(by_spark.fold.table.toarray(), here.fold.table.toarray(), atol=2e-3)
    assert here.fold.table.nnz > 500


@pytest.mark.parametrize("half_life_days", [None, 3.0])
def test_popularity(spark: SparkEngine, split: ValidationSplit, half_life_days: float | None) -> None:
    by_spark, here = learn(spark, split.train, "popularity", "popularity", half_life_days=half_life_days)
    np.testing.assert_allclose(by_spark.item_part, here.item_part, atol=1e-5)
    assert np.ptp(split.train.times) > 10 * DAY


def test_other_algorithms_are_left_to_this_process(spark: SparkEngine, split: ValidationSplit) -> None:
    recipe = SEGMENTS["rating"].complete("funk_svd")
    assert spark.learn(recipe, split.train, np.random.default_rng(0), ignore) is None


def test_killed_executor(spark: SparkEngine, split: ValidationSplit) -> None:
    """In the middle of a fit, one of two executors is killed; the fit ends as if it were not."""
    killed: list[int] = []
    texts: set[str] = set()

    def kill_one(_share: float, text: str) -> None:
        texts.add(text)
        # The first tasks are done, and the rest needs what they left with the executors.
        if not killed and "Spark job" in text and ", 0 of" not in text:
            killed.append(max(executors()))
            os.kill(killed[0], signal.SIGKILL)

    learn(spark, split.train, "popularity", "popularity")  # starts Spark, if no test before has
    wait_until(lambda: len(executors()) == 2)
    recipe = SEGMENTS["taste"].complete("als_implicit", TASTE | {"n_epochs": 8})
    learned = spark.learn(recipe, split.train, np.random.default_rng(0), kill_one)
    assert killed
    assert learned is not None
    here = SEGMENTS["taste"].fit(recipe, split.train, np.random.default_rng(0))
    assert ndcg(split, learned) > (1 - WITHIN) * ndcg(split, here)
    assert any("tasks" in text for text in texts)


def test_cancelled_job(spark: SparkEngine, split: ValidationSplit) -> None:
    """What `progress` raises ends the fit, and with it the jobs of Spark; the application stays usable."""

    def cancelled(_share: float, text: str) -> None:
        if "Spark job" in text:
            raise JobCancelledError

    recipe = SEGMENTS["taste"].complete("als_implicit", TASTE | {"n_epochs": 40})
    with pytest.raises(JobCancelledError):
        spark.learn(recipe, split.train, np.random.default_rng(0), cancelled)
    assert spark._driver is not None
    assert spark._driver.run(lambda session: session.range(10).count(), ignore, "count") == 10
    assert not spark._driver._context.statusTracker().getActiveJobsIds()
    assert not list(spark.shared.glob("input-*"))


def test_executor_out_of_memory(spark: SparkEngine) -> None:
    """The reason names what to raise."""
    assert spark._driver is not None
    # 4 GB in one array, with 512 MB.
    query = "SELECT sum(x) FROM (SELECT explode(array_repeat(id, 500000000)) AS x FROM range(1))"
    with pytest.raises(TrainingFailedError, match="an executor ran out of memory") as raised:
        spark._driver.run(lambda session: session.sql(query).collect(), ignore, "too much")
    assert "spark.executor.memory" in raised.value.advice


def test_heartbeats_go_on(spark: SparkEngine) -> None:
    """A job of Spark blocks its own thread alone: the one that holds the lease goes on."""
    assert spark._driver is not None
    reports: list[str] = []
    spark._driver.run(
        lambda session: session.sql("SELECT java_method('java.lang.Thread', 'sleep', 2000L)").collect(),
        lambda _share, text: reports.append(f"{text} {threading.current_thread().name}"),
        "slow",
    )
    assert len(reports) >= 3
    assert {report.rpartition(" ")[2] for report in reports} == {threading.current_thread().name}


def ndcg(split: ValidationSplit, learned: LearnedSegment) -> float:
    return float(split.rank(learned.scores).ndcg.mean())


def rmse(split: ValidationSplit, learned: Any) -> float:
    return float(np.sqrt(np.mean(split.errors(learned.vectors) ** 2)))
