import numpy as np
import pytest

from app.algorithms.errors import InvalidHyperparameterError
from app.segments.popularity import PopularitySegment, popularity_part
from tests.segments.contract import SegmentContract


class TestPopularitySegment(SegmentContract):
    segment = PopularitySegment()
    algorithm = "popularity"


def test_part_is_standardised() -> None:
    part, unrated = popularity_part(np.array([0, 3, 7, 20]))
    assert part[1:].mean() == pytest.approx(0, abs=1e-6)
    assert part[1:].std() == pytest.approx(1, rel=1e-6)
    assert part[0] == unrated < part[1]


def test_nothing_chosen() -> None:
    part, unrated = popularity_part(np.zeros(3, np.int64))
    np.testing.assert_array_equal(part, 0)
    assert unrated == 0


def test_takes_no_hyperparameters() -> None:
    with pytest.raises(InvalidHyperparameterError, match="popularity has no hyperparameters"):
        PopularitySegment().complete("popularity", {"half_life": 3})
