"""Factors on how far a candidate stands above the last."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.serving.candidates import Ranked
from app.serving.reranking.weighing import weigh, with_standings

scores = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=20)


def ranked_of(values: list[float]) -> Ranked:
    ordered = np.sort(np.array(values, np.float32))[::-1]
    rows = np.arange(len(values))
    return with_standings(Ranked(rows, ordered, ordered.astype(np.float64), np.ones(len(values), np.int64)))


@given(values=scores)
def test_equal_factors_change_nothing(values: list[float]) -> None:
    ranked = ranked_of(values)
    assert weigh(ranked, np.full(len(values), 2.0)).rows.tolist() == ranked.rows.tolist()


@given(values=scores, data=st.data())
def test_lifting_never_sinks(values: list[float], data: st.DataObject) -> None:
    ranked = ranked_of(values)
    chosen = data.draw(st.integers(0, len(values) - 1))
    for factor, compare in ((3.0, int.__le__), (0.3, int.__ge__)):
        factors = np.ones(len(values))
        factors[chosen] = factor
        after = weigh(ranked, factors).rows.tolist().index(chosen)
        assert compare(after, chosen)


def test_nothing_to_weigh() -> None:
    empty = ranked_of([1.0]).take(slice(0))
    assert len(weigh(empty, np.empty(0)).rows) == 0


def test_twice_meets_half_way() -> None:
    """Twice its standing puts the last beside the first, half of it the first beside the last."""
    ranked = ranked_of([-3.0, 0.0, 5.0])
    assert weigh(ranked, np.array([1.0, 1.0, 2.001])).rows[0] == 2
    assert weigh(ranked, np.array([1.0, 1.0, 1.999])).rows[0] == 0
    assert weigh(ranked, np.array([0.499, 1.0, 1.0])).rows[-1] == 0
