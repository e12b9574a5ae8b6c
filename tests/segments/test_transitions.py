import numpy as np

from app.algorithms.rating_matrix import RatingMatrix
from app.segments.transitions import TransitionsSegment
from tests.segments.sparse_contract import SparseSegmentContract


class TestInClosedForm(SparseSegmentContract):
    segment = TransitionsSegment()
    algorithm = "transitions"


class TestOnNeighbours(SparseSegmentContract):
    segment = TransitionsSegment()
    algorithm = "sparse_transitions"


def cycle(times: list[int] | None) -> RatingMatrix:
    """Five users choose three of five items in turn, each from another one on."""
    users, steps = np.repeat(np.arange(5), 3), np.tile(np.arange(3), 5)
    return RatingMatrix(5, 5, users, (users + steps) % 5, np.full(15, 4.0), times)


def test_next_is_what_followed() -> None:
    segment, ratings = TransitionsSegment(), cycle([1, 2, 3] * 5)
    learned = segment.fit(segment.complete("transitions"), ratings, np.random.default_rng(0))
    assert [int(learned.fold.strongest(item)[0][0]) for item in range(5)] == [1, 2, 3, 4, 0]


def test_left_out_without_order() -> None:
    segment = TransitionsSegment()
    recipe, why = segment.prepare(segment.complete("transitions"), cycle([1, 2, 3] * 5))
    assert (recipe, why) == (segment.complete("transitions"), None)
    for times in (None, [7] * 15):
        recipe, why = segment.prepare(segment.complete("transitions"), cycle(times))
        assert recipe is None
        assert why is not None
        assert why.startswith("transitions left out: ")
