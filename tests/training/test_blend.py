from dataclasses import replace

import numpy as np
import pytest

from app.algorithms.rating_matrix import RatingMatrix
from app.entities import IncomingRatings, RatingScale
from app.segments.base import LEAST_WEIGHT, SegmentRecipe
from app.training.blend import learn_weights
from app.training.dataset import Question, hold_out, to_rows
from app.training.fit import Learned, fit
from app.training.recipe import Recipe, complete, rating_recipe
from app.training.shortlist import Shortlist
from app.training.sides import join
from app.training.validation_split import ValidationSplit
from tests.support.training_data import training_data
from tests.support.user_states import tasteful_ratings

ALL = Recipe(
    (
        complete("rating", "funk_svd", {}),
        complete("taste", "als_implicit", {}),
        SegmentRecipe("popularity", "popularity"),
    )
)


def exam_of(ratings: RatingMatrix) -> ValidationSplit:
    rng = np.random.default_rng(0)
    return ValidationSplit.draw(*hold_out(ratings, 0.2, rng), RatingScale(), rng)


def learned_from(split: ValidationSplit, recipe: Recipe = ALL) -> Learned:
    return fit(recipe, split.train, np.random.default_rng(0))


def shuffled(incoming: IncomingRatings) -> IncomingRatings:
    """All users choose alike: only popularity is left."""
    items = np.random.default_rng(0).permutation(incoming.item_id).tolist()
    return replace(incoming, item_id=items)


@pytest.fixture(scope="module")
def split() -> ValidationSplit:
    return exam_of(to_rows(training_data(tasteful_ratings())))


def test_taste_gets_weight(split: ValidationSplit) -> None:
    weights = learn_weights(learned_from(split), split)
    assert weights["taste"] == max(weights.values())


def test_rating_gets_weight(split: ValidationSplit) -> None:
    weights = learn_weights(learned_from(split, rating_recipe("funk_svd")), split)
    assert weights["popularity"] == max(weights.values())
    assert weights["rating"] > LEAST_WEIGHT


def test_noise_gets_none() -> None:
    split = exam_of(to_rows(training_data(shuffled(tasteful_ratings()))))
    weights = learn_weights(learned_from(split), split)
    ndcg = split.rank(join(learned_from(split), weights).score).ndcg.mean()
    popular = split.rank(lambda users: np.tile(split.train.item_counts, (len(users), 1))).ndcg.mean()
    assert ndcg > 0.9 * popular


def test_weights_beat_parts(split: ValidationSplit) -> None:
    learned = learned_from(split)
    weights = learn_weights(learned, split)
    ndcg = split.rank(join(learned, weights).score).ndcg.mean()
    for name in weights:
        alone = dict.fromkeys(weights, 0.0) | {"rating": LEAST_WEIGHT} | {name: 1.0}
        assert ndcg >= split.rank(join(learned, alone).score).ndcg.mean() - 0.01


@pytest.mark.parametrize("question", ["newest", "both"])
def test_shortlist_ranks_alike(split: ValidationSplit, question: Question) -> None:
    learned, split = learned_from(split), replace(split, question=question)
    for weights in ([0.3, 1.0, 0.2], [1.0, 0.0, 0.5], [0.0, 1.0, 0.0]):
        named = dict(zip(("rating", "taste", "popularity"), weights, strict=True))
        shortlist = Shortlist.from_sides(join(learned, dict.fromkeys(named, 1.0)), split)
        exact = split.ndcg(join(learned, {**named, "rating": max(named["rating"], 1e-9)}).score)
        assert shortlist.ndcg(np.array(weights)) == pytest.approx(exact, abs=1e-3)
