import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.intake.scales import value_counts
from app.intake.scales.value_counts import ValueCounts

numbers = st.integers(-300, 300).map(lambda number: number / 16)


def test_batches_count_together() -> None:
    counts = ValueCounts.of([np.array([2.0, -0.0]), np.empty(0), np.array([0.0, 2.0, 2.0])])
    assert (counts.values.tolist(), counts.counts.tolist(), counts.total) == ([0.0, 2.0], [2, 3], 5)


def test_nothing_to_count() -> None:
    assert ValueCounts.of([]).total == ValueCounts.of([np.empty(0)]).total == 0


@given(st.lists(numbers, min_size=1), st.randoms(use_true_random=False), st.integers(1, 9))
def test_order_is_irrelevant(values: list[float], random: object, n_batches: int) -> None:
    shuffled = [*values]
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(value_counts, "MAX_DISTINCT", 20)
        one = ValueCounts.of([np.array(values)])
        other = ValueCounts.of(np.array_split(np.array(shuffled), n_batches))
    assert len(one.values) <= 20
    assert one.values.tolist() == other.values.tolist()
    assert one.counts.tolist() == other.counts.tolist()
    assert (one.values[0], one.values[-1], one.total) == (min(values), max(values), len(values))
