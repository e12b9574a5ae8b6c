import numpy as np
import pytest

from app.algorithms.decayed_counts import DAY, DatedChoices, find_half_life, foretell
from app.algorithms.labels import EventLabels
from app.algorithms.rating_matrix import UNKNOWN_TIME, RatingMatrix
from tests.support.choices import passing_fashions


def chosen(items: list[int], days: list[float], users: list[int] | None = None) -> RatingMatrix:
    times = np.where(np.isnan(days), UNKNOWN_TIME, np.nan_to_num(days) * DAY).astype(np.int64)
    users = [*range(len(items))] if users is None else users
    return RatingMatrix(max(users) + 1, max(items) + 1, users, items, np.full(len(items), 5.0), times)


def counts(ratings: RatingMatrix, half_life_days: float | None = 10) -> list[float]:
    return [*map(float, DatedChoices.from_ratings(ratings).counts(half_life_days))]


def test_counts_by_hand() -> None:
    """Ages of 0, 0, 10 and 20 days."""
    ratings = chosen([0, 0, 1, 1], [20, 20, 10, 0])
    assert counts(ratings) == pytest.approx([2.0, 0.75])
    assert counts(ratings, None) == [2.0, 2.0]


def test_future_changes_nothing() -> None:
    assert counts(chosen([0, 1, 1], [1e5 + 20, 1e5 + 20, 1e5])) == pytest.approx(counts(chosen([0, 1, 1], [20, 20, 0])))


def test_one_wrong_clock() -> None:
    """The choice of the year 2300 counts as new as the one before it."""
    assert counts(chosen([0, 0, 1, 2], [0, 10, 20, 1e5])) == pytest.approx([0.75, 1.0, 1.0])


def test_unknown_times_are_oldest() -> None:
    assert counts(chosen([0, 0, 1, 1, 1], [20, 20, 0, np.nan, np.nan])) == pytest.approx([2.0, 0.75])


def test_positive_events_count_from_their_time() -> None:
    labels = EventLabels([0, 1], [1, 1], [True, False], [10 * DAY, 20 * DAY], 4.0)
    ratings = RatingMatrix(3, 2, [1, 2], [0, 0], [5, 5], np.array([20, 20]) * DAY, labels=labels)
    assert counts(ratings) == pytest.approx([2.0, 0.5])


def test_foretold_by_past_alone() -> None:
    """The newest of five choices are of item 1: plain counts rank it second, behind item 0 of long ago."""
    choices = DatedChoices.from_ratings(chosen([0, 0, 1, 1, 1], [0, 0, 50, 60, 60]))
    # The last two are at one time, so only the choice of day 50 is known when they are foretold.
    np.testing.assert_allclose(foretell(choices, [np.inf, 5.0]), [[1 / np.log2(3)] * 2, [1.0] * 2])


def test_own_choices_are_no_candidates() -> None:
    """User 3 had the most popular item before."""
    choices = DatedChoices.from_ratings(chosen([0, 0, 1, 0, 1, 0], [0, 0, 0, 1, 2, 2], users=[0, 1, 2, 3, 3, 4]))
    np.testing.assert_allclose(foretell(choices, [np.inf]), [[1.0, 1.0]])


def test_fashions_pass() -> None:
    found = find_half_life(passing_fashions())
    assert found.is_better
    assert found.days is not None
    assert 0.5 < found.days < 10
    assert found.ndcg > 2 * found.ndcg_undecayed


def test_lasting_taste_does_not_decay() -> None:
    fashions = passing_fashions()
    shuffled = np.random.default_rng(1).permutation(fashions.times)
    columns = fashions.user_rows, fashions.item_rows, fashions.values, shuffled
    assert not find_half_life(RatingMatrix(fashions.n_users, fashions.n_items, *columns)).is_better


@pytest.mark.parametrize(
    "days", [[], [5.0], [5.0] * 6, [np.nan] * 6, [0, 0.1, 0.2, 0.3, 0.4, 0.5], [np.nan] * 5 + [9], [0, 9]], ids=str
)
def test_no_time_to_learn_from(days: list[float]) -> None:
    """No half-life fits: none, one or equal times, unknown ones, a single day."""
    ratings = chosen([n % 3 for n in range(len(days))], days) if days else RatingMatrix(0, 0, [], [], [])
    assert find_half_life(ratings).days is None


def test_half_of_times_missing() -> None:
    fashions = passing_fashions()
    times = np.where(np.arange(len(fashions)) % 2, fashions.times, UNKNOWN_TIME)
    columns = fashions.user_rows, fashions.item_rows, fashions.values, times
    assert find_half_life(RatingMatrix(fashions.n_users, fashions.n_items, *columns)).is_better
