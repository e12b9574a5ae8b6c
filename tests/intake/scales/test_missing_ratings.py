import numpy as np

from app.entities import RatingScale
from app.intake.scales.missing_ratings import MissingRatings
from app.intake.scales.scale import detect_scale
from app.intake.scales.value_counts import ValueCounts

TEN = np.arange(1.0, 11.0)


def test_learned_on_the_way() -> None:
    missing = MissingRatings(RatingScale(1, 10, 1), None)
    assert missing.is_learning
    missing.add(np.repeat(TEN, 20))
    assert missing.values.tolist() == []
    missing.add(np.zeros(199))
    assert missing.values.tolist() == []  # not yet twice as many values
    missing.add(np.zeros(101))
    assert missing.values.tolist() == [0.0]
    (note,) = missing.notes({}, is_asking=False)
    assert note.startswith("0 is the value of 300 of 500 rows (60 %)")


def test_known_from_first_pass() -> None:
    found = detect_scale(ValueCounts.of([np.repeat(TEN, 20), np.zeros(300)]))
    missing = MissingRatings(found.scale, found)
    assert (missing.values.tolist(), missing.is_learning) == ([0.0], False)
    assert MissingRatings(RatingScale(0, 10), found).values.tolist() == []


def test_notes_tell_what_was_done() -> None:
    """A value that all values together show to stand for missing ratings was not set aside."""
    missing = MissingRatings(RatingScale(1, 10, 1), None)
    missing.add(np.repeat(TEN, [1, *[22] * 9]))
    missing.add(np.zeros(150))
    assert missing.notes({}, is_asking=False) == []


def test_no_values() -> None:
    assert MissingRatings(RatingScale(), None).notes({}, is_asking=True) == []
