import numpy as np
import pytest

from app.algorithms.pushed_items import LEAST_USERS, find_pushes
from app.algorithms.rating_matrix import RatingMatrix
from tests.support.shilling import KINDS, Kind, attack, honest, with_attack


def found_in(ratings: RatingMatrix) -> set[int]:
    # Of another seed than the ratings: equal draws would divide users by their tastes.
    pushes = find_pushes(ratings, np.random.default_rng(77))
    users = [user for push in pushes for user in push.user_rows.tolist()]
    assert len(set(users)) == len(users)
    return set(users)


@pytest.mark.parametrize("is_graded", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_push(kind: Kind, is_graded: bool) -> None:
    """Of stars and of choices, most made profiles are found, and hardly an honest one."""
    ratings = honest(is_graded=is_graded)
    made = attack(ratings, kind, 0.05, np.random.default_rng(1))
    found = found_in(with_attack(ratings, made))
    assert sum(user >= ratings.n_users for user in found) >= 0.6 * made.n_users
    assert sum(user < ratings.n_users for user in found) <= 0.01 * ratings.n_users


def test_copies() -> None:
    """Profiles of nothing but bestsellers and the pushed item have no fillers to be judged by."""
    ratings = honest()
    made = attack(
        ratings, "bandwagon", 0.05, np.random.default_rng(1), size=1, target=int(ratings.item_choice_counts.argmin())
    )
    (push,) = find_pushes(with_attack(ratings, made), np.random.default_rng(77))
    assert (push.item_row, push.is_copies) == (made.target, True)
    assert set(push.user_rows.tolist()) == set(range(ratings.n_users, ratings.n_users + made.n_users))


def test_pushed_down() -> None:
    ratings = honest(is_graded=True)
    made = attack(ratings, "random", 0.05, np.random.default_rng(1))
    values = np.where(made.item_rows == made.target, 1.0, made.values)
    found = found_in(with_attack(ratings, made._replace(values=values)))
    assert sum(user >= ratings.n_users for user in found) >= 0.8 * made.n_users


@pytest.mark.parametrize("is_graded", [True, False])
def test_honest(is_graded: bool) -> None:
    for seed in range(3):
        assert found_in(honest(seed=seed, is_graded=is_graded)) == set()


def test_new_hit() -> None:
    """A new item that users of one taste choose at once is no pushed one, and neither is one for all tastes."""
    ratings = honest()
    rng = np.random.default_rng(2)
    items = ratings.item_rows.reshape(-1)
    fans = np.unique(ratings.user_rows[np.isin(items, rng.choice(ratings.n_items, 3, replace=False))])
    for buyers in (fans, rng.choice(ratings.n_users, 80, replace=False)):
        hit = RatingMatrix(
            ratings.n_users,
            ratings.n_items + 1,
            np.append(ratings.user_rows, buyers),
            np.append(items, np.full(len(buyers), ratings.n_items)),
            np.ones(len(items) + len(buyers)),
            is_graded=False,
        )
        assert found_in(hit) == set()


def test_pack() -> None:
    """Users who bought nothing but a pack of items are honest."""
    ratings = honest()
    buyers, pack = np.arange(30), np.arange(6)
    with_pack = RatingMatrix(
        ratings.n_users + 50,
        ratings.n_items + 6,
        np.concatenate([ratings.user_rows, np.repeat(ratings.n_users + np.arange(50), 5), ratings.n_users + buyers]),
        np.concatenate([ratings.item_rows, np.tile(ratings.n_items + pack[:5], 50), np.full(30, ratings.n_items + 5)]),
        np.ones(len(ratings) + 280),
        is_graded=False,
    )
    assert found_in(with_pack) == set()


@pytest.mark.parametrize("n_users", [1, LEAST_USERS - 20])
def test_small(n_users: int) -> None:
    ratings = honest(n_users=n_users)
    assert found_in(with_attack(ratings, attack(ratings, "random", 0.05, np.random.default_rng(1)))) == set()


def test_repeatable() -> None:
    ratings = honest()
    poisoned = with_attack(ratings, attack(ratings, "average", 0.05, np.random.default_rng(1)))
    assert found_in(poisoned) == found_in(poisoned)


def test_without_choices() -> None:
    assert find_pushes(RatingMatrix(300, 5, [], [], []), np.random.default_rng(77)) == []
    same = RatingMatrix(300, 2, np.repeat(np.arange(300), 2), np.tile([0, 1], 300), np.ones(600), is_graded=False)
    assert find_pushes(same, np.random.default_rng(77)) == []
