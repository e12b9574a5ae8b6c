"""Users similar to a user."""

import pytest

from app.entities import User
from app.errors import NotFoundError
from app.wiring import Service
from tests.support.exploring import neighbours
from tests.support.ratings import incoming
from tests.support.user_states import tasteful_ratings

NOW = 2_000_000_000_000_000


def test_best_first_without_the_user(service: Service) -> None:
    answer = neighbours(service)
    assert (answer.user_id, answer.snapshot_version, answer.strategy) == ("user-0", 1, "personalized")
    assert len(answer.users) == 10
    assert "user-0" not in {each.user_id for each in answer.users}
    similarities = [each.similarity for each in answer.users]
    assert similarities == sorted(similarities, reverse=True)
    assert all(0 < value < 1 for value in similarities)


def test_twin_is_first(service: Service) -> None:
    """A user who has rated everything as another has, since the snapshot."""
    given = tasteful_ratings()
    rows = [n for n, user_id in enumerate(given.user_id) if user_id == "user-7"]
    twin = [("twin", given.item_id[n], float(given.value[n]), NOW + n) for n in rows]
    service.store.ratings.record(incoming(*twin))
    answer = neighbours(service, "twin")
    assert answer.strategy == "fold_in"
    assert answer.users[0].user_id == "user-7"
    assert answer.users[0].similarity == pytest.approx(20 / 30, abs=0.01)


def test_changed_user_is_not_its_own_neighbour(service: Service) -> None:
    service.store.ratings.record(incoming(("user-0", "item-1", 5, NOW)))
    answer = neighbours(service)
    assert answer.strategy == "fold_in"
    assert "user-0" not in {each.user_id for each in answer.users}


def test_deleted_users_drop_out(service: Service) -> None:
    """The list stays as long as requested."""
    whole = [each.user_id for each in neighbours(service, limit=30).users]
    for user_id in whole[:12]:
        service.store.users.delete(user_id)
    assert [each.user_id for each in neighbours(service, limit=10).users] == whole[12:22]


def test_all_of_them(service: Service) -> None:
    answer = neighbours(service, limit=1_000)
    assert len({each.user_id for each in answer.users}) == len(answer.users) <= 119


def test_nothing_known_of(service: Service) -> None:
    service.store.users.record([User("silent")])
    assert neighbours(service, "silent").users == []
    with pytest.raises(NotFoundError):
        neighbours(service, "nobody")
