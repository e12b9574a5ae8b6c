"""Reasons, from a really trained snapshot."""

from typing import Any

import pytest

from app.entities import Rating
from app.serving import explain
from app.wiring import Service
from tests.support.requests import ask, happen, ids, place, query_of, recommended

Reasons = dict[str, dict[str, float]]


def reasons_of(service: Service, user_id: str) -> Reasons:
    """For each item shown, the share of each item named as a reason."""
    answer: Any = ask(service, query_of(user_id, explain=True))
    return {item.item_id: {each.item_id: each.share_percent for each in item.reasons.because} for item in answer.items}


def test_item_is_no_reason_for_itself(service: Service) -> None:
    """A like is no consumption: what was liked may come again, and its like for its sake."""
    liked = ids(recommended(service, "newcomer"))[0]
    happen(service, "newcomer", "liked", [liked])
    reasons = reasons_of(service, "newcomer")
    assert reasons.pop(liked) == {}
    assert {liked: 100} in reasons.values()


def test_shares_are_of_the_others(service: Service) -> None:
    happen(service, "newcomer", "liked", ["item-0", "item-2"])
    assert reasons_of(service, "newcomer")["item-0"] == {"item-2": 100}


def test_inserted_after_another_rule(service: Service) -> None:
    """An item that no source proposes, and a later rule brings in, was not there when the first rule acted."""
    place(service, sources=["trending"], novelty=0.5, promote='item_id = "unrated-0"')
    answer: Any = ask(service, query_of("user-0", limit=3, explain=True))
    (promoted,) = [item for item in answer.items if item.item_id == "unrated-0"]
    assert [(move.rule, move.rank_before) for move in promoted.reasons.rules] == [("promote", None)]


def test_rated_again(service: Service) -> None:
    place(service, consume_again=True)
    rated = {rating.item_id for _, rating in service.store.ratings.page("user-0")}
    reasons = reasons_of(service, "user-0")
    assert rated <= set(reasons)
    assert all(item_id not in because for item_id, because in reasons.items())
    assert any(reasons[item_id] for item_id in rated)


@pytest.mark.parametrize("unliked", [1, 2, 3])
def test_only_liked_is_a_reason(service: Service, unliked: float) -> None:
    """Beside a like, and where nothing is liked; from 4 on a rating is liked on the scale 1:5."""
    beside, only = (reasons_of_guest(service, *values) for values in ((5, unliked), (unliked, unliked)))
    assert set().union(*beside.values()) == {"item-0"}
    assert not any(only.values())


def test_each_like_is_a_reason(service: Service) -> None:
    assert set().union(*reasons_of_guest(service, 5, 4).values()) == {"item-0", "item-1"}


def reasons_of_guest(service: Service, *values: float) -> Reasons:
    ratings = tuple(Rating("guest", f"item-{n}", value) for n, value in enumerate(values))
    answer: Any = ask(service, query_of(None, ratings, explain=True))
    return {item.item_id: {each.item_id: each.share_percent for each in item.reasons.because} for item in answer.items}


def test_explained_in_parts(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long list is explained a few items at once, which changes nothing."""
    at_once = reasons_of(service, "user-0")
    monkeypatch.setattr(explain, "LEAST_AT_ONCE", 7)
    monkeypatch.setattr(explain, "INFLUENCES_AT_ONCE", 1)
    assert reasons_of(service, "user-0") == at_once
