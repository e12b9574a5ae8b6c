"""The catalogue follows the store, whatever order changes come in."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.entities import Item
from app.serving.catalogue import Catalogue
from app.store import Store, migrate

Change = st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "hide", "delete"]), st.sampled_from(["x", "y"]))


@given(changes=st.lists(Change, max_size=12), pause=st.integers(0, 12))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_refreshed_is_as_built(changes: list[tuple[str, str, str]], pause: int, tmp_path: Path) -> None:
    """A catalogue that followed every change shows what one built afterwards shows."""
    folder = tmp_path / f"{abs(hash((tuple(changes), pause)))}"
    migrate("", folder)
    store = Store.open("", folder)
    store.items.record([Item("a"), Item("b", categories=("x",)), Item("c", is_available=False)])
    keys = np.array([entry.item_key for entry in store.items.changes_since(-1).entries])
    followed = Catalogue(store.items, keys)
    for number, (item_id, action, category) in enumerate(changes):
        if action == "delete":
            store.items.delete(item_id)
        else:
            store.items.record([Item(item_id, categories=(category,), is_available=action == "put")])
        if number >= pause:
            followed.refresh()
    followed.refresh()
    built = Catalogue(store.items, keys)
    for category in ("x", "y"):
        assert shown(followed, category) == shown(built, category)
    assert shown(followed) == shown(built)
    for item in store.items.stream():
        row = followed.row_of_id(item.item_id)
        assert row is not None
        assert followed.item_ids[row] == item.item_id
        assert followed.rows_of_keys(followed.keys[[row]]).tolist() == [row]
    store.close()


def shown(catalogue: Catalogue, category: str | None = None) -> set[str]:
    mask = catalogue.available()
    if category is not None:
        mask = mask & catalogue.in_category(category)
    return {catalogue.item_ids[row] for row in np.flatnonzero(mask)}
