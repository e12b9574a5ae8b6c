"""What lists are like, against values worked by hand."""

import numpy as np
import pytest

from app.serving.list_measures import ListMeasures, measure_lists
from app.serving.serving_state import ServingState
from app.wiring import Service


def serving_of(service: Service) -> ServingState:
    return service.serving.current


def test_by_hand(service: Service) -> None:
    serving = serving_of(service)
    lists = [np.array([0, 1, 2]), np.array([1, 3])]
    measured = measure_lists(lists, serving)
    assert measured.coverage == 4 / 5
    directions = serving.scorer.directions(serving.scorer.item_vectors[:4]).astype(float)
    unlike = 1 - directions @ directions.T
    of_first, of_second = (unlike[0, 1] + unlike[0, 2] + unlike[1, 2]) / 3, unlike[1, 3]
    assert measured.diversity == pytest.approx((of_first + of_second) / 2, abs=1e-5)
    counts = serving.scorer.arrays.item_counts[[0, 1, 2, 1, 3]]
    assert measured.novelty == pytest.approx(np.log2(len(serving.scorer.arrays.user_keys) / counts).mean())


def test_alike(service: Service) -> None:
    """The same item in all lists: nothing covers less, and one item is no pair."""
    measured = measure_lists([np.array([0])] * 4, serving_of(service))
    assert (measured.coverage, measured.diversity) == (0.25, None)


def test_nothing(service: Service) -> None:
    assert measure_lists([], serving_of(service)) == ListMeasures(None, None, None)
    assert measure_lists([np.empty(0, np.int64)], serving_of(service)) == ListMeasures(None, None, None)
