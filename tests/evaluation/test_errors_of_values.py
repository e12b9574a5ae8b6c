"""Rating errors by value, by hand."""

import math

import numpy as np
import pytest

from app.evaluation.errors_of_values import N_BINS, ErrorsOfValue, errors_of_values


def test_each_value() -> None:
    found = errors_of_values(np.array([5.0, 1.0, 5.0]), np.array([-1.0, 2.0, 1.0]))
    assert found == [ErrorsOfValue(1.0, 1, 2.0, 2.0), ErrorsOfValue(5.0, 2, 0.0, 1.0)]


def test_many_values_in_bins() -> None:
    """101 values from 0 to 100: ten bins, the last with its end; the root of the mean square of the errors 3 and 4."""
    values = np.arange(101.0)
    errors = np.where(values % 2 == 0, 3.0, 4.0)
    found = errors_of_values(values, errors)
    assert [each.value for each in found] == [5.0 + 10 * n for n in range(N_BINS)]
    assert [each.n for each in found] == [10] * 9 + [11]
    assert found[0].rmse == pytest.approx(math.sqrt(12.5))


def test_none() -> None:
    assert errors_of_values(np.empty(0), np.empty(0)) == []
