import subprocess
import sys
from math import log2
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.algorithms.labels import NEGATIVE, POSITIVE, UNKNOWN, TypeWeights, label_items, label_pairs

SHOWN, CLICKED, DISLIKED, WATCHED = 1, 2, 4, 5
TYPES = TypeWeights([1, 2, 4, 5], [0.0, 1.0, -2.0, 2.0], [True, False, False, False])
Row = tuple[int, int, int, float | None]  # item, type, count, portion

rows = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([1, 2, 3, 4, 5]), st.integers(1, 50), st.none() | st.floats(0, 1)),
    max_size=30,
    unique_by=lambda row: row[:2],
)


def columns(given_rows: list[Row]) -> tuple[NDArray[Any], ...]:
    item, kind, count, portion = zip(*given_rows, strict=True) if given_rows else ((), (), (), ())
    told = [np.nan if each is None else each for each in portion]
    return np.array(item, np.int64), np.array(kind, np.int64), np.array(count, np.int64), np.array(told, np.float64)


def label_of(*given_rows: Row) -> int:
    """Of one item, whatever number it has."""
    _, *others = columns(list(given_rows))
    return int(label_pairs(TYPES, np.zeros(len(given_rows), np.int64), 1, *others).labels[0])


@pytest.mark.parametrize(
    ("interactions", "label"),
    [
        ([(0, SHOWN, 3, None)], NEGATIVE),
        ([(0, CLICKED, 1, None)], POSITIVE),
        ([(0, SHOWN, 9, None), (0, CLICKED, 1, None)], POSITIVE),
        ([(0, DISLIKED, 1, None)], NEGATIVE),
        ([(0, CLICKED, 1, None), (0, DISLIKED, 1, None)], NEGATIVE),
        ([(0, CLICKED, 4, None), (0, DISLIKED, 1, None)], POSITIVE),
        ([(0, WATCHED, 1, 0.0)], UNKNOWN),
        ([(0, WATCHED, 1, 0.0), (0, SHOWN, 1, None)], NEGATIVE),
        ([(0, WATCHED, 1, 0.01)], POSITIVE),
        ([(0, WATCHED, 1, None)], POSITIVE),
        ([(0, 3, 1, None)], UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_rule(interactions: list[Row], label: int) -> None:
    assert label_of(*interactions) == label


@given(rows)
def test_as_written(interactions: list[Row]) -> None:
    weights = dict(zip(TYPES.keys.tolist(), TYPES.weights.tolist(), strict=True))
    expected: dict[int, int] = {}
    disliked = []
    for item in {row[0] for row in interactions}:
        own = [row for row in interactions if row[0] == item]
        strength = sum(
            weights.get(kind, 0.0) * log2(1 + count) * (1 if portion is None else portion)
            for _, kind, count, portion in own
        )
        if abs(strength) < 1e-9 and strength != 0:  # a sum that cancels depends on its order
            return
        is_shown = any(kind == SHOWN for _, kind, *_ in own)
        disliked += [item] if strength < 0 else []
        expected[item] = POSITIVE if strength > 0 else NEGATIVE if is_shown or strength < 0 else UNKNOWN
    found = label_items(TYPES, *columns(interactions))
    assert found.positive.tolist() == sorted(item for item, label in expected.items() if label == POSITIVE)
    assert found.negative.tolist() == sorted(item for item, label in expected.items() if label == NEGATIVE)
    assert found.disliked.tolist() == sorted(disliked)


@given(rows, st.randoms(use_true_random=False))
def test_order_does_not_matter(interactions: list[Row], random: Any) -> None:
    shuffled = random.sample(interactions, len(interactions))
    one, other = (label_items(TYPES, *columns(each)) for each in (interactions, shuffled))
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@given(rows)
def test_showing_never_engages(interactions: list[Row]) -> None:
    shown = [row for row in interactions if row[1] != SHOWN] + [(item, SHOWN, 1, None) for item in range(5)]
    found = label_items(TYPES, *columns(shown))
    assert len(found.positive) + len(found.negative) == 5  # what was shown is never unknown
    np.testing.assert_array_equal(found.positive, label_items(TYPES, *columns(interactions)).positive)


def test_types_in_any_order() -> None:
    turned = TypeWeights(TYPES.keys[::-1], TYPES.weights[::-1], TYPES.are_exposures[::-1])
    for name in ("keys", "weights", "are_exposures"):
        np.testing.assert_array_equal(getattr(turned, name), getattr(TYPES, name))


def test_no_types() -> None:
    found = label_items(TypeWeights([], [], []), *columns([(1, CLICKED, 1, None)]))
    assert len(found.positive) == len(found.negative) == 0


def test_needs_no_numba() -> None:
    command = "import sys, app.algorithms.labels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
