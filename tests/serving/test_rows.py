import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.serving.rows import within

SOME = st.lists(st.integers(-1, 20), max_size=12).map(lambda each: np.array(each, np.int64))


@given(SOME, SOME)
def test_within(rows: np.ndarray, others: np.ndarray) -> None:
    kept = others.copy()
    assert within(rows, others).tolist() == [row in set(others.tolist()) for row in rows.tolist()]
    assert others.tolist() == kept.tolist()


@pytest.mark.parametrize("n", [0, 3])
def test_within_nothing(n: int) -> None:
    assert within(np.arange(n), np.empty(0, np.int64)).tolist() == [False] * n
