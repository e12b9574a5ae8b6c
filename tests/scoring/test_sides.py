import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring.sides import item_moments, join_item_parts, join_user_parts, weigh
from app.snapshots.manifest import SegmentEntry


@settings(max_examples=40)
@given(st.integers(1, 30), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_scores_have_weight_as_spread(n_items: int, n_factors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts = {
        "first": rng.standard_normal((n_items, n_factors + 1)).astype(np.float32),
        "second": rng.standard_normal((n_items, 1)).astype(np.float32),
    }
    vectors, columns = join_item_parts(parts)
    assert vectors.shape[1] % 16 == 0
    covariance = item_moments(vectors, np.ones(n_items, np.bool_))[1]
    segments = [SegmentEntry("first", "a", columns["first"], 0.3), SegmentEntry("second", "b", columns["second"], 2.0)]
    users = {"first": rng.standard_normal((4, n_factors + 1)).astype(np.float32), "second": np.ones((4, 1), np.float32)}
    sides = join_user_parts(users, segments, covariance)
    for segment in segments:
        alone = vectors[:, segment.slice] @ sides[:, segment.slice].T
        unweighted = parts[segment.name] @ users[segment.name].T
        if unweighted.std(axis=0).min() > 1e-3:
            np.testing.assert_allclose(alone.std(axis=0), segment.weight, rtol=1e-2)
            np.testing.assert_allclose(
                alone, unweighted * (segment.weight / unweighted.std(axis=0)), rtol=1e-2, atol=1e-3
            )
    np.testing.assert_array_equal(sides[:, columns["second"][1] :], 0)


def test_constant_segment_is_kept() -> None:
    """Where a segment says the same of every item, nothing is divided by zero."""
    vectors, columns = join_item_parts({"rating": np.zeros((3, 2), np.float32)})
    covariance = item_moments(vectors, np.ones(3, np.bool_))[1]
    part = np.array([[5.0, 1.0]], np.float32)
    sides = join_user_parts({"rating": part}, [SegmentEntry("rating", "a", columns["rating"], 0.5)], covariance)
    np.testing.assert_allclose(sides[0, :2], [2.5, 0.5])


def test_one_as_all() -> None:
    rng = np.random.default_rng(0)
    items = {
        name: rng.standard_normal((30, width)).astype(np.float32) for name, width in (("a", 5), ("b", 1), ("c", 2))
    }
    items["c"][:] = 3.0  # says the same of all
    vectors, columns = join_item_parts(items)
    covariance = item_moments(vectors, np.ones(30, np.bool_))[1]
    segments = [SegmentEntry(name, "", columns[name], weight) for name, weight in (("a", 0.5), ("b", 2.0), ("c", 1.0))]
    users = {name: rng.standard_normal((4, part.shape[1])).astype(np.float32) for name, part in items.items()}
    together = join_user_parts(users, segments, covariance)
    for user in range(4):
        for segment in segments:
            own = np.ascontiguousarray(covariance[segment.slice, segment.slice])
            alone = weigh(users[segment.name][user], own, segment.weight)
            np.testing.assert_allclose(alone, together[user, segment.slice], rtol=1e-5)


def test_moments_of_rated_items_only() -> None:
    vectors = np.array([[1, 2], [3, 6], [100, 100]], np.float32)
    mean, covariance = item_moments(vectors, np.array([True, True, False]))
    np.testing.assert_allclose(mean, [2, 4])
    np.testing.assert_allclose(covariance, [[1, 2], [2, 4]])
    np.testing.assert_array_equal(item_moments(vectors, np.zeros(3, np.bool_))[1], 0)
