"""Repeated pairs are counted exactly as far as they are remembered."""

import numpy as np
import pytest

from app.intake import repeated_pairs, report
from app.intake.repeated_pairs import RepeatedPairs
from app.intake.report import Counts


@pytest.mark.parametrize("size", [1, 7, 1_000, 5_000])
def test_as_a_set_counts(size: int) -> None:
    random = np.random.default_rng(size)
    users, items = ([f"{kind}{n}" for n in random.integers(0, 60, 5_000)] for kind in "ui")
    pairs, n = RepeatedPairs(), 0
    for start in range(0, 5_000, size):
        n += pairs.add(users[start : start + size], items[start : start + size])
    assert n == 5_000 - len(set(zip(users, items, strict=True)))


def test_pairs_are_not_joined() -> None:
    assert RepeatedPairs().add(["a", "ab", "a"], ["bc", "c", "bc"]) == 1


def test_no_rows() -> None:
    assert RepeatedPairs().add([], []) == 0


def test_more_pairs_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least so many repeat, and the text says so."""
    for module in (repeated_pairs, report):
        monkeypatch.setattr(module, "MOST_PAIRS", 3)
    pairs = RepeatedPairs()
    n = sum(pairs.add([user], ["x"]) for user in "abcde" + "abcde")
    assert n == 3
    assert sum(len(each) for each in pairs._known) == 3
    counts = Counts(readable=10, repeated=n)
    assert not counts.are_repeats_exact
    text = "at least 3 rows repeat the user and the item of an earlier row (only 3 pairs are compared)"
    assert counts.repeated_text == text
    assert Counts(readable=4, repeated=1).repeated_text == "1 row repeats the user and the item of an earlier row"
    assert Counts(readable=4).repeated_text == ""
