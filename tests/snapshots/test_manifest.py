"""What is read off a manifest."""

import pytest

from app.snapshots.manifest import Acceptance, IndexKind, card
from tests.support.snapshot_data import manifest_of, snapshot_arrays

MANIFEST = manifest_of(snapshot_arrays())


def test_segments() -> None:
    rating, table = MANIFEST.segment("rating"), MANIFEST.segment("item_item")
    assert rating is not None
    assert table is not None
    assert rating.slice == slice(0, 3)
    with pytest.raises(ValueError, match="item_item has no columns"):
        _ = table.slice
    assert MANIFEST.segment("towers") is None


def test_lists_that_are_searched() -> None:
    """All of them beyond the depths that were measured, and for users who are known less."""
    kind = IndexKind("flat", recall=0.9, n_lists=64, probes=((10, 4), (100, 16)), least_known=5)
    asked = [(10, 5), (11, 5), (100, 9), (101, 9), (10, 4)]
    assert [kind.probed(n, n_known) for n, n_known in asked] == [4, 16, 16, 64, 64]


def test_two_acceptances() -> None:
    by_gate, by_shift = Acceptance("monday", "worse", ("gate",)), Acceptance("tuesday", "moved", ("shift",))
    assert by_shift.beside(None) == by_shift
    assert by_shift.beside(by_gate) == Acceptance("tuesday", "worse; moved", ("gate", "shift"))


def test_card() -> None:
    """With an index or without, and without the numbers of each column."""
    assert card(MANIFEST)["index"] is None
    indexed = manifest_of(snapshot_arrays(), index=IndexKind("flat", recall=0.9, scales=(1.0, 2.0)))
    assert card(indexed)["index"]["recall"] == 0.9
    assert "scales" not in card(indexed)["index"]
    assert "files" not in card(indexed)
