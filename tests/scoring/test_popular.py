import numpy as np
import pytest

from app.entities import Item, RatingScale, User
from app.scoring import Observations, Scorer, popularity_scorer

KEYS, LIKES = np.array([3, 5, 8, 13, 21]), np.array([2, 0, 7, 2, 1])
CHOICES = np.array([2, 9, 8, 2, 3])
ALL = np.arange(5)
BEST_FIRST = [2, 0, 3, 4, 1]


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return popularity_scorer(KEYS, CHOICES, LIKES, RatingScale())


def test_most_liked_first(scorer: Scorer) -> None:
    assert scorer.version is None
    assert scorer.n_items == 5
    assert scorer.arrays.popular_rows.tolist() == BEST_FIRST
    vector = scorer.unknown_side.vector
    rows, scores = scorer.index.nearest(vector, 10)
    assert rows.tolist() == BEST_FIRST
    np.testing.assert_array_equal(scores, np.log1p(LIKES).astype(np.float32)[rows])
    assert scorer.index.nearest(vector, 2, np.array([True, True, False, False, True]))[0].tolist() == [0, 4]
    assert scorer.index.candidates(vector, 3).tolist() == BEST_FIRST[:3]


def test_every_user_is_unknown(scorer: Scorer) -> None:
    assert scorer.user_row(1) is None
    side = scorer.fold_in(Observations(np.array([4, 1]), np.array([5.0, 1.0]), np.array([0]), np.array([3])))
    np.testing.assert_array_equal(side.vector, scorer.unknown_side.vector)
    assert side[1:] == (0.0, 0.0, {})
    assert scorer.side_of(User("new", "FI")) is None
    assert not scorer.reads_users
    assert not scorer.folds_features


def test_no_rating_is_predicted(scorer: Scorer) -> None:
    assert np.isnan(scorer.predict(scorer.unknown_side, scorer.item_vectors)).all()
    assert np.isnan(scorer.uncertainties(scorer.unknown_side, np.arange(5))).all()
    assert scorer.rating is None


def test_score_is_popularity_alone(scorer: Scorer) -> None:
    shares = scorer.shares(scorer.unknown_side, ALL, scorer.item_vectors)
    assert list(shares) == ["popularity"]
    np.testing.assert_allclose(shares["popularity"], scorer.item_vectors @ scorer.unknown_side.vector)
    observed = Observations(np.array([4]), np.array([5.0]), np.array([2]))
    carried = scorer.influences(observed, ALL, scorer.item_vectors)
    np.testing.assert_array_equal(carried, np.zeros((5, 2)))


def test_nothing_is_alike(scorer: Scorer) -> None:
    for n in (1, 100):
        assert scorer.similar(2, n)[0].tolist() == []
    assert scorer.similar_users(scorer.unknown_side, 3)[0].tolist() == []
    assert scorer.directions(scorer.item_vectors).shape == (5, 0)
    assert scorer.groups.numbers_of(User("new", "FI")) == []
    assert scorer.groups.popular_by("country", "FI").tolist() == []
    assert not scorer.tables


def test_new_items_count_as_unliked(scorer: Scorer) -> None:
    vectors = scorer.vectors_of([Item("new", categories=("a",)), Item("other")])
    np.testing.assert_array_equal(vectors, scorer.item_vectors[[1, 1]])


@pytest.mark.parametrize("counts", [np.empty(0, np.int64), np.zeros(3, np.int64)])
def test_nothing_chosen(counts: np.ndarray) -> None:
    scorer = popularity_scorer(np.arange(len(counts)), counts, counts, RatingScale())
    rows, scores = scorer.index.nearest(scorer.unknown_side.vector, 10)
    assert rows.tolist() == list(range(len(counts)))
    np.testing.assert_array_equal(scores, 0)
