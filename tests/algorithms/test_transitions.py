from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.algorithms import transitions
from app.algorithms.choice_sequences import ChoiceSequences
from app.algorithms.cooccurrence import before, following, together
from app.algorithms.errors import AlgorithmError
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.transitions import Transitions
from tests.algorithms.ranker_contract import RankerContract


class TestTransitions(RankerContract):
    name = "transitions"
    board_pairs_right = 0.9

    def learner(self, **hyperparameters: Any) -> Transitions:
        return Transitions(**hyperparameters)

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        return shuffled_loved(ratings)


def shuffled_loved(ratings: RatingMatrix) -> RatingMatrix:
    """The loved cells of a board, chosen in random order: what comes next is any other loved item."""
    return ratings.subset(np.random.default_rng(0).permutation(np.flatnonzero(ratings.values == 5)))


def random_sequences(n_users: int = 30, n_items: int = 12, seed: int = 0) -> ChoiceSequences:
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((n_users, n_items)) < 0.5)
    times = rng.permutation(len(users))
    ratings = RatingMatrix(n_users, n_items, users, items, np.full(len(users), 3.0), times)
    return ChoiceSequences.from_ratings(ratings, rng.uniform(0.5, 2.0, len(users)))


def row_by_row(sequences: ChoiceSequences, decay: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """S, T and the weights of the rows, by definition."""
    histories, targets, weights = [], [], []
    for first, past in zip(sequences.starts[:-1], sequences.starts[1:], strict=True):
        history = np.zeros(sequences.n_items)
        for place in range(first, past):
            if place > first:
                histories.append(history.copy())
                targets.append(np.eye(sequences.n_items)[sequences.item_rows[place]])
                weights.append(sequences.weights[place])
            history *= decay
            history[sequences.item_rows[place]] += sequences.weights[place]
    return np.array(histories), np.array(targets), np.array(weights)


def test_sums_of_rows() -> None:
    sequences = random_sequences()
    histories, targets, weights = row_by_row(sequences, 0.7)
    gram, followed = before(sequences, 0.7), following(sequences, 0.7)
    np.testing.assert_allclose(gram, histories.T * weights @ histories, rtol=1e-5)
    np.testing.assert_allclose(followed, histories.T * weights @ targets, rtol=1e-5)
    whole = sequences.decayed(1.0)
    np.testing.assert_allclose(together(sequences), (whole.T @ whole).toarray(), rtol=1e-5)


@pytest.mark.parametrize("dense_share", [0.0, 1.1])
def test_definition(dense_share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "_DENSE_SHARE", dense_share)
    sequences = random_sequences()
    learned = Transitions(regularization=2.0, dropout=0.4, decay=0.7).fit(sequences, np.random.default_rng(0))
    histories, targets, weights = row_by_row(sequences, 0.7)
    gram = histories.T * weights @ histories
    lengths = histories.sum(axis=1)
    penalty = 2.0 * (weights @ lengths**2) / (weights @ lengths)
    expected = np.linalg.solve(gram + np.diag(penalty + 0.4 / 0.6 * np.diag(gram)), histories.T * weights @ targets)
    np.testing.assert_allclose(learned.table.toarray(), expected, atol=1e-5)
    np.testing.assert_allclose(learned.scores(np.arange(30)), sequences.decayed(0.7) @ expected, atol=1e-4)


def test_rows_are_cut() -> None:
    table = Transitions(n_entries=3).fit(random_sequences(), np.random.default_rng(0)).table
    assert np.diff(table.indptr).max() == 3


def test_next_of_a_cycle() -> None:
    """Every user goes round 0 .. 9 from another start, so the next item is one above the last."""
    starts = np.arange(40) % 10
    items = (starts[:, None] + np.arange(6)) % 10
    ratings = RatingMatrix(40, 10, np.repeat(np.arange(40), 6), items.ravel(), np.full(240, 4.0), np.arange(240))
    scores = Transitions().fit(ratings, np.random.default_rng(0)).scores(np.arange(40))
    assert (scores.argmax(axis=1) == (starts + 6) % 10).all()


def test_size_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transitions, "MAX_ITEMS", 10)
    with pytest.raises(AlgorithmError, match=r"10 of them at most .* 12"):
        Transitions().fit(random_sequences(), np.random.default_rng(0))
