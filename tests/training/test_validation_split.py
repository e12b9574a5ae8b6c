"""What recipes are compared by: which held-out items are relevant, which is next, and the mean of both questions."""

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from app.entities import RatingScale
from app.evaluation.ranking import Score
from app.training.dataset import Question
from app.training.validation_split import Common, ValidationSplit, inner_split

SCALE = RatingScale(1, 5, 1)
QUESTIONS: tuple[Question, ...] = ("newest", "both")
TRAIN = RatingMatrix(3, 6, [0, 1, 2], [0, 0, 0], [5, 5, 5], [1, 1, 1])


def split(times: list[int], question: Question = "both") -> ValidationSplit:
    """Users 0 to 2 have two held-out items each, 1 and 2, the second one liked alone."""
    holdout = RatingMatrix(3, 6, [0, 0, 1, 1, 2, 2], [1, 2] * 3, [3, 5] * 3, times)
    return ValidationSplit.draw(TRAIN, holdout, SCALE, np.random.default_rng(0), question=question)


def same_for_all(scores: NDArray[np.float32]) -> Score:
    return lambda users: np.tile(scores, (len(users), 1))


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([2, 3, 3, 2, 2, 3], [1, 2, 1]),
        ([2, 3, 2, 2, 2, 3], [1, -1, 1]),  # two at one time: neither is known to be next
        ([UNKNOWN_TIME, 3, 2, 3, 2, 3], [-1, 1, 1]),
        ([UNKNOWN_TIME] * 6, []),
    ],
)
def test_next_item(times: list[int], expected: list[int]) -> None:
    assert split(times).next_items.tolist() == expected
    assert split(times, "newest").next_items.tolist() == []


def test_mean_of_both_questions() -> None:
    """Every list is 1, 2: what comes next stands first, what is liked second."""
    scores = np.array([0, 2, 1, 0, 0, 0], np.float32)
    newest, both = (split([2, 3] * 3, question).ndcg(same_for_all(scores)) for question in QUESTIONS)
    assert newest == pytest.approx(1 / np.log2(3))
    assert both == pytest.approx(np.sqrt(1 / np.log2(3)))


def test_no_hit_of_one_question_leaves_the_other() -> None:
    """With a mean of 0 for both, all candidates would be equal."""
    questions = split([2, 3] * 3)
    object.__setattr__(questions, "next_items", np.full(3, 5))  # an item that no list shows
    first, second = (np.array(scores, np.float32) for scores in ([0, 1, 2, 0, 0, 0], [0, 2, 1, 0, 0, 0]))
    better, worse = (questions.ndcg(same_for_all(each)) for each in (first, second))
    assert better > worse > 0


@pytest.mark.parametrize("question", ["both", "next"])
def test_nothing_is_held_out_of_others(question: Question) -> None:
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((40, 30)) < 0.4)
    ratings = RatingMatrix(40, 30, users, items, rng.integers(3, 6, len(users)), rng.permutation(len(users)))
    inner = inner_split(ratings, SCALE, 0.2, rng, question, max_ratings=10_000, max_users=10)
    assert len(inner.user_rows) == 10
    assert {*inner.holdout.user_rows.tolist()} == {*inner.user_rows.tolist()}
    assert len(inner.train) + len(inner.holdout) == len(ratings)
    if question == "next":
        assert inner.holdout.user_counts.max() == 1


def test_ndcg_among_common() -> None:
    """Of user 0's liked items, 3 alone is common, and 2, ranked before it, is no candidate; user 1 has no such item."""
    holdout = RatingMatrix(3, 6, [0, 0, 1, 2], [2, 3, 2, 3], [5, 5, 5, 5])
    split = ValidationSplit(TRAIN, holdout, SCALE, np.arange(3))
    scores = np.array([0.0, 0.9, 1.0, 0.5, 0.9, 0.9], np.float32)

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        return np.tile(scores, (len(rows), 1))

    all_users, all_items = np.ones(3, np.bool_), np.ones(6, np.bool_)
    but_item_2, but_user_2 = np.arange(6) != 2, np.arange(3) != 2
    assert split.ndcg_among(score, Common(but_user_2, but_item_2)).tolist() == [1.0]
    assert split.ndcg_among(score, Common(~all_users, all_items)).tolist() == []
    np.testing.assert_allclose(split.ndcg_among(score, Common(all_users, all_items)), split.rank(score).ndcg)
