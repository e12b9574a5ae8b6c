"""What a type checker sees of the clients: `mypy` fails over these where a type is lost; pytest only runs them."""

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from app.client import (
    AsyncFakeReckon,
    AsyncReckon,
    FakeReckon,
    Item,
    Rating,
    Reckon,
    Recommendations,
    RecommendedItem,
    Sent,
    StoredRating,
)


def test_blocking() -> None:
    with FakeReckon() as reckon:
        assert_type(reckon, FakeReckon)
        assert_type(reckon.rate("ann", "x", 4), StoredRating)
        assert_type(reckon.recommendations("ann", limit=3), Recommendations)
        assert_type(reckon.iter_recommendations("ann"), Iterator[RecommendedItem])
        assert_type(reckon.rate_many([Rating("ann", "x", 4)]), Sent[Rating])
        assert_type(reckon.within(1).item("x"), Item)
        assert_type(reckon.delete_item("x"), None)
        assert_type(reckon.send(Reckon.recommendations.call("ann")), Recommendations)


async def asks() -> None:
    async with AsyncFakeReckon() as reckon:
        assert_type(await reckon.rate("ann", "x", 4), StoredRating)
        assert_type(reckon.iter_recommendations("ann"), AsyncIterator[RecommendedItem])
        assert_type(await reckon.rate_many([Rating("ann", "x", 4)]), Sent[Rating])
        assert_type(await reckon.within(1).item("x"), Item)


def refused(reckon: Reckon, asynchronous: AsyncReckon) -> object:
    """Read by the type checker alone, which also refuses what it need not ignore."""
    reckon.recommendations("ann", limt=3)  # type: ignore[call-arg]
    reckon.rate("ann", "x", "good")  # type: ignore[arg-type]
    reckon.chart("worst")  # type: ignore[arg-type]
    return asynchronous.rate("ann", "x", 4).value  # type: ignore[attr-defined]  # not awaited


def test_help() -> None:
    """Names, parameters, answers and text are there for `help()` as for an editor."""
    for client in (Reckon, AsyncReckon):
        reckon = client()
        shape = inspect.signature(reckon.rate)
        assert list(shape.parameters) == ["user_id", "item_id", "value", "rated_at"]
        assert shape.return_annotation is StoredRating
        assert inspect.signature(reckon.rate_many).return_annotation == Sent[Rating]
        assert "newest" in (reckon.rate.__doc__ or "")
        assert (reckon.rate.__name__, "rate" in dir(reckon)) == ("rate", True)
