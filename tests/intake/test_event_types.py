import pytest

from app.entities import EventType
from app.errors import ConflictError, InvalidInputError
from app.intake.event_types import MAX_CREATED, EventTypeCreator


def creator(stored: list[EventType] | None = None, *, is_complete: bool = False) -> EventTypeCreator:
    return EventTypeCreator(["shown"], (stored if stored is not None else []).append, is_complete=is_complete)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pv", EventType("pv", 1.0)),
        ("Add to Cart", EventType("Add to Cart", 2.0)),
        ("remove_from_cart", EventType("remove_from_cart", -1.0)),
        ("DISLIKE", EventType("DISLIKE", -2.0)),
        ("transaction", EventType("transaction", 3.0, is_consumption=True)),
        ("listen", EventType("listen", 2.0, is_consumption=True)),
        ("impression", EventType("impression", 0.0, is_exposure=True)),
        ("2", EventType("2", 0.0)),
        ("\u8d2d\u4e70", EventType("\u8d2d\u4e70", 0.0)),
    ],
)
def test_weight_by_name(name: str, expected: EventType) -> None:
    stored: list[EventType] = []
    types = creator(stored)
    types.ensure(name)
    types.ensure(name)
    types.ensure("shown")
    assert stored == types.created == [expected]


def test_limited_number() -> None:
    types = creator()
    for number in range(MAX_CREATED):
        types.ensure(f"t{number}")
    with pytest.raises(InvalidInputError, match="no event type 'more', and one import creates at most 50"):
        types.ensure("more")
    assert len(types.created) == MAX_CREATED


def test_declared_types_are_all() -> None:
    types = creator(is_complete=True)
    with pytest.raises(InvalidInputError, match="there is no event type 'view'"):
        types.ensure("view")


def test_refused_by_store() -> None:
    def refuse(_: EventType) -> None:
        raise ConflictError("there are 100 event types already")

    types = EventTypeCreator([], refuse, is_complete=False)
    with pytest.raises(InvalidInputError, match="no event type 'view': there are 100"):
        types.ensure("view")
    assert types.created == []
