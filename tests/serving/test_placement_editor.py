"""Placements as an operator edits them, and the versions that this leaves."""

import pytest

from app.entities import Item
from app.errors import ChangedMeanwhileError, InvalidInputError, NotFoundError
from app.serving.placement import Placement
from app.serving.placement_editor import DeletedVersionError, NumberedPlacement
from app.wiring import Service


def test_home_always_exists(service: Service) -> None:
    editor = service.placement_editor
    assert editor.all() == [NumberedPlacement("home", 0, Placement())] == [editor.get("home")]
    assert editor.versions("home", 10) == []
    editor.put("aside", Placement(), changed_by=None)
    editor.put("home", Placement(novelty=0.5), changed_by=None, expected={0})
    editor.delete("home", changed_by=None)
    assert [(each.name, each.number) for each in editor.all()] == [("home", 2), ("aside", 1)]
    assert editor.get("home") == NumberedPlacement("home", 2, Placement())


def test_deleted_is_gone(service: Service) -> None:
    editor = service.placement_editor
    editor.put("email", Placement(), changed_by=None)
    assert editor.delete("email", changed_by="a key")
    assert not editor.delete("email", changed_by="a key")
    with pytest.raises(NotFoundError):
        editor.get("email")
    with pytest.raises(NotFoundError):
        editor.versions("nowhere", 10)
    assert [each.number for each in editor.versions("email", 10)] == [2, 1]
    assert "email" not in {each.name for each in editor.all()}


def test_restored(service: Service) -> None:
    """Back and forth, over a deletion as well; each time a new version, unless nothing changes."""
    editor = service.placement_editor
    editor.put("email", Placement(novelty=0.1), changed_by=None)
    editor.put("email", Placement(novelty=0.2), changed_by=None)
    editor.delete("email", changed_by=None)
    restored = editor.restore("email", 1, changed_by="a key")
    assert restored == NumberedPlacement("email", 4, Placement(novelty=0.1)) == editor.get("email")
    assert editor.restore("email", 1, changed_by="a key").number == 4
    assert editor.restore("email", 2, changed_by="a key", expected={4}).number == 5
    with pytest.raises(ChangedMeanwhileError):
        editor.restore("email", 1, changed_by="a key", expected={4})
    with pytest.raises(DeletedVersionError):
        editor.restore("email", 3, changed_by="a key")
    for name, number in (("email", 6), ("home", 1)):
        with pytest.raises(NotFoundError):
            editor.restore(name, number, changed_by="a key")
    assert [each.changed_by for each in editor.versions("email", 10)] == ["a key", "a key", None, None, None]


def test_restored_is_checked(service: Service) -> None:
    """An attribute has vanished since, or a newer release has stored a setting that this one does not know."""
    editor = service.placement_editor
    service.store.items.record([Item("red", attributes={"colour": "red"})])
    editor.put("home", Placement(filter="colour = 'red'"), changed_by=None)
    service.store.placements.put("home", {"colour": "red"})
    editor.put("home", Placement(), changed_by=None)
    service.store.items.delete("red")
    with pytest.raises(InvalidInputError, match="colour") as caught:
        editor.restore("home", 1, changed_by=None)
    assert caught.value.field == "filter"
    with pytest.raises(InvalidInputError) as caught:
        editor.restore("home", 2, changed_by=None)
    assert caught.value.field == "colour"
    assert editor.get("home") == NumberedPlacement("home", 3, Placement())


@pytest.mark.parametrize("name", ["UPPER", "a b", "x" * 65, ""])
def test_bad_name_is_not_stored(service: Service, name: str) -> None:
    with pytest.raises(InvalidInputError):
        service.placement_editor.put(name, Placement(), changed_by=None)
    assert service.store.placements.all() == {}
