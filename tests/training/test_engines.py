"""A recipe that another engine learns, with an engine that needs no Spark."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.algorithms.progress import ProgressCallback
from app.algorithms.rating_matrix import RatingMatrix
from app.entities import RatingScale
from app.errors import InvalidInputError
from app.segments.base import LearnedSegment, SegmentRecipe
from app.segments.registry import SEGMENTS
from app.snapshots.folders import SnapshotFolders
from app.store import Store
from app.training import spark_errors
from app.training.engines import LEARNED_BY_SPARK
from app.training.errors import TrainingFailedError
from app.training.fit import fit
from app.training.publisher import Publisher
from app.training.recipe import default_recipe, parse_recipe, rating_recipe, with_engine
from app.training.resolve import resolve
from app.training.run import Trainer
from tests.support.choices import passing_fashions
from tests.support.runs import claimed
from tests.support.user_states import tasteful_ratings


class Elsewhere:
    """Learns popularity alone."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def remark(self, names: Sequence[str]) -> str:
        return f"learned elsewhere: {', '.join(names)}"

    def learn(
        self, recipe: SegmentRecipe, ratings: RatingMatrix, rng: np.random.Generator, progress: ProgressCallback
    ) -> LearnedSegment | None:
        self.asked.append(recipe.name)
        return SEGMENTS[recipe.name].fit(recipe, ratings, rng, progress) if recipe.name == "popularity" else None


def test_engine_learns_what_it_can() -> None:
    engine, ratings = Elsewhere(), passing_fashions()
    learned = fit(rating_recipe("biases"), ratings, np.random.default_rng(0), engine=engine)
    assert engine.asked == ["rating", "popularity"]
    assert [segment.recipe.name for segment in learned.segments] == ["rating", "popularity"]
    assert learned.remarks == ("learned elsewhere: popularity",)


def test_engine_of_a_recipe() -> None:
    assert default_recipe().engine == "local"
    recipe = with_engine(default_recipe(), "spark")
    assert recipe.document["engine"] == "spark"
    assert parse_recipe(recipe.document) == recipe != default_recipe()
    former = {name: value for name, value in recipe.document.items() if name != "engine"}
    assert parse_recipe(former) == default_recipe()


def test_spark_names_what_it_learns() -> None:
    with pytest.raises(InvalidInputError, match="the engine spark learns rating by als or biases or auto, not by fun"):
        with_engine(rating_recipe("funk_svd"), "spark")
    with_engine(rating_recipe("biases"), "spark")
    document = parse_recipe(None).document | {"engine": "hadoop"}
    with pytest.raises(InvalidInputError, match="engine"):
        parse_recipe(document)


def test_spark_divides_by_the_unobserved_weight() -> None:
    rating, _, popularity = (
        SEGMENTS[name].complete(by) for name, by in (("rating", "als"), ("taste", "auto"), ("popularity", "popularity"))
    )
    taste = SEGMENTS["taste"].complete("als_implicit", {"unobserved_weight": 0.0})
    document = rating_recipe("als").document
    segments = [
        {"name": each.name, "algorithm": each.algorithm, "hyperparameters": each.hyperparameters}
        for each in (rating, taste, popularity)
    ]
    parse_recipe(document | {"segments": segments})
    with pytest.raises(InvalidInputError, match="unobserved_weight above 0"):
        parse_recipe(document | {"segments": segments, "engine": "spark"})


def test_data_choose_what_spark_learns() -> None:
    """`auto` becomes an algorithm of the engine; a segment that it does not learn at all is not restricted."""
    recipe = with_engine(default_recipe(), "spark")
    resolved = resolve(recipe, passing_fashions(), RatingScale(1, 5), np.random.default_rng(0))
    assert len(resolved.recipe.segments) > 2
    for segment in resolved.recipe.segments:
        assert segment.algorithm in LEARNED_BY_SPARK.get(segment.name, (segment.algorithm,))
    assert parse_recipe(resolved.recipe.document) == resolved.recipe


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_run_without_spark(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, with the line to install."""
    monkeypatch.setattr(spark_errors, "find_spec", lambda _name: None)
    store.ratings.record(tasteful_ratings(n_users=20))
    store.instance.set_recipe(with_engine(rating_recipe("biases"), "spark").document)
    with pytest.raises(TrainingFailedError, match="needs pyspark") as raised:
        Trainer(store, Publisher(store, SnapshotFolders(tmp_path))).run(claimed(store))
    assert "pip install" in raised.value.advice
