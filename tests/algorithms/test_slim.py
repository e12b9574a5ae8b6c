from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from app.algorithms import cooccurrence, slim
from app.algorithms.cooccurrence import before, following, together
from app.algorithms.ease import EASE
from app.algorithms.rating_matrix import RatingMatrix
from app.algorithms.slim import SLIM, SparseTransitions, SummedPairs
from app.algorithms.slim_kernel import nth_largest
from app.algorithms.transitions import Transitions
from tests.algorithms.ranker_contract import RankerContract
from tests.algorithms.test_transitions import random_sequences, shuffled_loved


class TestSLIM(RankerContract):
    name = "slim"

    def learner(self, **hyperparameters: Any) -> SLIM:
        return SLIM(**hyperparameters)

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        return ratings.subset(ratings.values == 5)


class TestSparseTransitions(RankerContract):
    name = "sparse_transitions"
    board_pairs_right = 0.9

    def learner(self, **hyperparameters: Any) -> SparseTransitions:
        return SparseTransitions(**hyperparameters)

    def of_board(self, ratings: RatingMatrix) -> RatingMatrix:
        return shuffled_loved(ratings)


def test_all_neighbours_are_the_closed_form() -> None:
    sequences, rng = random_sequences(n_users=60), np.random.default_rng(0)
    closed = EASE(dropout=0.3).fit(sequences, rng).outgoing(12)
    np.testing.assert_allclose(SLIM(dropout=0.3).fit(sequences, rng).table.toarray(), closed.toarray(), atol=1e-5)
    closed = Transitions(dropout=0.3).fit(sequences, rng).table
    sparse = SparseTransitions(dropout=0.3).fit(sequences, rng).table
    # An item is never its own neighbour, which the closed form allows.
    np.testing.assert_allclose(sparse.toarray(), closed.toarray(), atol=0.06)


@pytest.mark.parametrize("learner", [SLIM, SparseTransitions])
def test_threads_change_nothing(learner: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_ITEMS_PER_TASK", 3)
    monkeypatch.setattr(cooccurrence, "available_cores", lambda: 3)
    sequences, tables = random_sequences(n_items=30), []
    for worth in (0, 10**9):
        monkeypatch.setattr(cooccurrence, "CHOICES_WORTH_THREADS", worth)
        tables.append(learner(n_neighbours=5, n_entries=4).fit(sequences, np.random.default_rng(0)).table)
    assert tables[0].data.tobytes() == tables[1].data.tobytes()
    assert tables[0].indices.tobytes() == tables[1].indices.tobytes()
    assert tables[0].has_sorted_indices
    assert np.diff(tables[0].indptr).max() == 4


def test_pruned_gram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slim, "_GRAM_ENTRIES", 120)
    learned = SLIM(n_neighbours=3, regularization=1e-6).fit(random_sequences(n_items=40), np.random.default_rng(0))
    assert np.isfinite(learned.table.data).all()
    assert np.diff(learned.table.tocsc().indptr).max() <= 3


@pytest.mark.parametrize("n_values", [1, 2, 3, 10, 101])
def test_nth_largest(n_values: int) -> None:
    rng = np.random.default_rng(n_values)
    random, equal = rng.random(n_values), rng.integers(0, 3, n_values).astype(np.float64)
    for values in (random, np.sort(random), equal):
        found = [nth_largest(values.copy(), n) for n in range(1, n_values + 1)]
        assert found == np.sort(values)[::-1].tolist()


@pytest.mark.parametrize(("learner", "decay"), [(SLIM(), None), (SparseTransitions(decay=0.7), 0.7)])
def test_sums_of_pairs_made_elsewhere(learner: Any, decay: float | None) -> None:
    sequences, rng = random_sequences(n_users=60), np.random.default_rng(0)
    gram = together(sequences) if decay is None else before(sequences, decay)
    right = gram if decay is None else following(sequences, decay).T
    off_diagonal = 1 - np.eye(sequences.n_items, dtype=np.float32)
    sums = SummedPairs(*(sparse.csr_array(each * off_diagonal) for each in (gram, right)))
    asked: list[tuple[int, ...]] = []

    def sum_pairs(norms: NDArray[np.float64], width: int, n_neighbours: int) -> SummedPairs:
        asked.append((len(norms), width, n_neighbours))
        return sums

    table = learner.fit(sequences, rng, sum_pairs=sum_pairs).table
    assert asked == [(sequences.n_items, sequences.n_items, learner.n_neighbours)]
    np.testing.assert_allclose(table.toarray(), learner.fit(sequences, rng).table.toarray(), atol=1e-5)
