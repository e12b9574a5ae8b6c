import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.algorithms.choice_sequences import SMALLEST_DECAY, ChoiceSequences, decayed_weights, max_lag
from app.algorithms.errors import InvalidRatingsError
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix


def of_user(sequences: ChoiceSequences, user: int) -> list[int]:
    return [int(item) for item in sequences.item_rows[sequences.starts[user] : sequences.starts[user + 1]]]


def test_oldest_first() -> None:
    times = [5, UNKNOWN_TIME, 3, 3, UNKNOWN_TIME, 7]
    ratings = RatingMatrix(3, 6, [2, 2, 2, 2, 2, 0], [0, 1, 2, 3, 4, 5], np.full(6, 4.0), times)
    sequences = ChoiceSequences.from_ratings(ratings)
    assert of_user(sequences, 2) == [1, 4, 2, 3, 0]
    assert (of_user(sequences, 0), of_user(sequences, 1)) == ([5], [])
    assert sequences.ages.tolist() == [0, 3, 3, 1, 1, 0]


def test_choices_among_ratings() -> None:
    labels = EventLabels([0, 0], [3, 4], [1, 0], [2, 9], 4.0)
    ratings = RatingMatrix(1, 5, [0, 0, 0], [0, 1, 2], [1, 3, 5], [1, 2, 3], labels=labels, chosen_from=3.0)
    assert of_user(ChoiceSequences.from_ratings(ratings), 0) == [1, 3, 2]


def test_labels_count_where_one() -> None:
    assert of_user(ChoiceSequences.from_ratings(RatingMatrix(1, 3, [0] * 3, [0, 1, 2], [1, 0, 1])), 0) == [0, 2]
    assert of_user(ChoiceSequences.from_ratings(RatingMatrix(1, 3, [0] * 3, [0, 1, 2], [1, 0, 2])), 0) == [0, 1, 2]


def test_weights() -> None:
    ratings = RatingMatrix(1, 3, [0] * 3, [0, 1, 2], [3, 3, 3], [3, 2, 1])
    sequences = ChoiceSequences.from_ratings(ratings, np.array([0.5, 0.0, 2.0]))
    assert (of_user(sequences, 0), sequences.weights.tolist()) == ([2, 0], [2.0, 0.5])
    np.testing.assert_allclose(sequences.decayed(0.5).toarray(), [[0.5, 0, 1.0]])
    for wrong in ([1.0, 1.0], [1.0, -1.0, 1.0], [1.0, np.nan, 1.0]):
        with pytest.raises(InvalidRatingsError, match="3 finite numbers"):
            ChoiceSequences.from_ratings(ratings, np.array(wrong))


def test_old_choices_are_cut() -> None:
    ratings = RatingMatrix(2, 100, np.arange(100) == 99, np.arange(100), np.ones(100) * 5, np.arange(100))
    histories = ChoiceSequences.from_ratings(ratings).decayed(0.5)
    assert histories.data.min() >= SMALLEST_DECAY > histories.data.min() / 2
    assert np.diff(histories.indptr).tolist() == [max_lag(0.5), 1]
    assert ChoiceSequences.from_ratings(ratings).decayed(0.0).nnz == 2


@pytest.mark.parametrize(
    ("times", "has_order"),
    [
        ([1, 2, 3, 4], True),
        ([1, 1, 1, 1], False),
        ([UNKNOWN_TIME] * 3 + [5], False),
        ([UNKNOWN_TIME] * 2 + [1, 2], True),
    ],
)
def test_order(times: list[int], has_order: bool) -> None:
    ratings = RatingMatrix(1, 4, [0] * 4, range(4), np.full(4, 5.0), times)
    assert ChoiceSequences.from_ratings(ratings).has_order is has_order


def test_no_order_without_pairs() -> None:
    assert not ChoiceSequences.from_ratings(RatingMatrix(3, 2, [0, 1], [0, 1], [5, 5], [1, 2])).has_order


@pytest.mark.parametrize(
    ("times", "ages"),
    [
        ((), []),
        ((9, 7, 5), [0, 1, 2]),
        ((9, 9, 5), [0, 0, 2]),
        ((9, 7, 7, 7, 5, 5), [0, 1, 1, 1, 4, 4]),
        ((4, UNKNOWN_TIME, UNKNOWN_TIME), [0, 1, 1]),
        ((UNKNOWN_TIME, UNKNOWN_TIME), [0, 0]),
    ],
)
def test_age_counts_newer_choices(times: tuple[int, ...], ages: list[int]) -> None:
    weights = decayed_weights(np.array(times, np.int64), len(times), 0.5)
    assert weights.tolist() == [0.5**age for age in ages]


def test_extreme_decays() -> None:
    assert decayed_weights(None, 3, 1.0).tolist() == [1.0] * 3
    assert decayed_weights(None, 3, 0.0).tolist() == [1.0, 0.0, 0.0]
    weights = decayed_weights(None, 1_000, 0.9)
    assert weights[weights > 0].min() >= SMALLEST_DECAY
    assert weights[-1] == 0


def slow_histories(ratings: RatingMatrix, decay: float, n_newest: int) -> np.ndarray:
    """By the definition: of each choice, all newer ones are counted."""
    weights = np.zeros((ratings.n_users, ratings.n_items))
    labels = ratings.labels
    assert labels is not None
    for user in range(ratings.n_users):
        own = ratings.user_rows == user
        chosen = [*zip(ratings.times[own].tolist(), ratings.item_rows[own].tolist(), strict=True)]
        met = (labels.user_rows == user) & labels.are_positive
        chosen += zip(labels.last_at[met].tolist(), labels.item_rows[met].tolist(), strict=True)
        for time, item in sorted(chosen, key=lambda choice: (-choice[0], choice[1]))[:n_newest]:
            weight = decay ** sum(newer > time for newer, _ in chosen)
            weights[user, item] = weight if weight >= SMALLEST_DECAY else 0
    return weights


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 0.9, 0.5, 0.05, 0.0]), st.integers(1, 12))
def test_all_users_by_definition(seed: int, decay: float, n_newest: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.random((4, 10))
    users, items = np.nonzero(drawn < 0.5)
    met_users, met_items = np.nonzero(drawn > 0.7)
    times = rng.choice([UNKNOWN_TIME, 1, 2, 3, 4], len(users))
    labels = EventLabels(
        met_users, met_items, rng.random(len(met_users)) < 0.6, rng.integers(1, 5, len(met_users)), 4.0
    )
    ratings = RatingMatrix(4, 10, users, items, np.full(len(users), 3.0), times, labels=labels)
    histories = ChoiceSequences.from_ratings(ratings).decayed(decay, n_newest)
    expected = slow_histories(ratings, decay, n_newest)
    np.testing.assert_allclose(histories.toarray(), expected, atol=1e-6)
    assert histories.nnz == np.count_nonzero(expected)
