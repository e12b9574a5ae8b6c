"""A table of some of the users."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.segments.registry import segment_layouts
from app.snapshots.arrays import check_arrays, kept_users
from tests.support.snapshot_data import snapshot_arrays


def test_all_users_by_default() -> None:
    assert kept_users(np.arange(5), 1.0).all()


@given(st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted), st.integers(1, 2**62))
def test_a_larger_share_holds_the_smaller_one(shares: list[float], first: int) -> None:
    keys = first + np.arange(100)
    smaller, larger = (kept_users(keys, share) for share in shares)
    assert not (smaller & ~larger).any()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_share(share: float) -> None:
    assert kept_users(np.arange(1, 100_001), share).mean() == pytest.approx(share, abs=0.01)


@given(st.lists(st.booleans(), min_size=12, max_size=12).map(np.array))
def test_of_users(is_kept: np.ndarray) -> None:
    arrays = snapshot_arrays(n_users=12)
    kept = arrays.of_users(is_kept)
    check_arrays(kept.named, segment_layouts())
    rows = np.flatnonzero(is_kept)
    assert kept.user_keys.tolist() == arrays.user_keys[rows].tolist()
    np.testing.assert_array_equal(kept.item_vectors, arrays.item_vectors)
    for row_now, row in enumerate(rows.tolist()):
        np.testing.assert_array_equal(kept.user_vectors[row_now], arrays.user_vectors[row])
        for now, before in zip(
            (*kept.history(row_now), *kept.labels(row_now)), (*arrays.history(row), *arrays.labels(row)), strict=True
        ):
            np.testing.assert_array_equal(now, before)
