"""What a type checker sees of the clients. `mypy` fails where a type is lost; pytest only runs the calls."""

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
    attribute_field,
)


def test_blocking() -> None:
    with FakeReckon() as reckon:
        assert_type(reckon, FakeReckon)
        assert_type(reckon.put_item("x"), Item)
        assert_type(reckon.rate("ann", "x", 4), StoredRating)
        assert_type(reckon.recommendations("ann", limit=3, explain=True), Recommendations)
        assert_type(reckon.iter_recommendations("ann", page_size=3, category="Drama"), Iterator[RecommendedItem])
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
    """For the type checker alone, which also refuses an ignore that is not needed."""
    reckon.recommendations("ann", limt=3)  # type: ignore[call-arg]
    reckon.recommendations("ann", category=3)  # type: ignore[arg-type]
    reckon.iter_recommendations("ann", cursor="x")  # type: ignore[call-arg]
    reckon.recommendations("ann", fields=["title", "year", attribute_field("price")])
    reckon.recommendations("ann", fields=["titel"])  # type: ignore[list-item]
    reckon.rate("ann", "x", "good")  # type: ignore[arg-type]
    reckon.chart("worst")  # type: ignore[arg-type]
    return asynchronous.rate("ann", "x", 4).value  # type: ignore[attr-defined]  # not awaited


def test_help() -> None:
    """`help()` shows names, parameters, answers and docstrings."""
    for client in (Reckon, AsyncReckon):
        reckon = client()
        shape = inspect.signature(reckon.rate)
        assert list(shape.parameters) == ["user_id", "item_id", "value", "rated_at"]
        assert shape.return_annotation is StoredRating
        assert inspect.signature(reckon.rate_many).return_annotation == Sent[Rating]
        options = inspect.signature(reckon.iter_recommendations).parameters
        assert {"user_id", "page_size", "exclude", "filter", "explain"} <= options.keys()
        assert options["filter"].annotation == (str | None)
        assert "newest" in (reckon.rate.__doc__ or "")
        assert (reckon.rate.__name__, "rate" in dir(reckon)) == ("rate", True)
